"""Tests of arenatrace.capture.identity."""
