"""The terminal interface: one file per region of the screen, computed off the UI thread."""
