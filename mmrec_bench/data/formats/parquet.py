"""Parquet files, read as delimited text is: the same checks, with rows instead of lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmrec_bench.data.formats.tables import TextTable, missing_column, read_file, read_table, shown
from mmrec_bench.data.formats.times import TimestampUnit
from mmrec_bench.errors import DataError

_MAGIC = b"PAR1"


class ParquetTable(TextTable):
    """Columns of a Parquet file."""

    __slots__ = ()

    def place(self, row: int) -> str:
        """Return the number of a row, from 1."""
        return f"row {row + 1}"


def read_columns(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    numbers: Sequence[str] = (),
    clock: TimestampUnit = "s",
) -> TextTable:
    """Read columns of a Parquet file, or of delimited text with a header line; its first bytes tell which it is.

    Args:
        path: The file. Text is separated by tabs if the header holds one, else by commas, and may be gzip.
        required: Columns that must be there.
        optional: Columns that are read if they are there.
        numbers: Those among them that are kept as numbers, float64, where the file holds numbers.
        clock: What moments of Parquet are counted in since 1970, UTC; those without a zone are UTC.

    Raises:
        DataError: Names file, line or row, and what is wrong.
    """
    try:
        with path.open("rb") as file:
            is_parquet = file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        is_parquet = False
    if not is_parquet:
        return read_table(path, None, required, optional)
    data = read_file(path)
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        columns = list(file.schema_arrow.names)
        for name in required:
            if name not in columns:
                raise missing_column(path, name, columns)
        if repeated := [name for name in columns if columns.count(name) > 1]:
            raise DataError(f"{path}: the column {shown(repeated[0])} is named twice")
        wanted = [name for name in columns if name in required or name in optional]
        table = file.read(columns=wanted, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read as Parquet ({reason}); it is damaged or cut short") from None
    if table.num_rows == 0:
        raise DataError(f"{path}: has columns, but no row")
    arrays = {name: _plain(path, name, table.column(name), name in numbers, clock) for name in wanted}
    return ParquetTable(path, arrays, table.num_rows, tuple(name for name in columns if name not in wanted))


def _plain(path: Path, name: str, column: Any, as_numbers: bool, clock: TimestampUnit) -> Any:
    """Return a column as text, or as float64; empty cells become empty text, or NaN."""
    kind = column.type
    try:
        if pa.types.is_temporal(kind):
            column = column.cast(pa.timestamp(clock, getattr(kind, "tz", None)), safe=False).cast(pa.int64())
        if as_numbers and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            return _one(column.cast(pa.float64(), safe=False))
        return _one(pc.fill_null(column.cast(pa.string()), ""))
    except pa.ArrowException:
        raise DataError(f"{path}: the column '{name}' holds {kind}; needs text, numbers, moments or booleans") from None


def _one(column: Any) -> Any:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
