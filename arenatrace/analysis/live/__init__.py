"""Bounded in-memory window over a live recording: retention and eviction.

`window.py` takes batches of events, `snapshot.py` diagnoses and compacts them. Every container
has a row limit. Evicted rows are counted, never dropped silently.
"""
