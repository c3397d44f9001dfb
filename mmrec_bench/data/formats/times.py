"""Timestamps of files to seconds UTC."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from mmrec_bench.data.formats.tables import TextTable
from mmrec_bench.types import IntArray

TimestampUnit: TypeAlias = Literal["s", "ms"]
"""Seconds or milliseconds since 1970-01-01 UTC."""

_LATEST = 10**11
"""The year 5138; a larger number of seconds is a number of milliseconds."""


def seconds(table: TextTable, column: str, unit: TimestampUnit) -> IntArray:
    """Return a column of times as whole seconds UTC, rounded down, int64 ``[n_rows]``.

    Raises:
        DataError: A value is no number, or beyond the year 5138.
    """
    numbers = table.numbers(column, "timestamps")
    if unit == "ms":
        numbers = numbers / 1000
    if (late := np.abs(numbers) > _LATEST).any():
        hint = " They look like milliseconds: set timestamp_unit: ms in the card" if unit == "s" else ""
        raise table.error(column, late, f"timestamps are seconds before the year 5138.{hint}")
    return np.floor(numbers).astype(np.int64)
