"""Widgets that several views share: table, page grid, histogram, time slider, key bar.

A widget draws what it is given and posts messages; it reads no trace.
"""
