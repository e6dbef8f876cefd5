"""arenatrace: which BPF program faulted in its arena, on which line, and why."""

__version__ = "0.1.0"
