"""Tests of arenatrace.capture.kernel."""
