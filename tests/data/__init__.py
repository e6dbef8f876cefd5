"""Traces that tests make: builders, random histories, rows fed to a growing trace."""
