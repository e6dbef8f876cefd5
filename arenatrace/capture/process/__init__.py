"""Processes around a recording: the traced command, signals, priority, the user behind sudo.

Nothing here knows what is recorded.
"""
