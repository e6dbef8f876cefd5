"""Synthetic traces: random requests with the results of a kernel, and known defects.

Every defect class in `page_defects.py` and `fault_defects.py` must make a replay diverge.
"""
