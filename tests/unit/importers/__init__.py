"""Tests of arenatrace.importers."""
