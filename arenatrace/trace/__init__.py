"""Trace directories: write, seal, read, recover and follow them; `meta.json`.

`schema.py` defines the columns. A reader never trusts a file: it verifies lengths, types and
checksums, and raises `TraceError` for damage.
"""
