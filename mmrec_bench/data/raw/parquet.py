"""Raw Parquet files, some rows at a time: columns of ids and numbers as text, or whole rows as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmrec_bench.data.formats.tables import missing_column
from mmrec_bench.data.raw.files import RawFile
from mmrec_bench.data.raw.lines import LINES
from mmrec_bench.errors import DataError

_ROWS = 1 << 16
"""Rows read at a time."""


@dataclass(frozen=True, slots=True)
class ParquetColumns:
    """Some columns of a file, as text, with the numbers of the rows.

    Attributes:
        file: The file.
        names: The columns.
        schema: Of the batches: ``line`` and a column a name.
    """

    file: RawFile
    names: tuple[str, ...]
    schema: Any

    def batches(self) -> Iterator[Any]:
        """Yield record batches of the schema."""
        number = 1
        for batch in _read(self.file, self.names):
            columns = [_text(self.file, name, batch.column(batch.schema.names.index(name))) for name in self.names]
            yield pa.record_batch([_numbers(number, len(batch)), *columns], schema=self.schema)
            number += len(batch)


def parquet_columns(file: RawFile, names: Sequence[str]) -> ParquetColumns:
    """Return columns of a Parquet file as text.

    Raises:
        DataError: The file is damaged or lacks a column; when read, a column holds lists or moments.
    """
    schema = pa.schema([("line", pa.int64()), *((name, pa.string()) for name in dict.fromkeys(names))])
    return ParquetColumns(file, tuple(dict.fromkeys(names)), schema)


def parquet_rows(file: RawFile, names: Sequence[str]) -> Iterator[Any]:
    """Yield the rows of a Parquet file as lines of JSON objects, with those of the named columns that are there."""
    number = 1
    for batch in _read(file, names, required=False):
        texts = [json.dumps(row, ensure_ascii=False, default=str) for row in batch.to_pylist()]
        yield pa.record_batch([_numbers(number, len(batch)), pa.array(texts, pa.string())], schema=LINES)
        number += len(batch)


def _read(file: RawFile, names: Sequence[str], *, required: bool = True) -> Iterator[Any]:
    if file.member is not None:
        raise DataError(f"{file.path}: Parquet within an archive cannot be read; unpack {file.member!r}")
    try:
        with pq.ParquetFile(file.path) as stored:
            known = list(stored.schema_arrow.names)
            for name in names if required else ():
                if name not in known:
                    raise missing_column(file.path, name, known)
            wanted = [name for name in known if name in names]
            yield from stored.iter_batches(_ROWS if required else 2048, columns=wanted, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{file.path}: cannot be read as Parquet ({reason}); it is damaged or cut short") from None


def _numbers(start: int, n: int) -> Any:
    return pa.array(np.arange(start, start + n, dtype=np.int64))


def _text(file: RawFile, name: str, column: Any) -> Any:
    if pa.types.is_temporal(column.type) or pa.types.is_nested(column.type):
        raise DataError(f"{file.path}: the column '{name}' holds {column.type}; needs text or numbers")
    try:
        return column.cast(pa.string())
    except pa.ArrowException:
        raise DataError(f"{file.path}: the column '{name}' holds {column.type}; needs text or numbers") from None
