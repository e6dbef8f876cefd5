"""Trace directories: read, write, seal, recover, follow, and `meta.json`.

The columns are in `schema.py`. A reader never trusts a file: lengths, types and checksums are
verified, and damage is a `TraceError`.
"""
