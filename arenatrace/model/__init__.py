"""A model of the kernel's arena in plain Python, and the replay of events against it.

No third-party import is allowed here. `kernel/` is the arena, `replay/` checks events,
`synth/` makes traces, `ops.py` is the encoding of an event that all three share.
"""
