"""Text of the kernel's own reports to a trace directory: one text format per file."""
