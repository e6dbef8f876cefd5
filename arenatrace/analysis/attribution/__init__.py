"""Attribution of a fault: the blamed program, the stack and the source line.

`blame.py` compares the blamed program with the stack. The address range of a program is valid only
between its load and unload.
"""
