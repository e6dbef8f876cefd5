"""Types of numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

#: An array of integers of any width.
Ints = npt.NDArray[Any]
