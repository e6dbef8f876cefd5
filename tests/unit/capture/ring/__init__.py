"""Tests of arenatrace.capture.ring."""
