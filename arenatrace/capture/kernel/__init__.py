"""What the running kernel offers: BTF, structure offsets, probe points, profile.

Features are detected here, from BTF and ftrace, never from a version number.
Nothing here loads a BPF program.
"""
