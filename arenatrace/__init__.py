"""Toolkit for BPF-arena faults: which program faulted, on which line, and why."""

__version__ = "0.1.0"
