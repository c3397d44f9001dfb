"""Recipes: how impressions with a label are made of interactions or of logged lists.

No impression hangs on anything that happens at its time or later, but for its own label.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PlainValidator, PositiveInt, SerializeAsAny

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.points import Points
from mmrec_bench.errors import DataError
from mmrec_bench.registry import Registry
from mmrec_bench.seeding import Seeds
from mmrec_bench.settings import BaseConfig, named
from mmrec_bench.types import BoolArray, IntArray

ROUNDS = 50
"""Draws of a negative before its place is left empty."""


class ImpressionRecipe(BaseConfig):
    """Base of all recipes.

    Attributes:
        reads: What a recipe is applied to.
    """

    reads: ClassVar[Literal["interactions", "lists"]]

    name: str

    @abstractmethod
    def points(self, payload: Interactions | Lists) -> Points:
        """Return the impressions.

        Raises:
            DataError: The data has no timestamps, or lacks what tells positives from negatives.
        """

    @property
    def text(self) -> str:
        """The recipe in words and numbers, as it stands in manifests."""
        return self.model_dump_json()


RECIPES: Registry[type[ImpressionRecipe]] = Registry("recipe of impressions")
"""Config classes of recipes by name."""

R = TypeVar("R", bound=type[ImpressionRecipe])


def _recipe(name: str) -> Callable[[R], R]:
    def register(config: R) -> R:
        RECIPES.register(name, config)
        return config

    return register


RecipeField = Annotated[
    SerializeAsAny[ImpressionRecipe], PlainValidator(named(lambda: RECIPES, ImpressionRecipe, lambda entry: entry))
]
"""A field that takes ``shown`` or ``{name: sampled, n: 4}``."""


@_recipe("rated")
class Rated(ImpressionRecipe):
    """Every interaction is an impression, and its value says whether it was liked: negatives are logged."""

    reads = "interactions"

    name: Literal["rated"] = "rated"
    threshold: float = 4.0
    """Smallest value with label 1; all others have label 0."""

    def points(self, payload: Interactions | Lists) -> Points:
        """Return one point an interaction."""
        assert isinstance(payload, Interactions)
        times = _timed(payload.timestamps, self.name)
        if payload.values is None:
            raise DataError(
                "recipe 'rated' needs values such as ratings, and the interactions have none. Choose "
                "dataset.impressions: sampled"
            )
        labels = (payload.values >= self.threshold).astype(np.int8)
        if len(np.unique(labels)) < 2:
            side = "at or above" if labels.all() else "below"
            raise DataError(
                f"recipe 'rated': all values lie {side} the threshold {self.threshold:g} (values from "
                f"{payload.values.min():g} to {payload.values.max():g}). Change dataset.impressions.threshold"
            )
        return _sorted(payload.users, payload.items, labels, times, payload, self.text)


@_recipe("shown")
class Shown(ImpressionRecipe):
    """Every row of a logged list is an impression, and its click is the label: negatives are logged."""

    reads = "lists"

    name: Literal["shown"] = "shown"

    def points(self, payload: Interactions | Lists) -> Points:
        """Return one point a row of a list."""
        assert isinstance(payload, Lists)
        times = _timed(payload.timestamps, self.name)
        if payload.clicks is None:
            raise DataError("recipe 'shown' needs clicks, and the lists have none. Choose a data set with a click log")
        users = payload.users[payload.list_of]
        return _sorted(users, payload.items, payload.clicks.astype(np.int8), times[payload.list_of], payload, self.text)


@_recipe("sampled")
class Sampled(ImpressionRecipe):
    """Every interaction is a positive, and negatives of the same user and second are drawn.

    A negative is drawn from the items seen before that moment, by anyone, and is none that its user has had up to then;
    what the user will have later may be drawn, for nobody knows it then. Chance is a function of the seed and of the
    place of the positive in time, so later rows change no earlier draw. Where too little has been seen, a positive has
    fewer negatives.
    """

    reads = "interactions"

    name: Literal["sampled"] = "sampled"
    n: PositiveInt = 4
    """Negatives of each positive, all different."""
    by: Literal["uniform", "popularity"] = "uniform"
    """How: each item seen so far alike, or in proportion to how often it has been seen so far."""
    seed: NonNegativeInt = 0
    """Of the draws; runs of all seeds share them."""

    def points(self, payload: Interactions | Lists) -> Points:
        """Return the positives and their negatives."""
        assert isinstance(payload, Interactions)
        times = _timed(payload.timestamps, self.name)
        order = np.lexsort((payload.items, payload.users, times))
        users, items, times = payload.users[order], payload.items[order], times[order]
        drawn = self._draw(users, items, times, payload.n_items)
        positive, column = (drawn >= 0).nonzero()
        return _sorted(
            np.concatenate([users, users[positive]]),
            np.concatenate([items, drawn[positive, column]]),
            np.repeat(np.array([1, 0], np.int8), [len(users), len(positive)]),
            np.concatenate([times, times[positive]]),
            payload,
            self.text,
        )

    def _draw(self, users: IntArray, items: IntArray, times: IntArray, n_items: int) -> IntArray:
        """Return negatives of events in time order, int64 ``[E, n]``, -1 where there is none."""
        pool, pool_times = items, times
        if self.by == "uniform":  # each item once, at its first time
            first = np.sort(np.unique(items, return_index=True)[1])
            pool, pool_times = items[first], times[first]
        sizes = np.searchsorted(pool_times, times)
        keys = users * np.int64(n_items) + items
        by_key = np.argsort(keys)
        keys, since = keys[by_key], times[by_key]

        def had(rows: IntArray, candidates: IntArray) -> BoolArray:
            """Whether the user of an event had an item by then."""
            wanted = users[rows] * np.int64(n_items) + candidates
            place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            found: BoolArray = (keys[place] == wanted) & (since[place] <= times[rows])
            return found

        drawn = np.full((len(users), self.n), -1, np.int64)
        seeds = Seeds(self.seed)
        for number in range(ROUNDS):
            rows, column = ((drawn < 0) & (sizes > 0)[:, None]).nonzero()
            if not len(rows):
                break
            # All chances of a round are drawn, whatever is still open: later rows must not shift those of earlier ones.
            chance = seeds.numpy("impressions", number).random(drawn.shape)[rows, column]
            candidates = pool[(chance * sizes[rows]).astype(np.int64)]
            fresh = ~had(rows, candidates) & ~(drawn[rows] == candidates[:, None]).any(axis=1)
            pair = rows * np.int64(n_items) + candidates
            once = np.zeros(len(rows), np.bool_)  # two columns of a row may draw alike in one round
            once[np.unique(pair, return_index=True)[1]] = True
            accepted = fresh & once
            drawn[rows[accepted], column[accepted]] = candidates[accepted]
        return drawn


def _timed(times: IntArray | None, name: str) -> IntArray:
    if times is None:
        raise DataError(
            f"recipe '{name}' needs timestamps, and the data has none. Choose a data set with a column of times"
        )
    if len(times) and times.min() == times.max():
        raise DataError(
            f"recipe '{name}': all {len(times)} timestamps are {times[0]}, so nothing comes before anything else. "
            "Choose a data set with real times"
        )
    return times


def _sorted(
    users: IntArray,
    items: IntArray,
    labels: NDArray[np.int8],
    times: IntArray,
    payload: Interactions | Lists,
    text: str,
) -> Points:
    return Points.sorted(users, items, labels, times, n_users=payload.n_users, n_items=payload.n_items, recipe=text)
