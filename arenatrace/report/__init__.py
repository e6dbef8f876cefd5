"""Rows to text and JSON. Nothing is computed here.

All text from a kernel or a trace passes through `sanitize.py` before it is shown.
"""
