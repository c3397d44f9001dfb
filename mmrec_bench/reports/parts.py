"""Held-out parts of a split, in words."""

from __future__ import annotations

PARTS = {"valid": "validation", "test": "test"}
