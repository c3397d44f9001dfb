"""The image features of the Amazon 2014 release: records of an item id and 4096 float32, into ``.npy``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmrec_bench.data.raw.rows import Source
from mmrec_bench.errors import DataError

DIM = 4096
RECORD = np.dtype([("item", "S10"), ("vector", "<f4", (DIM,))])
"""Source: https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html, "Visual features"."""

_ROWS = 512
"""Records, or rows, held in memory at a time: 8 MiB."""


def import_image_features(source: Source, item_ids: Any, path: Path) -> int:
    """Write one row an item, NaN where the file has no usable vector of it; rows are never all in memory.

    Args:
        source: The binary file; of an item that comes again the first record counts.
        item_ids: External ids, Arrow array of text ``[n_items]``.
        path: The ``.npy`` file, float32 ``[n_items, 4096]``.

    Returns:
        How many items have no vector.

    Raises:
        DataError: The file is packed, no such file of records, or cut short where that is not allowed.
    """
    file = source.file
    if file.kind != "plain" or file.member is not None:
        raise DataError(f"{file.path}: is packed; unpack it, so that its records can be read in place")
    n_records, rest = divmod(file.n_bytes, RECORD.itemsize)
    if rest or not n_records:
        if not source.cut_short or not n_records:
            raise DataError(
                f"{file.path}: {file.n_bytes:,} bytes are not whole records of {RECORD.itemsize:,} bytes (10 of an "
                f"item id, {DIM} float32); it is cut short, or of another kind. Get it again, or write "
                "`allow_cut_short: true` under 'build' to use the whole records"
            )
        source.problems.add(file.name, "cut-short", n_records + 1)
    ids = np.array([text.encode()[:11] for text in item_ids.to_pylist()], "S11")
    order = np.argsort(ids, kind="stable")
    missing = np.ones(len(ids), np.bool_)
    known = np.zeros(len(ids), np.bool_)
    _write_missing(path, len(ids))
    table = np.lib.format.open_memmap(path, mode="r+")
    records = np.memmap(file.path, RECORD, "r", shape=(n_records,))
    for start in range(0, n_records, _ROWS):
        block = records[start : start + _ROWS]
        place = np.minimum(np.searchsorted(ids, block["item"], sorter=order), len(ids) - 1)
        rows = order[place]
        wanted = np.flatnonzero(ids[rows] == block["item"])
        repeats = known[rows[wanted]]
        first = wanted[~repeats][np.sort(np.unique(rows[wanted[~repeats]], return_index=True)[1])]
        if n_repeated := len(wanted) - len(first):
            again = np.setdiff1d(wanted, first)
            source.problems.add(file.name, "repeated-item", start + int(again[0]) + 1, n_repeated)
        known[rows[first]] = True
        vectors = block["vector"][first]
        good = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
        if not good.all():
            source.problems.add(file.name, "vector", start + int(first[~good][0]) + 1, int((~good).sum()))
        table[rows[first[good]]] = vectors[good]
        missing[rows[first[good]]] = False
    table.flush()
    return int(missing.sum())


def _write_missing(path: Path, n_items: int) -> None:
    """Write a table in which all are missing; what is mapped later has its place on the disk by then."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (n_items, DIM)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n_items, _ROWS):
            file.write(np.full((min(_ROWS, n_items - start), DIM), np.nan, "<f4").tobytes())
