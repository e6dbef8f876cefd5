"""Tests of arenatrace.analysis, among them an independent oracle of causes."""
