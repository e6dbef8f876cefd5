"""Which program caused a fault: the kernel's blame, the recorded stack, and the source line.

`blame.py` combines both answers. Program ranges are valid only between load and unload.
"""
