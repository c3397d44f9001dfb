"""The base of click models: checked labels in, clicks or exact expectations out, in blocks of bounded memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import numpy as np
from pydantic import PlainValidator, SerializeAsAny

from mmrec_bench.clicks.causes import PADDING, Attraction, PopularityBias, checked_popularity
from mmrec_bench.errors import DataError
from mmrec_bench.registry import Registry
from mmrec_bench.settings import BaseConfig, named
from mmrec_bench.types import BoolArray, DoubleArray, IntArray

BLOCK_CELLS = 1 << 18
"""Rows of lists walked at once; bounds memory and keeps a block near the processor, and never changes a result."""


@dataclass(frozen=True, slots=True, eq=False)
class Clicked:
    """One simulated session a list; padding is neither observed nor clicked and has probability 0.

    Attributes:
        clicks: bool ``[n, L]``.
        observed: Whether the row was examined, bool ``[n, L]``; whatever is clicked was.
        propensities: True probability that the row is examined, over all sessions of this list, float64 ``[n, L]``:
            the expected click is this times the attraction. 0 below rows that always end a session.
        conditional: True probability that the row is examined, given the clicks drawn above it, float64 ``[n, L]``.
            Equal to `propensities` where examination does not depend on clicks (``pbm``); the propensity that inverse
            weighting uses for ``ubm``.
    """

    clicks: BoolArray
    observed: BoolArray
    propensities: DoubleArray
    conditional: DoubleArray


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """Exact probabilities, 0 where padded.

    Attributes:
        examination: That the row is examined, float64 ``[n, L]``.
        clicks: That it is clicked, float64 ``[n, L]``.
    """

    examination: DoubleArray
    clicks: DoubleArray


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """What a click model needs of a block of lists.

    Attributes:
        attraction: Probability that a row is clicked once examined, float64 ``[m, L]``; 0 where padded.
        bias: Factor of examination that is not the model's own: popularity bias, and 0 where padded, ``[m, L]``.
    """

    attraction: DoubleArray
    bias: DoubleArray


class ClickModel(BaseConfig):
    """Base of click models. Lists are shown as given: column i of an array holds rank i + 1."""

    name: str
    attraction: Attraction = Attraction()
    """Probability that an examined row is clicked."""

    @abstractmethod
    def examination(self, walk: Walk) -> DoubleArray:
        """Return the exact probability that each row is examined, float64 ``[m, L]``."""

    @abstractmethod
    def session(self, walk: Walk, draws: DoubleArray) -> tuple[BoolArray, BoolArray, DoubleArray]:
        """Return clicks, observed rows and conditional examination of a session of each list, each ``[m, L]``.

        Args:
            walk: The lists.
            draws: Uniform numbers ``[m, L, 2]``, for examination and for the click.
        """

    def bias(self, popularity: DoubleArray | None, labels: IntArray) -> DoubleArray:
        """Return `Walk.bias`; here popularity counts for nothing."""
        shown: DoubleArray = (labels != PADDING).astype(np.float64)
        return shown

    def simulate(self, labels: IntArray, rng: np.random.Generator, popularity: DoubleArray | None = None) -> Clicked:
        """Draw one session of each list.

        Args:
            labels: Graded relevance in the order shown, whole numbers ``[n, L]``, -1 = padding at the end.
            rng: Draws two numbers a cell, padding included, list after list: the first lists of a longer input of the
                same width get the same clicks.
            popularity: Of each row, relative to the most popular item, in (0, 1], ``[n, L]``; needed by models with a
                popularity bias, and not looked at by others.

        Raises:
            DataError: Arrays that break these rules.
        """
        labels = self.attraction.checked(labels)
        result = Clicked(
            clicks=np.empty(labels.shape, np.bool_),
            observed=np.empty(labels.shape, np.bool_),
            propensities=np.empty(labels.shape, np.float64),
            conditional=np.empty(labels.shape, np.float64),
        )
        for rows, walk in self._walks(labels, popularity):
            result.propensities[rows] = self.examination(walk)
            draws = rng.random((*walk.attraction.shape, 2))
            result.clicks[rows], result.observed[rows], result.conditional[rows] = self.session(walk, draws)
        return result

    def expected(self, labels: IntArray, popularity: DoubleArray | None = None) -> Expected:
        """Return the exact probabilities of examination and click.

        Args:
            labels: As for `simulate`.
            popularity: As for `simulate`.

        Raises:
            DataError: Arrays that break these rules.
        """
        labels = self.attraction.checked(labels)
        result = Expected(np.empty(labels.shape, np.float64), np.empty(labels.shape, np.float64))
        for rows, walk in self._walks(labels, popularity):
            result.examination[rows] = self.examination(walk)
            result.clicks[rows] = result.examination[rows] * walk.attraction
        return result

    def _walks(self, labels: IntArray, popularity: DoubleArray | None) -> Iterator[tuple[slice, Walk]]:
        n_lists, length = labels.shape
        block = max(1, BLOCK_CELLS // max(length, 1))
        if popularity is not None and popularity.shape != labels.shape:
            raise DataError(f"popularity needs one value a row, {labels.shape}; got {popularity.shape}")
        for start in range(0, n_lists, block):
            rows = slice(start, start + block)
            bias = self.bias(None if popularity is None else popularity[rows], labels[rows])
            yield rows, Walk(self.attraction.of(labels[rows]), bias)


class PopularityBiasedModel(ClickModel):
    """A click model whose user can overlook a row and see one below it, so that popularity can draw or miss the eye."""

    popularity: PopularityBias | None = None
    """Popularity bias of examination; none by default."""

    def bias(self, popularity: DoubleArray | None, labels: IntArray) -> DoubleArray:
        """Return the factor of popularity, 0 where padded.

        Raises:
            DataError: The model has a popularity bias and popularity is missing or outside (0, 1].
        """
        shown = super().bias(None, labels)
        if self.popularity is None:
            return shown
        if popularity is None:
            raise DataError(f"{self.name} has a popularity bias and was given no popularity; pass it, or drop the bias")
        return shown * self.popularity.of(checked_popularity(popularity, labels))


CLICK_MODELS: Registry[type[ClickModel]] = Registry("click model")
"""Click models by name."""

ClickModelField = Annotated[
    SerializeAsAny[ClickModel], PlainValidator(named(lambda: CLICK_MODELS, ClickModel, lambda entry: entry))
]
"""A field that takes ``pbm`` or ``{name: ubm, severity: 0.5}``."""

C = TypeVar("C", bound=type[ClickModel])


def click_model(name: str) -> Callable[[C], C]:
    """Return a decorator that registers a click model."""

    def register(config: C) -> C:
        CLICK_MODELS.register(name, config)
        return config

    return register


def by_rank(constants: Sequence[float], n_ranks: int) -> DoubleArray:
    """Return a constant for each rank, float64 ``[n_ranks]``; ranks beyond the last constant repeat it."""
    places = np.minimum(np.arange(n_ranks), len(constants) - 1)
    return np.asarray(constants, np.float64)[places]
