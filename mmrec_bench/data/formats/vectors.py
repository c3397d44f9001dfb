"""Feature files: ``.npy`` matrices to feature tables, never by pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import DataError

_BLOCK_VALUES = 1 << 22
"""Values converted at a time, so that a file larger than memory allows fails on the table, not on temporaries."""


def read_vectors(
    path: Path, modality: str, n_items: int, source: str | None = None
) -> tuple[FeatureTable, tuple[str, ...]]:
    """Read one row an item from a ``.npy`` file of any float or integer dtype.

    Everything is cast to float32 before it is looked at. Rows that are all zero or hold a NaN are missing.

    Args:
        path: The file, a matrix ``[n_items, d]``.
        modality: Name of the table.
        n_items: Number of items of the catalogue.
        source: Where the vectors come from, for manifests; the name of the file by default.

    Returns:
        The table, and notes on what was found.

    Raises:
        DataError: The file is missing, damaged, of objects, of another shape, or holds infinite values.
    """
    stored = _open(path)
    if stored.dtype.kind not in "fiu":
        raise DataError(f"{path}: features must be numbers (float16, float32 or float64); got {stored.dtype}")
    if stored.ndim != 2:
        raise DataError(f"{path}: features must be a matrix, items x values; got the shape {stored.shape}")
    if len(stored) != n_items:
        raise DataError(
            f"{path}: features of '{modality}' need one row an item: {n_items}; got {len(stored)}. Row r belongs to "
            "itemID r; give an all-zero row to an item without the modality, or list all items in an id mapping file"
        )
    if stored.shape[1] == 0:
        raise DataError(f"{path}: features of '{modality}' have no column")
    return as_table(path, stored, modality, source)


def as_table(
    path: Path, stored: NDArray[Any], modality: str, source: str | None = None
) -> tuple[FeatureTable, tuple[str, ...]]:
    """Cast a matrix ``[n_items, d]`` to a feature table with absent rows marked, and say what was found.

    Raises:
        DataError: A value is infinite, or becomes so as float32.
    """
    values = np.empty(stored.shape, np.float32)
    present = np.empty(len(stored), np.bool_)
    n_partly_nan = 0
    step = max(1, _BLOCK_VALUES // stored.shape[1])
    for start in range(0, len(stored), step):
        rows = slice(start, start + step)
        with np.errstate(over="ignore"):
            values[rows] = stored[rows]
        nan = np.isnan(values[rows])
        if (infinite := np.isinf(values[rows]).any(axis=1)).any():
            row = start + int(np.flatnonzero(infinite)[0])
            raise DataError(
                f"{path}: row {row} holds a value that is infinite as float32; features must be finite. "
                "Mark an item without the modality by a row of zeros or NaN"
            )
        present[rows] = (values[rows] != 0).any(axis=1) & ~nan.any(axis=1)
        n_partly_nan += int((nan.any(axis=1) & ~nan.all(axis=1)).sum())
    values[~present] = np.nan
    table = FeatureTable(modality, values, present, source or path.name)
    notes = (f"{n_partly_nan} rows of '{modality}' hold some NaN and are missing",) if n_partly_nan else ()
    return table, notes


def _open(path: Path) -> NDArray[Any]:
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. Check the name in the card and the folder of the data") from None
    except Exception as error:  # a damaged header may raise nearly anything
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{str(path)!r}: cannot be read as a .npy matrix of numbers ({reason}). It is damaged, cut short or holds "
            "Python objects, which are never unpickled; write it again with numpy.save of a float32 array"
        ) from None
    if not isinstance(stored, np.ndarray):
        stored.close()
        raise DataError(f"{path}: is an archive of arrays (.npz); needs one matrix written by numpy.save")
    return stored
