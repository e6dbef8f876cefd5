"""Import of kernel report text into a trace directory.

`wrappers/` strips logger prefixes, `reports/` parses the lines, the files here turn reports into
rows. A value that the text lacks becomes null, never a guess.
"""
