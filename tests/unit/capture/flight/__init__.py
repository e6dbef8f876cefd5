"""Tests of arenatrace.capture.flight."""
