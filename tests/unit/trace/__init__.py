"""Tests of arenatrace.trace."""
