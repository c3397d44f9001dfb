"""Lists of the synthetic world whose best order hangs on what stands above each row, and on the order of a history."""

from __future__ import annotations

import dataclasses

import numpy as np

from mmrec_bench.data.histories import histories_before
from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.data.synthetic import BLOCK_CELLS
from mmrec_bench.data.world import ArrangementConfig, World, WorldTruth
from mmrec_bench.seeding import Seeds
from mmrec_bench.types import DoubleArray, IntArray


def arrangements(world: World) -> Lists:
    """Draw lists and label them by their best order, as `ArrangementConfig` says.

    A list is for a random user at a random time of the second half of its life; its items are uniform draws, in random
    order. With unit factors v of the user's kind, the user wants ``t``, the mean of the v of its history weighed by
    ``decay^age``, scaled to unit length. From the top on, the best row of those left is the one with the largest
    ``t . v_d - weight * max(0, max_placed(v_placed . v_d))``, the maximum over the rows placed last, as many as the
    window says; at the top there is none. The label of a row is the number of rows below it in this order.

    Returns:
        Lists in time order, all of one length, with histories; nothing but their items describes the rows.
    """
    truth, config = world.truth, world.truth.config
    lists = config.arrangements or ArrangementConfig()
    rng = Seeds(config.seed).numpy("world/arrangements")
    users = rng.integers(config.n_users, size=lists.n_lists)
    times = truth.life_starts[users] + (0.5 + 0.5 * rng.random(lists.n_lists)) * config.user_life
    order = np.argsort(times, kind="stable")
    users, times = users[order], times[order]
    items = np.concatenate(
        [
            rng.random((len(block), config.n_items)).argsort(axis=1)[:, : lists.list_length]
            for block in np.array_split(users, -(-lists.n_lists * config.n_items // BLOCK_CELLS))
        ]
    )
    shown = Lists(
        list_of=np.repeat(np.arange(lists.n_lists), lists.list_length),
        items=items.reshape(-1),
        n_items=config.n_items,
        users=users,
        n_users=config.n_users,
        positions=np.tile(np.arange(1, lists.list_length + 1), lists.n_lists),
        timestamps=truth.seconds(times),
    )
    wanted = _wanted(truth, users, histories_before(world.dataset.payload, shown), lists.history_decay)
    vectors = _unit_factors(truth, users[:, None], items)
    labels = best_order_labels(
        _dots(wanted[:, None], vectors), _similarities(vectors), lists.diversity_weight, lists.diversity_window
    )
    return dataclasses.replace(shown, labels=labels.reshape(-1))


def best_order_labels(
    utilities: DoubleArray, similarities: DoubleArray, weight: float, window: int | None = None
) -> IntArray:
    """Return the number of rows below each one in the best order.

    Args:
        utilities: What each row is worth by itself, float64 ``[n, L]``.
        similarities: Of each row to each, float64 ``[n, L, L]``.
        weight: Of the largest similarity to a row that is placed, where that is positive.
        window: How many of the rows placed last count; all by default.
    """
    n, length = utilities.shape
    lists, labels, left = np.arange(n), np.zeros((n, length), np.int64), np.ones((n, length), np.bool_)
    above = np.zeros((1, n, length))
    for below in reversed(range(length)):
        chosen = np.where(left, utilities - weight * above.max(axis=0), -np.inf).argmax(axis=1)
        labels[lists, chosen] = below
        left[lists, chosen] = False
        above = np.concatenate([above, similarities[None, lists, chosen]])
        if window is not None and len(above) > window + 1:
            above = np.delete(above, 1, axis=0)  # the zeros stay: what is unlike is no bonus
    return labels


def _wanted(truth: WorldTruth, users: IntArray, histories: Histories, decay: float) -> DoubleArray:
    """Return the direction of what users want, float64 ``[n, k]``; zeros without a history."""
    list_of = np.repeat(np.arange(len(users)), np.diff(histories.offsets))
    ages = histories.offsets[1:][list_of] - 1 - np.arange(len(histories.items))
    rows = _unit_factors(truth, users[list_of], histories.items) * (decay**ages)[:, None]
    total = np.stack([np.bincount(list_of, column, len(users)).astype(np.float64) for column in rows.T], axis=1)
    return total / np.maximum(np.sqrt(_dots(total, total)), 1e-12)[:, None]


def _unit_factors(truth: WorldTruth, users: IntArray, items: IntArray) -> DoubleArray:
    """Return factors of items, of the kind that each user looks at, scaled to unit length."""
    factors: DoubleArray = truth.factors[truth.user_kinds[users], items] / truth.config.factor_dim**0.5
    return factors


def _similarities(vectors: DoubleArray) -> DoubleArray:
    """Return the products of all pairs of rows of a list, float64 ``[n, L, L]``."""
    return _dots(vectors[:, :, None], vectors[:, None])


def _dots(left: DoubleArray, right: DoubleArray) -> DoubleArray:
    """Return inner products over the last axis, summed in order: the same bits on every machine."""
    total = left[..., 0] * right[..., 0]
    for column in range(1, left.shape[-1]):
        total = total + left[..., column] * right[..., column]
    return total
