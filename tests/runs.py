"""Number of random examples of the property tests.

ARENATRACE_RUNS multiplies it. ARENATRACE_TESTS divides it: ``make test-fast`` sets ``fast``,
``make test-quick`` sets ``quick``.
"""

from __future__ import annotations

import os

_DIVISORS = {"": 1, "fast": 4, "quick": 20}
_FEWEST = 5
#: Of a property test that names no number, as in hypothesis.
DEFAULT = 100


def runs(usual: int) -> int:
    """Return the number of examples for a test that runs ``usual`` ones by default."""
    divisor = _DIVISORS[os.environ.get("ARENATRACE_TESTS", "")]
    factor = int(os.environ.get("ARENATRACE_RUNS") or "1")
    return max(usual * factor // divisor, min(usual, _FEWEST))
