"""Parsers of the kernel's reports: program streams, oopses, call traces.

`assembly.py` joins the lines of one writer into reports; `records.py` holds the results.
"""
