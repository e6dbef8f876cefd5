"""Event records of the ring to rows of the table `events`, one batch at a time.

This is the hot path of a recording: numpy on mapped memory, no Python loop over events.
"""
