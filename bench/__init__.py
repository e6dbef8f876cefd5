"""Benchmarks: run one with ``python -m bench.NAME``; each says what it is measured against."""
