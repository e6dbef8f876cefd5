"""The screens of the terminal interface, one per file.

`help_screen.py` holds the keys and the reading aid of each view.
"""
