"""Thrift's compact protocol, in which parquet files say what they hold, read strictly."""

from __future__ import annotations

from typing import Any

_TRUE, _FALSE, _BYTE, _DOUBLE, _BYTES, _LIST, _STRUCT = 1, 2, 3, 7, 8, 9, 12
_WHOLE = {4: 16, 5: 32, 6: 64}
"""Types that parquet is told in; whole numbers with their bits. It has no use for sets and maps."""
_MAX_FIELD, _MAX_DEPTH = 31, 9
UNREADABLE = (IndexError, KeyError, TypeError, ValueError)
"""What reading other bytes as a structure raises."""


def structure(content: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Return the fields of a structure by their numbers, and where it ends.

    Whole numbers, structures and lists are returned as they are; anything else as None.

    What writers have no use for is an error, so that no decoder can read the same bytes in another way: fields given
    twice, numbers that lose bits, other types.

    Raises:
        IndexError, ValueError: These bytes are none.
    """
    found: dict[int, Any] = {}
    field = 0
    while head := content[at]:
        at, kind = at + 1, head & 15
        if head >> 4:
            field += head >> 4
        else:
            field, at = _whole(content, at, 16)
        if field in found or not 0 < field <= _MAX_FIELD:
            raise ValueError(field)
        found[field], at = (None, at) if kind in (_TRUE, _FALSE) else _value(content, at, kind, depth)
    return found, at + 1


def _value(content: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    """Return what stands in a field or a list, and where it ends."""
    if kind in _WHOLE:
        return _whole(content, at, _WHOLE[kind])
    if kind == _BYTES:
        length, at = _number(content, at)
        return None, at + length
    if kind == _STRUCT and depth < _MAX_DEPTH:
        return structure(content, at, depth + 1)
    if kind == _LIST and depth < _MAX_DEPTH:
        return _listed(content, at, depth + 1)
    if kind in (_TRUE, _FALSE, _BYTE, _DOUBLE):
        return None, at + (8 if kind == _DOUBLE else 1)
    raise ValueError(kind)


def _listed(content: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    head, at = content[at], at + 1
    length = head >> 4
    if length == 15:
        length, at = _number(content, at)
    found = []
    for _ in range(length):  # each takes a byte at least, so that a false length ends where the bytes do
        value, at = _value(content, at, head & 15, depth)
        found.append(value)
        if at > len(content):
            raise IndexError(at)
    return found, at


def _whole(content: bytes, at: int, bits: int) -> tuple[int, int]:
    """Return a number with its sign, which is its last bit, and where it ends."""
    number, at = _number(content, at)
    if number >> bits:
        raise ValueError(number)
    return (number >> 1) ^ -(number & 1), at


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits in each byte, and where it ends."""
    number = 0
    for shift in range(0, 64, 7):
        number |= (content[at] & 127) << shift
        at += 1
        if content[at - 1] < 128:
            return number, at
    raise ValueError(number)
