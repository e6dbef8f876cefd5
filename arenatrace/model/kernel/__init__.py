"""The arena as `kernel/bpf/arena.c` and `range_tree.c` keep it: free set, page table, profiles.

Each function names the kernel function it follows. `profiles.py` holds what differs by kernel.
"""
