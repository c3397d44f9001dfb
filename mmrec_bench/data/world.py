"""The synthetic world: what configures it, and the truth behind its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from mmrec_bench.data.arrays import checked, checked_ids
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.settings import BaseConfig, explained_error
from mmrec_bench.types import DoubleArray, IntArray

Kind: TypeAlias = Literal["image", "text", "collaborative"]

KINDS: tuple[Kind, ...] = ("image", "text", "collaborative")
"""What drives a user; `WorldTruth.user_kinds` holds places in this tuple."""

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]

Weight: TypeAlias = Annotated[float, Field(ge=0, le=5)]
"""Bounded, so that no probability underflows."""


class KindShares(BaseConfig):
    """Shares of the users of each kind; they sum to 1."""

    image: Share = 0.0
    """Users whose taste is over the factors that image features carry."""
    text: Share = 0.0
    """Users whose taste is over the factors that text features carry."""
    collaborative: Share = 0.0
    """Users whose taste is over factors that no feature carries."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> KindShares:
        if abs(self.image + self.text + self.collaborative - 1) > 1e-9:
            raise explained_error(
                f"the shares of image, text and collaborative users must sum to 1; got {self.image} + {self.text} + "
                f"{self.collaborative}"
            )
        return self


class FeatureConfig(BaseConfig):
    """The feature table of one modality."""

    dim: PositiveInt = 64
    """Columns of the table."""
    signal: Share = 0.8
    """Share of each column's variance that the modality's item factors carry; the rest is independent noise."""
    missing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the items without a vector."""


class ImpressionConfig(BaseConfig):
    """Logged lists: what the logging policy shows, what is observed, what is clicked."""

    n_lists: PositiveInt = 10_000
    """Number of logged lists."""
    list_length: PositiveInt = 10
    """Items shown in each list."""
    candidate_relevance: Weight = 0.5
    """Weight of the true affinity in the log odds by which an item becomes a candidate of a list."""
    candidate_popularity: Weight = 0.5
    """Weight of log popularity in those log odds; with both 0 candidates are uniform draws from the catalogue."""
    relevance_weight: Weight = 0.5
    """Weight of the true affinity in the logging score that orders the candidates; standard normal noise is added."""
    popularity_weight: Weight = 0.5
    """Weight of log popularity in the logging score; with both 0 the order is random."""
    position_exponent: Weight = 1.0
    """Severity eta of position bias: a row at rank r is seen with probability r^-eta, if it is popular enough."""
    popularity_floor: Annotated[float, Field(ge=0.001, le=1)] = 0.4
    """Factor f of the observation probability of an item without popularity; 1 switches popularity bias off."""
    popularity_exponent: Weight = 0.5
    """Exponent gamma of popularity, relative to the most popular item, in the observation probability."""
    click_noise: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Probability that an observed item of label 0 is clicked."""
    n_features: PositiveInt = 16
    """Columns of the features of each row."""
    feature_signal: Share = 0.5
    """Share of each column's variance that affinity and log popularity carry."""


class ArrangementConfig(BaseConfig):
    """Lists whose best order is no order of scores: what a row is worth hangs on those above it."""

    n_lists: PositiveInt = 22_000
    """Number of lists."""
    list_length: Annotated[int, Field(ge=2, le=32)] = 8
    """Items of each list."""
    history_decay: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Factor by which an item of the history counts less than the one after it; with 1 their order does not matter."""
    diversity_weight: Weight = 2.0
    """Weight of the largest similarity to an item placed above, where it is positive; with 0 the best order is one of
    scores."""
    diversity_window: PositiveInt | None = None
    """How many of the items placed last it is about; null = all that are above."""


class WorldConfig(BaseConfig):
    """A synthetic world; the same config gives the same bytes."""

    seed: NonNegativeInt = 0
    """Number from which every random stream is derived."""
    n_users: Annotated[int, Field(ge=1, le=10_000_000)] = 2_000
    """Users; each has at least `min_interactions` interactions."""
    n_items: Annotated[int, Field(ge=2, le=10_000_000)] = 1_000
    """Items of the catalogue, chosen by anyone or not."""
    mean_interactions: PositiveFloat = 12.0
    """Expected interactions of a user; counts follow a power law from the minimum to the maximum."""
    min_interactions: PositiveInt = 6
    """Fewest interactions of a user."""
    max_interactions: PositiveInt = 200
    """Most interactions of a user."""
    users: KindShares = KindShares(image=0.4, text=0.3, collaborative=0.3)
    """What drives the users."""
    factor_dim: Annotated[int, Field(ge=2, le=64)] = 8
    """Item factors of each kind, and length of a user's taste."""
    taste_strength: Annotated[float, Field(ge=0, le=20)] = 3.0
    """Standard deviation of a user's taste over the items, in logits; 0 = everyone follows popularity alone."""
    popularity_exponent: Annotated[float, Field(ge=0, le=4)] = 0.4
    """Popularity of the item of rank r is proportional to r^-exponent; 0 = all items alike."""
    image: FeatureConfig = FeatureConfig()
    """Image features."""
    text: FeatureConfig = FeatureConfig(dim=32)
    """Text features."""
    start_time: NonNegativeInt = 1_577_836_800
    """First second of the world, UTC; 2020-01-01 by default."""
    span_days: Annotated[float, Field(gt=0, le=36_500)] = 360.0
    """Length of the world's time."""
    n_periods: Annotated[int, Field(ge=1, le=1_000)] = 12
    """Equal periods of the span within which popularity and tastes stand still."""
    user_life: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the span during which a user is active; it begins at a uniformly random time."""
    popularity_drift: Annotated[float, Field(ge=0, le=5)] = 1.0
    """Standard deviation over items of the change of log popularity from the middle of the span to its end."""
    taste_drift: Share = 0.0
    """Share of a quarter turn by which every taste turns over the span; 1 = the last is orthogonal to the first."""
    impressions: ImpressionConfig = ImpressionConfig()
    """Logged lists."""
    arrangements: ArrangementConfig | None = None
    """If given, these lists are made in the place of logged ones."""

    @model_validator(mode="after")
    def _feasible(self) -> WorldConfig:
        low, mean, high = self.min_interactions, self.mean_interactions, self.max_interactions
        if not low <= mean <= (low + high) / 2:
            raise explained_error(
                f"mean_interactions must lie between min_interactions ({low}) and half way to max_interactions "
                f"({(low + high) / 2:g}), as a falling power law has it; got {mean:g}"
            )
        if high >= self.n_items:
            raise explained_error(f"max_interactions must be below n_items ({self.n_items}); got {high}")
        for name, lists in (("impressions", self.impressions), ("arrangements", self.arrangements)):
            if lists is not None and lists.list_length > self.n_items:
                raise explained_error(
                    f"{name}.list_length must be at most n_items ({self.n_items}); got {lists.list_length}"
                )
        if self.arrangements is not None and self.impressions != ImpressionConfig():
            raise explained_error(
                "arrangements are made in the place of impressions, whose settings would do nothing; give one of them"
            )
        return self


def products(left: DoubleArray, right: DoubleArray) -> DoubleArray:
    """Return ``left @ right.T`` for float64 ``[n, k]`` and ``[m, k]``, summed over k in order.

    BLAS rounds differently from one machine and thread count to the next; plain sums give the same bits everywhere.
    """
    total = left[:, :1] * right[:, 0]
    for column in range(1, left.shape[1]):
        total += left[:, column, None] * right[:, column]
    return total


@dataclass(frozen=True, slots=True, eq=False)
class WorldTruth:
    """What nobody knows about real data.

    Time is the share of the span that has passed, in [0, 1].

    Attributes:
        config: What the world was made from.
        user_kinds: Place in `KINDS` of each user's kind, int64 ``[n_users]``.
        tastes: Taste of each user at time 0 over the factors of its kind, unit length, float64 ``[n_users, k]``.
        turns: Where the taste turns to, unit length, orthogonal to it, float64 ``[n_users, k]``.
        life_starts: Time at which each user becomes active, float64 ``[n_users]``.
        factors: Item factors of each kind, length sqrt(k), float64 ``[3, n_items, k]``.
        log_popularity: Log of each item's share of popularity in each period, float64 ``[n_periods, n_items]``.
    """

    config: WorldConfig
    user_kinds: IntArray
    tastes: DoubleArray
    turns: DoubleArray
    life_starts: DoubleArray
    factors: DoubleArray
    log_popularity: DoubleArray

    def __post_init__(self) -> None:
        config = self.config
        users, items, k = config.n_users, config.n_items, config.factor_dim
        object.__setattr__(self, "user_kinds", checked_ids("user_kinds", self.user_kinds, len(KINDS), users))
        shapes = {
            "tastes": (users, k),
            "turns": (users, k),
            "life_starts": (users,),
            "factors": (len(KINDS), items, k),
            "log_popularity": (config.n_periods, items),
        }
        for name, shape in shapes.items():
            object.__setattr__(self, name, checked(name, getattr(self, name), np.float64, shape))

    def periods(self, times: DoubleArray) -> IntArray:
        """Return the period of each time, int64, same shape."""
        n_periods = self.config.n_periods
        return np.minimum((times * n_periods).astype(np.int64), n_periods - 1)

    def seconds(self, times: DoubleArray) -> IntArray:
        """Return the clock of each time, seconds UTC, int64, same shape."""
        elapsed: IntArray = (times * self.config.span_days * 86_400).astype(np.int64)
        return self.config.start_time + elapsed

    def presence(self, users: IntArray) -> DoubleArray:
        """Return how much of the span each user is active in each period, float64 ``[B, n_periods]``."""
        begins, ends = self.active_bounds(users[:, None], np.arange(self.config.n_periods)[None, :])
        return np.maximum(ends - begins, 0.0)

    def active_bounds(self, users: IntArray, periods: IntArray) -> tuple[DoubleArray, DoubleArray]:
        """Return begin and end of a user's activity in a period, broadcast; the end is no later if there is none."""
        starts, n_periods = self.life_starts[users], self.config.n_periods
        return (
            np.maximum(starts, periods / n_periods),
            np.minimum(starts + self.config.user_life, (periods + 1) / n_periods),
        )

    def affinities(self, users: IntArray, times: DoubleArray) -> DoubleArray:
        """Return how much each user likes each item at a time, in standard deviations, float64 ``[B, n_items]``."""
        now, turned = self._affinity_parts(users)
        angles = self._quarter() * times[:, None]
        return np.cos(angles) * now + np.sin(angles) * turned

    def choice_weights(self, users: IntArray) -> DoubleArray:
        """Return the weight with which each user chooses each item over its life, float64 ``[B, n_items]``.

        The sum over periods of presence x popularity x exp(taste strength x affinity). A user's choices are draws
        without replacement in proportion to it, so no scorer that knows all but the draws ranks better.
        """
        now, turned = self._affinity_parts(users)
        presence = self.presence(users)
        total = np.zeros_like(now)
        for period in range(self.config.n_periods):
            total += presence[:, period, None] * self._period_weights(now, turned, period)
        return total

    def period_weights(self, users: IntArray, items: IntArray) -> DoubleArray:
        """Return the terms of the sum of `choice_weights` for pairs, float64 ``[E, n_periods]``."""
        rows = self.factors[self.user_kinds[users], items]
        now, turned = ((table[users] * rows).sum(axis=1) for table in (self.tastes, self.turns))
        weights = self.presence(users)
        for period in range(self.config.n_periods):
            weights[:, period] *= self._period_weights(now, turned, period, items)
        return weights

    def _period_weights(
        self, now: DoubleArray, turned: DoubleArray, period: int, items: IntArray | slice = slice(None)
    ) -> DoubleArray:
        angle = self._quarter() * (period + 0.5) / self.config.n_periods
        affinity = np.cos(angle) * now + np.sin(angle) * turned
        weights: DoubleArray = np.exp(self.config.taste_strength * affinity + self.log_popularity[period, items])
        return weights

    def _quarter(self) -> float:
        """Return the angle in radians by which tastes turn over the span."""
        return self.config.taste_drift * np.pi / 2

    def _affinity_parts(self, users: IntArray) -> tuple[DoubleArray, DoubleArray]:
        """Return the affinities of tastes and of turns, each float64 ``[B, n_items]``."""
        kinds = self.user_kinds[users]
        parts = []
        for table in (self.tastes, self.turns):
            affinity = np.empty((len(users), self.config.n_items))
            for kind in np.unique(kinds):
                rows = kinds == kind
                affinity[rows] = products(table[users[rows]], self.factors[kind])
            parts.append(affinity)
        return parts[0], parts[1]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A synthetic data set with the truth behind it.

    Attributes:
        dataset: What recommenders see.
        truth: What they have to find out.
    """

    dataset: Dataset[Interactions]
    truth: WorldTruth
