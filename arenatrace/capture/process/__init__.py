"""Processes around a recording: the traced command, signals, priority, the user behind sudo.

Nothing here depends on the contents of a recording.
"""
