"""Tests of arenatrace.analysis."""
