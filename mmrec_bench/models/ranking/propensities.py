"""Propensities by position, estimated from clicks before any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import ModelError
from mmrec_bench.types import DoubleArray, IntArray

Estimate: TypeAlias = Literal["click-rate", "item-effects"]

SMALLEST = 1e-4
"""No estimate is smaller: a position without a click is not one that nobody sees."""
MAX_ROUNDS, TOLERANCE = 500, 1e-6


def click_rates(lists: Lists) -> DoubleArray:
    """Return the share of clicked rows at each position, relative to the largest.

    Args:
        lists: With positions and clicks.

    Returns:
        float64 ``[n_positions + 1]``; row 0 is 1 and stands for padding.
    """
    positions, clicks = _facts(lists)
    return _relative(_sums(positions, clicks) / np.maximum(np.bincount(positions), 1))


def item_effects(lists: Lists) -> DoubleArray:
    """Return theta of ``P(click) = theta_position gamma_item``, relative to the largest.

    The most likely effects if clicks were Poisson, by turns: theta is clicks over what gamma expects of a position, and
    gamma clicks over what theta expects of an item. Items that are shown at one position alone say nothing. The idea is
    intervention harvesting (Agarwal et al., WSDM 2019, https://arxiv.org/abs/1812.05161).

    Args:
        lists: With positions and clicks.

    Returns:
        See `click_rates`.

    Raises:
        ModelError: Clicks of items at several positions do not tie all positions with clicks together.
    """
    positions, clicks = _facts(lists)
    width = int(positions.max(initial=0)) + 1
    cells, where, shown = np.unique(lists.items * width + positions, return_inverse=True, return_counts=True)
    items, places = np.divmod(cells, width)
    items = np.unique(items, return_inverse=True)[1]
    clicked = _sums(where, clicks)
    of_items, of_places = _sums(items, clicked), _sums(places, clicked, width)
    _check_overlap(items, places, of_items, of_places)
    theta = np.ones(width)
    for _ in range(MAX_ROUNDS):
        gamma = of_items / _sums(items, shown * theta[places])
        expected = _sums(places, shown * gamma[items], width)
        found = _relative(of_places / np.where(expected > 0, expected, 1.0))
        if np.abs(found / theta - 1).max() < TOLERANCE:
            break
        theta = found
    return theta


ESTIMATORS: Mapping[Estimate, Callable[[Lists], DoubleArray]] = MappingProxyType(
    {"click-rate": click_rates, "item-effects": item_effects}
)
"""Estimators by name."""


def _facts(lists: Lists) -> tuple[IntArray, DoubleArray]:
    if lists.positions is None or lists.clicks is None:
        raise ModelError("propensities are estimated from positions and clicks, and the training lists lack them")
    return lists.positions, lists.clicks.astype(np.float64)


def _sums(groups: IntArray, values: DoubleArray, n_groups: int = 0) -> DoubleArray:
    """Return the sum of values in each group, float64."""
    return np.bincount(groups, values, n_groups).astype(np.float64)


def _relative(rates: DoubleArray) -> DoubleArray:
    found: DoubleArray = np.maximum(rates / max(rates.max(initial=0.0), SMALLEST), SMALLEST)
    found[:1] = 1.0
    return found


def _check_overlap(items: IntArray, places: IntArray, of_items: DoubleArray, of_places: DoubleArray) -> None:
    """Refuse positions that no clicked item ties to the others: their ratio could be anything."""
    n_items = len(of_items)
    tie = of_items[items] > 0
    links = (np.ones(tie.sum()), (items[tie], n_items + places[tie]))
    groups = connected_components(coo_matrix(links, shape=(n_items + len(of_places),) * 2), directed=False)[1]
    if len(np.unique(groups[n_items:][of_places > 0])) > 1:
        raise ModelError(
            "ipw: item-effects needs items that were shown and clicked at several positions, so that all positions can "
            "be compared; here they cannot. Use propensities: click-rate, if lists were shown in random order, or a "
            "model that learns propensities from features of rows, such as regression-em"
        )
