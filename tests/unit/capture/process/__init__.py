"""Tests of arenatrace.capture.process."""
