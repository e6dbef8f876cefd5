"""The kernel's arena in pure Python: what each operation must do, and whether a trace agrees.

Nothing third-party is imported here. ``range_tree`` follows kernel/bpf/range_tree.c, ``arena``
follows kernel/bpf/arena.c; ``judge`` holds events against them.
"""
