"""Line prefixes of loggers: dmesg, journal, syslog, the sched_ext watcher.

One logger per file; `detect.py` recognizes the form of each line.
"""
