"""Compile, load and attach the BPF probes, and read their maps.

The C source is in `probes/` at the top of the tree.
"""
