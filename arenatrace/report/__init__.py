"""Text and JSON output of analysis rows. Nothing is computed here.

All text from a kernel or a trace passes through `sanitize.py` before it is printed.
"""
