"""The checkout's root, from which tests name every file outside their own folder."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
