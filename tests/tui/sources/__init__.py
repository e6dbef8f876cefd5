"""Tests of arenatrace.tui.sources."""
