"""Text of the kernel's own reports to a trace directory.

`wrappers/` removes what loggers put in front of a line, `reports/` parses the lines, the files
here turn reports into rows. Unknown facts become null, never a guess.
"""
