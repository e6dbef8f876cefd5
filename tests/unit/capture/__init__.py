"""Live capture without a kernel: what can be shown from bytes alone."""
