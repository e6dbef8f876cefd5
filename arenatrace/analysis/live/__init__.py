"""Bounded in-memory window over a live recording: what to retain and what to evict.

Every container here has a row limit. An evicted row is counted, never dropped silently.
"""
