"""BPF ring buffers in mapped memory, their sizes, and the records of the metadata ring.

The layouts follow `probes/arena_events.h`; `tests/unit/capture/probes/test_wire_layout.py`
compares both sides.
"""
