"""Unit tests: no kernel, no root, no network."""
