"""Item features of one modality, with absence made explicit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmrec_bench.data.arrays import checked, digest
from mmrec_bench.data.mapping import MappedArray, copied, mapping_of, temporary
from mmrec_bench.errors import DataError
from mmrec_bench.types import BoolArray, FloatArray

BLOCK_VALUES = 1 << 22
"""Values looked at at a time, 16 MiB: what is worked out of a whole table takes memory of its own size else."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """One vector an item, or none.

    Absent rows hold NaN, so that code which reads them without asking `present` cannot produce a plausible number.
    The values of a large table stay in their file (`mmrec_bench.data.mapping`), and nothing here copies them whole.

    Attributes:
        modality: Name such as ``image``, ``text`` or ``audio``.
        values: float32 ``[n_items, d]``; rows of absent items are NaN whatever was given there.
        present: bool ``[n_items]``.
        source: Where the vectors come from (file, encoder), for cards and manifests.

    Raises:
        DataError: Wrong types or lengths, no column, or a present row that is not finite.
    """

    modality: str
    values: FloatArray
    present: BoolArray
    source: str

    def __post_init__(self) -> None:
        name = f"features of '{self.modality}'"
        values = checked(name, self.values, np.float32, (None, None))
        present = checked(f"{name}: present", self.present, np.bool_, (len(values),))
        if values.shape[1] == 0:
            raise DataError(f"{name} have no column")
        finite, unmarked = np.empty(len(values), np.bool_), False
        for rows in row_blocks(values):
            finite[rows] = np.isfinite(values[rows]).all(axis=1)
            unmarked |= not np.isnan(values[rows][~present[rows]]).all()
        if (bad := present & ~finite).any():
            raise DataError(
                f"{name}: {int(bad.sum())} present rows are not finite, first {int(np.flatnonzero(bad)[0])}"
            )
        if unmarked:
            values = copied(values)
            values[~present] = np.nan
            values.flags.writeable = False
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "present", present)

    @property
    def n_items(self) -> int:
        """Number of items, with or without a vector."""
        return len(self.values)

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return int(self.values.shape[1])

    @property
    def n_missing(self) -> int:
        """Number of items without a vector."""
        return int((~self.present).sum())

    def filled(self, value: float = 0.0) -> FloatArray:
        """Return a copy in which absent rows hold ``value``, float32 ``[n_items, d]``; it may be written to."""
        values: FloatArray = copied(self.values)
        values[~self.present] = value
        return values

    def unit(self) -> FloatArray:
        """Return a copy whose rows have length 1, absent rows and rows of zeros being zero, float32 ``[n_items, d]``.

        That of a table which stays in its file is a temporary file, mapped.

        Raises:
            ResourceError: There is no room for a temporary file.
        """
        if mapping_of(self.values) is None:
            return unit_rows(self.filled())
        file, scaled = temporary(np.float32, self.values.shape)
        for rows in row_blocks(self.values):
            scaled[rows] = unit_rows(np.where(self.present[rows, None], self.values[rows], np.float32(0)))
        return MappedArray.of(file, np.float32, scaled.shape)

    def fingerprint(self) -> str:
        """Return a content fingerprint of name, vectors and presence."""
        return digest(self.modality, self.filled(), self.present)


def row_blocks(values: FloatArray) -> Iterator[slice]:
    """Yield the rows of a matrix ``[n, d]`` in blocks of at most `BLOCK_VALUES` values."""
    step = max(1, BLOCK_VALUES // values.shape[1])
    for start in range(0, len(values), step):
        yield slice(start, start + step)


def joined(tables: Sequence[FeatureTable]) -> FeatureTable:
    """Return one table that holds the vectors of several side by side, each scaled to unit length.

    A modality an item lacks is zero in its vector; an item that lacks all of them is absent.

    Args:
        tables: One table a modality, at least one, of the same items.
    """
    return FeatureTable(
        modality="+".join(table.modality for table in tables),
        values=np.concatenate([table.unit() for table in tables], axis=1),
        present=np.logical_or.reduce([table.present for table in tables]),
        source="joined: " + ", ".join(table.source for table in tables),
    )


def unit_rows(values: FloatArray) -> FloatArray:
    """Scale rows ``[n, d]`` to unit length, rows of zeros apart; the array is overwritten and returned."""
    largest = np.maximum(values.max(axis=1), -values.min(axis=1))
    # Powers of two round nothing, and afterwards no square over- or underflows.
    np.ldexp(values, -np.frexp(largest)[1][:, None], out=values)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    values /= np.where(lengths > 0, lengths, np.float32(1))
    return values
