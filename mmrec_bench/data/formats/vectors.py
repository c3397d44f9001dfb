"""Feature files: ``.npy`` matrices to feature tables, never by pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.data.features import FeatureTable, row_blocks
from mmrec_bench.data.formats.base import BY_MODALITY, DatasetCard, FileName
from mmrec_bench.data.mapping import MAPPED_BYTES, MappedArray, mapped_file, temporary
from mmrec_bench.errors import DataError


class VectorFilesCard(DatasetCard):
    """Base of cards that name a file of vectors for each modality."""

    features: Annotated[Mapping[str, FileName], BY_MODALITY] = {}
    """A ``.npy`` file for each modality, row r for the item with row number r."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The keys of `features`."""
        return tuple(self.features)

    @property
    def fields(self) -> Mapping[str, str]:
        """The feature tables; see `DatasetCard.fields`."""
        return self.features


def read_tables(files: Mapping[str, Path], n_items: int) -> tuple[dict[str, FeatureTable], tuple[str, ...]]:
    """Read the file of each modality by `read_vectors`, and return the tables with the notes on all of them."""
    read = {modality: read_vectors(path, modality, n_items) for modality, path in files.items()}
    tables = {modality: table for modality, (table, _) in read.items()}
    return tables, tuple(note for _, notes in read.values() for note in notes)


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

    A large table is not read into memory: float32 stays in the file, other types are cast into a temporary one.

    Raises:
        DataError: A value is infinite, or becomes so as float32.
        ResourceError: There is no room for a temporary file.
    """
    values, filled, file = _room(path, stored)
    present = np.empty(len(stored), np.bool_)
    n_partly_nan = 0
    for rows in row_blocks(values):
        if not filled:
            with np.errstate(over="ignore"):
                values[rows] = stored[rows]
        nan = np.isnan(values[rows])
        if (infinite := np.isinf(values[rows]).any(axis=1)).any():
            row = rows.start + int(np.flatnonzero(infinite)[0])
            raise DataError(
                f"{path}: row {row} holds a value that is infinite as float32; features must be finite. "
                "Mark an item without the modality by a row of zeros or NaN"
            )
        present[rows] = (values[rows] != 0).any(axis=1) & ~nan.any(axis=1)
        n_partly_nan += int((nan.any(axis=1) & ~nan.all(axis=1)).sum())
        absent = rows.start + np.flatnonzero(~present[rows] & ~nan.all(axis=1))
        values[absent] = np.nan
    if file is not None:
        values.flush()
        values = MappedArray.of(file, np.float32, values.shape)
    table = FeatureTable(modality, values, present, source or path.name)
    notes = (f"{n_partly_nan} rows of '{modality}' hold some NaN and are missing",) if n_partly_nan else ()
    return table, notes


def _room(path: Path, stored: NDArray[Any]) -> tuple[Any, bool, BinaryIO | None]:
    """Return where the values of a table go, whether they are there already, and their temporary file, if any."""
    if stored.size * 4 <= MAPPED_BYTES:
        return np.empty(stored.shape, np.float32), False, None
    if isinstance(stored, np.memmap) and stored.dtype == np.float32 and stored.flags.c_contiguous:
        return mapped_file(path, np.float32, stored.shape, stored.offset), True, None
    file, values = temporary(np.float32, stored.shape)
    return values, False, file


def _open(path: Path) -> NDArray[Any]:
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file. Check the name in the card and the folder of the data") from None
    except Exception as error:  # a damaged header may raise nearly anything
        # Where numpy would unpickle, its message names the unsafe way.
        reason = "" if "pickle" in str(error) else f" ({' '.join(str(error).split())[:200]})"
        raise DataError(
            f"{str(path)!r}: cannot be read as a .npy matrix of numbers{reason}. It is damaged, cut short or holds "
            "Python objects, which are never unpickled; write it again with numpy.save of a float32 array"
        ) from None
    if not isinstance(stored, np.ndarray):
        stored.close()
        raise DataError(f"{path}: is an archive of arrays (.npz); needs one matrix written by numpy.save")
    return stored
