"""Check recorded events against the model: one event at a time, or on a fast path.

`checker.py` is the definition. `fast_path.py` must give the same results; tests compare the
two. `reorder.py` searches for another order of events, `verdict.py` is the result.
"""
