"""How much the tests repeat: examples of property tests, steps through files, parameters.

ARENATRACE_RUNS multiplies the examples. ARENATRACE_TESTS reduces all of them: ``make test-fast``
sets it to ``fast``, ``make test-quick`` to ``quick``.
"""

from __future__ import annotations

import os

_DIVISORS = {"": 1, "fast": 4, "quick": 20}
_DIVISOR = _DIVISORS[os.environ.get("ARENATRACE_TESTS", "")]
#: Whether only a sample of each test's parameters runs.
SAMPLED = os.environ.get("ARENATRACE_TESTS") == "quick"
_FEWEST = 5
#: Examples of a property test that names no number, as in hypothesis.
DEFAULT = 100


def runs(usual: int) -> int:
    """Return the number of examples for a test that runs ``usual`` ones by default."""
    factor = int(os.environ.get("ARENATRACE_RUNS") or "1")
    return max(usual * factor // _DIVISOR, min(usual, _FEWEST))


def stride(usual: int) -> int:
    """Return the step, in bytes, of a test that cuts a file every ``usual`` bytes by default.

    Longer steps are odd if ``usual`` is, so that the cuts fall on every alignment.
    """
    return usual if _DIVISOR == 1 else usual * (_DIVISOR + 1)
