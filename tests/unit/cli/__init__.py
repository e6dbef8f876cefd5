"""Tests of arenatrace.cli."""
