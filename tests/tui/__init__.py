"""The terminal interface, driven as a user drives it."""
