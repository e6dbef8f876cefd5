"""Rows to text and JSON; nothing is worked out here."""
