"""Users beside the best row: shares, bins, and who has no score of a user's own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmrec_bench.reports.plots.users import BINS, differences_of, differences_plot

from .made_up import KEY, row

ROWS = [row("best", 0.5, 1), row("other", 0.4, 1)]


def of(best: list[float], other: list[float]) -> dict[str, np.ndarray]:
    return {"config-best": np.array([best]), "config-other": np.array([other])}


def test_shares_are_of_all_users_and_bins_hold_those_who_differ() -> None:
    (found,) = differences_of(ROWS, of([0.5, 0.5, 0.0, 0.0, 0.2], [1.0, 0.5, 0.0, 0.0, 0.1]))
    assert (found.better, found.equal, found.worse) == (0.2, 0.6, 0.2)
    assert found.shares.sum() == pytest.approx(0.4)
    assert found.edges[BINS] == 0
    assert found.shares[-1] == 0.2  # the greatest difference stands in the last bin


def test_bins_are_the_same_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    best, other = rng.integers(0, 5, 300) / 4, rng.integers(0, 5, 300) / 4
    (found,) = differences_of(ROWS, of(best.tolist(), other.tolist()))
    (turned,) = differences_of(ROWS, of(other.tolist(), best.tolist()))
    assert found.shares.tolist() == turned.shares[::-1].tolist()


def test_rounding_of_means_over_seeds_is_no_difference() -> None:
    scores = {"config-best": np.array([[0.1], [0.2], [0.3]]), "config-other": np.array([[0.3], [0.2], [0.1]])}
    (found,) = differences_of(ROWS, scores)
    assert found.equal == 1.0


def test_nothing_is_drawn_of_one_row_or_of_parts_of_a_metric() -> None:
    scores = of([0.5, 0.0], [0.4, 0.1])
    assert differences_plot(KEY, ROWS[:1], scores) is None
    assert differences_plot(dataclasses.replace(KEY, task="ctr"), ROWS, scores) is None
    plot = differences_plot(KEY, ROWS, scores)
    assert plot is not None
    assert "50.0 % better, 50.0 % worse" in plot.svg
