"""Traces for tests: builders, random histories, oracle worlds of recorded traces."""
