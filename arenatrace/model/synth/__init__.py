"""Synthetic traces: random requests, answered as a kernel would, and known defects.

Every defect class in `page_defects.py` and `fault_defects.py` must make a replay diverge.
"""
