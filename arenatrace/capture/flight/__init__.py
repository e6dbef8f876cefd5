"""The flight recorder: retain the last seconds in segments, seal a window around each fault.

Sealing runs in another thread and never delays the drain.
"""
