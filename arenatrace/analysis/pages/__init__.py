"""The history of arena pages: operations on a page, its state at a given time, its neighbours.

`coverage.py` says how much of that history the trace holds. `causes/` is built on this
package and must not be imported here.
"""
