"""Analysis of a trace: one subject per file, LazyFrame in, LazyFrame or DataFrame out.

Reads only what `trace/` opens. `faults.py` is the entry: one row per arena fault with program,
line and cause. Rendering lives in `report/`; nothing here prints or formats for a screen.
"""
