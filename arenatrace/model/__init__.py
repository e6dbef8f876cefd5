"""A model of the kernel's arena in plain Python, without any third-party import.

`kernel/` is the arena, `replay/` checks recorded events against it, `synth/` makes traces,
`what_if.py` compares profiles, and `ops.py` encodes an event for all of them.
"""
