"""Tests of arenatrace.replay."""
