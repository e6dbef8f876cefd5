"""The arena of `kernel/bpf/arena.c` and `range_tree.c`: free set, page table and profiles.

Each function names the kernel function that it follows. `profiles.py` has the differences
between kernels.
"""
