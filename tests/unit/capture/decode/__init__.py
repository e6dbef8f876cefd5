"""Tests of arenatrace.capture.decode."""
