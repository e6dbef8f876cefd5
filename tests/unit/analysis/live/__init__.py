"""Tests of arenatrace.analysis.live: bounds and eviction."""
