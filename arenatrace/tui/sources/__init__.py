"""Where the screen gets its data: a recorded trace, a growing one, a live recording.

`source.py` is the interface. Sources read and compute in threads of their own.
"""
