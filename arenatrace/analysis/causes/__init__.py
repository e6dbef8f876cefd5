"""Why a page was not mapped when it was touched: one cause per fault, with evidence.

`rules.py` decides the cause and confidence; add a cause there and in `schema.Cause`.
`evidence.py` only words the facts that `diagnosis.py` joins to the faults.
"""
