"""Writing prepared data sets: the same rows make the same bytes, whatever order and number of threads they came by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmrec_bench.data.preparing.steps import Core

ROWS = 1 << 20
"""Rows of a row group."""


def write_interactions(path: Path, core: Core, labels: NDArray[np.int8] | None) -> None:
    """Write ``interactions.parquet``.

    Args:
        path: The file.
        core: The rows, sorted by user and item as text.
        labels: Part of each row, int8 ``[E]``.
    """
    columns = {"rating": core.ratings, "timestamp": core.times, "x_label": labels}
    known = {name: column for name, column in columns.items() if column is not None}
    types = {name: pa.from_numpy_dtype(column.dtype) for name, column in known.items()}
    schema = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), *types.items()])

    def batches() -> Iterator[Any]:
        for start in range(0, len(core.users), ROWS):
            part = slice(start, start + ROWS)
            ids = core.user_ids.take(pa.array(core.users[part])), core.item_ids.take(pa.array(core.items[part]))
            yield pa.record_batch([*ids, *(pa.array(column[part]) for column in known.values())], schema=schema)

    write_batches(path, batches(), schema)


def write_batches(path: Path, batches: Iterator[Any], schema: Any) -> None:
    """Write record batches as zstd-compressed Parquet, in row groups that do not depend on how the batches are cut."""
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        waiting: list[Any] = []
        n_waiting = 0
        for batch in batches:
            waiting.append(batch)
            n_waiting += len(batch)
            while n_waiting >= ROWS:
                table = pa.Table.from_batches(waiting, schema)
                writer.write_table(table.slice(0, ROWS), row_group_size=ROWS)
                waiting = table.slice(ROWS).to_batches()
                n_waiting -= ROWS
        if n_waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=ROWS)
