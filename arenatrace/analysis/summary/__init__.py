"""Summaries of one trace, or of many traces grouped by host and boot.

Each event and fault counts once, even if traces overlap. The rows are the public JSON of
`arenatrace summary`; new members may be added, existing ones keep their meaning.
"""
