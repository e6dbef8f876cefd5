"""The flight recorder: retain the last seconds in segments, seal a window around each fault.

Sealing runs beside the recording and never delays the drain.
"""
