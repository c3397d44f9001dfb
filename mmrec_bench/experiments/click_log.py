"""Clicks on training lists, simulated from their labels: what a log would hold had these lists been shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from mmrec_bench.clicks import ClickModelField
from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import DataError
from mmrec_bench.seeding import Seeds
from mmrec_bench.settings import BaseConfig, explained_error
from mmrec_bench.types import DoubleArray, IntArray

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge

Logging: TypeAlias = Literal["delivered", "random", "linear"]


class ClickLogConfig(BaseConfig):
    """How training lists are shown and clicked; labels of the held-out parts stay what they are."""

    model: ClickModelField
    """The click model, such as ``{name: pbm, severity: 1.0}``."""
    sessions: PositiveInt = 1
    """How often every training list is shown; each time it is ordered and clicked anew."""
    shown: PositiveInt | None = 10
    """Rows shown of each list, its top by the logging order; the rest is not learned from. All rows if null."""
    order: Logging = "linear"
    """Who orders the lists. ``linear``: a ridge regression of the labels on the row features, fitted on `labelled` of
    the training lists, as weak as a production ranker at its start; ``delivered``: as they stand in the data;
    ``random``: anew each time, under which positions say nothing of relevance."""
    labelled: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the training lists on which ``linear`` is fitted, drawn at random, and more until two labels differ;
    0.01 by default. Of ``linear`` alone."""
    seed: NonNegativeInt = 0
    """Of orders and clicks; runs of all seeds learn from the same log."""

    @model_validator(mode="before")
    @classmethod
    def _default_share(cls, data: Any) -> Any:
        """Write the default out where it is read, so that the resolved config is complete and loads again."""
        if isinstance(data, Mapping) and data.get("order", "linear") == "linear" and data.get("labelled") is None:
            return {**data, "labelled": 0.01}
        return data

    @model_validator(mode="after")
    def _share_is_read(self) -> Self:
        if self.labelled is not None and self.order != "linear":
            raise explained_error(
                f"labelled is of order: linear; with order: {self.order} it would do nothing. Remove it"
            )
        return self


def log_clicks(train: Lists, config: ClickLogConfig) -> Lists:
    """Show training lists and log what is clicked.

    Args:
        train: Labelled lists.
        config: How.

    Returns:
        One list a session, rows in the order shown, with positions, clicks and the probability that each row was
        observed given the clicks above it; without these probabilities where one of them is 0, as below the click that
        ends a cascade. Labels stay, for checks; no model that learns from clicks sees them.

    Raises:
        DataError: The lists hold no labels, or not those that the settings need.
    """
    check_clickable(train, config)
    seeds = Seeds(config.seed)
    sessions = train.select(np.tile(np.arange(train.n_lists), config.sessions))
    keys = _keys(train, sessions, config, seeds)
    rows = np.lexsort((np.arange(len(sessions)), -keys, sessions.list_of))
    places = np.arange(len(rows)) - sessions.offsets()[sessions.list_of]
    if config.shown is not None:
        kept = places < config.shown
        rows, places = rows[kept], places[kept]
    shown = take_rows(sessions, rows)
    assert shown.labels is not None
    labels = np.full((shown.n_lists, int(places.max()) + 1), -1, np.int64)
    labels[shown.list_of, places] = shown.labels
    popularity = np.ones(labels.shape)
    counts = train.item_counts()
    popularity[shown.list_of, places] = counts[shown.items] / counts.max()
    clicked = config.model.simulate(labels, seeds.numpy("click-log/clicks"), popularity)
    propensities = clicked.conditional[shown.list_of, places].astype(np.float32)
    return dataclasses.replace(
        shown,
        positions=places + 1,
        clicks=clicked.clicks[shown.list_of, places],
        propensities=propensities if (propensities > 0).all() else None,
    )


def check_clickable(train: Lists, config: ClickLogConfig) -> None:
    """Refuse lists on which no clicks can be simulated.

    Raises:
        DataError: They hold no labels, labels beyond the scale of the click model, or nothing from which the logging
            order could be learned.
    """
    if train.labels is None:
        raise DataError("dataset.clicks needs labels to simulate clicks from; the training lists hold none. Remove it")
    if (largest := int(train.labels.max())) > (known := config.model.attraction.max_label):
        raise DataError(
            f"labels of the training lists go up to {largest}, and dataset.clicks.model.attraction.max_label is "
            f"{known}. Raise it"
        )
    if config.order != "linear":
        return
    if train.features is None:
        raise DataError("dataset.clicks.order 'linear' needs features of rows; choose 'delivered' or 'random'")
    if train.labels.min() == train.labels.max():
        raise DataError("dataset.clicks.order 'linear' needs labels that differ; choose 'delivered' or 'random'")


def take_rows(lists: Lists, rows: IntArray) -> Lists:
    """Return lists with some of their rows in another order; at least one of every list, list by list."""
    columns = ("features", "positions", "clicks", "labels", "propensities")
    changed = {name: array[rows] for name in columns if (array := getattr(lists, name)) is not None}
    return dataclasses.replace(lists, list_of=lists.list_of[rows], items=lists.items[rows], **changed)


def _keys(train: Lists, sessions: Lists, config: ClickLogConfig, seeds: Seeds) -> DoubleArray:
    """Return what the rows of each session are ordered by, largest first."""
    match config.order:
        case "delivered":
            return np.zeros(len(sessions))
        case "random":
            return seeds.numpy("click-log/order").random(len(sessions))
        case "linear":
            assert config.labelled is not None
            ranker = _linear(train, config.labelled, seeds)
            scores: DoubleArray = ranker.predict(sessions.features)
            return scores


def _linear(train: Lists, share: float, seeds: Seeds) -> Ridge:
    """Fit the logging ranker on the first lists, in random order, that make up the share and hold two labels."""
    from sklearn.linear_model import Ridge  # imported late: it takes half a second

    assert train.labels is not None
    assert train.features is not None
    order = seeds.numpy("click-log/labelled").permutation(train.n_lists)
    chance = np.empty(train.n_lists, np.int64)
    chance[order] = np.arange(train.n_lists)
    differs = np.flatnonzero(train.labels != train.labels[np.argmin(chance[train.list_of])])
    needed = max(int(np.ceil(share * train.n_lists)), int(chance[train.list_of[differs]].min()) + 1)
    rows = chance[train.list_of] < needed
    spread = train.features[rows].std(axis=0)
    columns = np.where(spread > 1e-8, 1 / np.maximum(spread, 1e-8), 0)
    ranker = Ridge(alpha=1.0).fit(train.features[rows] * columns, train.labels[rows])
    ranker.coef_ = ranker.coef_ * columns  # of features as they are
    return ranker
