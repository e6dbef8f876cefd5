"""Who is who over time: arenas by pointer, programs by code range, stacks by hash.

Rows are written to the trace before the first event that refers to them.
"""
