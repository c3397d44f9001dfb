"""What makes a row attractive and what makes it seen, apart from the click model: labels and popularity."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field, NonNegativeFloat, model_validator

from mmrec_bench.errors import DataError
from mmrec_bench.settings import BaseConfig, explained_error
from mmrec_bench.types import DoubleArray, IntArray

Share = Annotated[float, Field(ge=0, le=1)]

PADDING = -1


class Attraction(BaseConfig):
    """Probability that an examined row is clicked, by its label y in 0..max_label.

    ``irrelevant + (relevant - irrelevant) * (2^y - 1) / (2^max_label - 1)``, as in Chapelle et al. (2009,
    https://doi.org/10.1145/1645953.1646033) with the noise that ULTRA adds (https://arxiv.org/abs/2108.05073).
    """

    irrelevant: Share = 0.1
    """Of label 0: the noise of clicks."""
    relevant: Share = 1.0
    """Of label `max_label`."""
    max_label: Annotated[int, Field(ge=1, le=30)] = 4
    """Highest label; 1 for binary labels."""

    @model_validator(mode="after")
    def _rises(self) -> Attraction:
        if self.irrelevant >= self.relevant:
            raise explained_error(
                f"irrelevant must be below relevant, or clicks say nothing; got {self.irrelevant} and {self.relevant}"
            )
        return self

    def of(self, labels: IntArray) -> DoubleArray:
        """Return the probability of each label, 0 for padding; float64 in the shape of `labels`."""
        levels = np.arange(self.max_label + 1, dtype=np.float64)
        gains = (np.exp2(levels) - 1) / (2.0**self.max_label - 1)
        table = np.append(self.irrelevant + (self.relevant - self.irrelevant) * gains, 0.0)
        found: DoubleArray = table[labels]  # the last entry is that of -1
        return found

    def checked(self, labels: IntArray) -> IntArray:
        """Return labels as int64 ``[n, L]``.

        Raises:
            DataError: Another shape, no whole numbers, a label outside 0..max_label, or padding before the end.
        """
        if labels.ndim != 2 or labels.dtype.kind not in "iu":
            raise DataError(f"labels must be whole numbers [n, L]; got {labels.dtype} of shape {labels.shape}")
        if labels.size and labels.max() > self.max_label:
            raise DataError(
                f"labels must be at most attraction.max_label ({self.max_label}); got {labels.max()}. Raise max_label"
            )
        if labels.size and labels.min() < PADDING:
            raise DataError(f"labels must be at least 0, or -1 where padded; got {labels.min()}")
        padded = labels == PADDING
        if (padded[:, :-1] & ~padded[:, 1:]).any():
            raise DataError("padding (-1) must stand at the end of a list; a label follows it. Close up the list")
        return labels.astype(np.int64, copy=False)


class PopularityBias(BaseConfig):
    """Popular items are seen more often: examination is multiplied with ``floor + (1 - floor) * popularity^exponent``.

    A reconstruction: InfoRank (https://doi.org/10.1145/3589334.3645356) merges position and popularity bias into one
    observation factor, and its abstract does not say how.
    """

    floor: Share = 0.4
    """Factor of an item without popularity; 1 switches the bias off."""
    exponent: NonNegativeFloat = 1.0
    """Exponent of popularity."""

    def of(self, popularity: DoubleArray) -> DoubleArray:
        """Return the factor of each row, float64."""
        factors: DoubleArray = self.floor + (1 - self.floor) * popularity**self.exponent
        return factors


def checked_popularity(popularity: DoubleArray, labels: IntArray) -> DoubleArray:
    """Return popularity as float64 ``[n, L]``, 1 where padded.

    Raises:
        DataError: A value of a row outside (0, 1].
    """
    values: DoubleArray = np.where(labels == PADDING, 1.0, popularity)
    if bad := values[~((values > 0) & (values <= 1))].tolist():
        raise DataError(f"popularity must lie in (0, 1], relative to the most popular item; got {bad[0]}")
    return values
