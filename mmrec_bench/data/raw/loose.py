"""Lines that are almost JSON: Python literals, as in the 2014 metadata, and JSON with NaN or broken surrogates."""

from __future__ import annotations

import ast
import json
import warnings
from typing import Any

MAX_LITERAL = 1 << 20
"""Characters of a Python literal; the parser of literals takes many times the memory of its text."""


def strict_json(text: str) -> str | None:
    """Return a line as strict JSON, or None where it can be read neither as JSON nor as a Python literal.

    Literals are read by `ast.literal_eval`: nothing is ever evaluated. Numbers that are not finite become null.
    """
    for read in (_json, _literal):
        try:
            return json.dumps(_finite(read(text)), ensure_ascii=False).encode("utf-8", "replace").decode()
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return None


def _json(text: str) -> Any:
    return json.loads(text)


def _literal(text: str) -> Any:
    if len(text) > MAX_LITERAL or not text.lstrip().startswith("{"):
        raise ValueError
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "invalid escape sequence": titles of real files hold backslashes
        return ast.literal_eval(text.strip())


def _finite(value: Any) -> Any:
    """Return a value without numbers that JSON does not know, and with texts as keys."""
    if isinstance(value, dict):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
