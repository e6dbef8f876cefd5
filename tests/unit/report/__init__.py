"""Tests of arenatrace.report."""
