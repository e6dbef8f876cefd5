"""Why a page was not mapped when it was touched: one cause per fault, with evidence.

`rules.py` decides the reason and confidence of each fault. To add a cause, extend `schema.Cause`,
`reasons.py`, `rules.py` and docs/causes.md. `evidence.py` turns the joined facts into sentences.
"""
