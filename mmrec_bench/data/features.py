"""Item features of one modality, with absence made explicit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmrec_bench.data.arrays import checked, digest
from mmrec_bench.errors import DataError
from mmrec_bench.types import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """One vector an item, or none.

    Absent rows hold NaN, so that code which reads them without asking `present` cannot produce a plausible number.

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
        bad = present & ~np.isfinite(values).all(axis=1)
        if bad.any():
            raise DataError(
                f"{name}: {int(bad.sum())} present rows are not finite, first {int(np.flatnonzero(bad)[0])}"
            )
        if not present.all() and not np.isnan(values[~present]).all():
            values = values.copy()
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
        """Return a copy in which absent rows hold ``value``, float32 ``[n_items, d]``."""
        values = np.array(self.values)
        values[~self.present] = value
        return values

    def fingerprint(self) -> str:
        """Return a content fingerprint of name, vectors and presence."""
        return digest(self.modality, self.filled(), self.present)
