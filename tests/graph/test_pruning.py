from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mmrec_bench.graph.bipartite import normalised_interactions
from mmrec_bench.graph.pruning import draw_without_replacement, prune_edges


def probability(order: tuple[int, ...], weights: np.ndarray[Any, Any]) -> float:
    """Probability that sequential sampling without replacement draws exactly this sequence."""
    left, result = weights.sum(), 1.0
    for position in order:
        result *= weights[position] / left
        left -= weights[position]
    return result


@pytest.mark.parametrize("size", [1, 2, 3])
def test_draws_follow_sequential_sampling(size: int) -> None:
    weights = np.array([1.0, 2.0, 0.3, 4.0])
    n, rng = 40_000, np.random.default_rng(11)
    drawn = np.array([draw_without_replacement(weights, size, rng) for _ in range(n)])
    for subset in itertools.combinations(range(len(weights)), size):
        expected = sum(probability(order, weights) for order in itertools.permutations(subset))
        seen = (drawn == subset).all(axis=1).mean()
        assert abs(seen - expected) < 4.5 * np.sqrt(expected * (1 - expected) / n), subset


@pytest.mark.parametrize("size", [0, 5])
def test_nothing_or_everything_is_drawn(size: int) -> None:
    drawn = draw_without_replacement(np.ones(5), size, np.random.default_rng(0))
    assert drawn.tolist() == list(range(size))


@pytest.mark.parametrize("dropout", [0.0, 0.3, 0.8, 0.99])
def test_number_of_kept_edges(edges: Any, dropout: float) -> None:
    users, items = prune_edges(
        edges.users, edges.items, edges.n_users, edges.n_items, dropout, np.random.default_rng(3)
    )
    assert len(users) == int(len(edges.users) * (1 - dropout))
    kept, all_pairs = set(zip(users, items, strict=True)), set(zip(edges.users, edges.items, strict=True))
    assert len(kept) == len(users)
    assert kept <= all_pairs
    block = normalised_interactions(users, items, edges.n_users, edges.n_items)
    degrees = np.bincount(users, minlength=edges.n_users)[:, None] * np.bincount(items, minlength=edges.n_items)
    for user, item in kept:
        assert block[user, item] == pytest.approx(degrees[user, item] ** -0.5, rel=1e-6)


def test_edges_between_popular_nodes_are_dropped_most() -> None:
    # user 0 holds items 0..19; users 1..19 hold item 0 and one item of their own
    users = np.concatenate([np.zeros(20), np.arange(1, 20), np.arange(1, 20)]).astype(np.int64)
    items = np.concatenate([np.arange(20), np.zeros(19), np.arange(20, 39)]).astype(np.int64)
    counts = np.zeros((20, 39))
    rng = np.random.default_rng(8)
    for _ in range(400):
        counts[prune_edges(users, items, 20, 39, 0.8, rng)] += 1
    assert counts[0, 0] / 400 < 0.05  # weight 1/20
    assert counts[np.arange(1, 20), np.arange(20, 39)].mean() / 400 > 0.3  # weight 1/sqrt(2)
