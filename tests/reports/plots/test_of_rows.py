"""All plots of a table: which there are, ranks, and slices."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mmrec_bench.reports.plots import plots_of
from mmrec_bench.reports.plots.ranks import ranks_plot
from mmrec_bench.reports.plots.slices import slice_scores, slices_plot
from mmrec_bench.statistics.ranks import critical_difference

from .made_up import KEY, row, rows

ALL = ["pareto-seconds", "pareto-parameters", "learning-epochs", "learning-seconds", "slices", "users", "ranks"]


def names(key: object, made: list) -> list[str]:  # type: ignore[type-arg]
    return [plot.name.split("-", 3)[3] for plot in plots_of(key, made)]  # type: ignore[arg-type]


def test_a_table_has_all_plots_and_one_of_few_rows_fewer() -> None:
    assert names(KEY, rows()) == ALL
    assert names(KEY, rows()[:2]) == ALL[:-1]
    assert names(KEY, rows()[:1]) == ["learning-epochs", "learning-seconds", "slices"]


def test_a_single_user_is_ranked_by_nobody() -> None:
    assert names(KEY, [row(label, 0.3, n_users=1) for label in "abc"]) == ALL[:-1]


def test_parts_of_a_metric_rank_nobody() -> None:
    assert names(dataclasses.replace(KEY, task="ctr"), rows()) == ALL[:-2]


def test_ranks_are_drawn_with_their_numbers_best_first() -> None:
    rng = np.random.default_rng(0)
    labels = ["one", "two", "three", "four"]
    found = critical_difference(np.array([0.0, 1.0, 0.9, 3.0]) + rng.standard_normal((200, 4)))
    plot = ranks_plot("cd", "tiny", labels, found, "test recall@20 of 200 users")
    for label, rank in zip(labels, found.ranks, strict=True):
        assert f">{label}  {rank:.2f}<" in plot.svg
    assert f"CD = {found.critical:.2f}" in plot.svg
    assert len(found.cliques) == plot.svg.count('stroke-width="5"') == 1
    assert f"{found.critical:.3f}" in plot.note


def test_slices_hold_what_runs_hold_and_empty_ones_are_left_out() -> None:
    found = slice_scores(KEY, rows())
    assert list(found) == ["users:low", "users:high"]
    assert found["users:low"]["vbpr"].mean == pytest.approx(0.225)
    bare = rows()[0]
    runs = tuple(dataclasses.replace(run, metrics={**run.metrics, "test_slices": {}}) for run in bare.runs)
    assert slices_plot(KEY, [dataclasses.replace(bare, runs=runs)]) is None
