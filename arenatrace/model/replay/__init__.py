"""Check recorded events against the model: one event at a time, or on a fast path.

`checker.py` defines what is right; `fast_path.py` must give the same answer and is tested so.
"""
