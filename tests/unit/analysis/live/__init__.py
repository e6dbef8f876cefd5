"""Tests of arenatrace.analysis.live: the live window, its limits and eviction."""
