"""Learning curves: what is drawn is what the histories hold."""

from __future__ import annotations

import pytest

from mmrec_bench.reports.plots.learning import learning_curve, learning_plots, steps_of

from .made_up import KEY, history, row, rows


def test_steps_are_validations_at_the_epochs_and_seconds_that_were_trained() -> None:
    told = history(0.5, 5, seconds=3.0)
    assert [at for at, _ in steps_of(told, "recall@20", "epochs")] == [2, 4]
    assert [at for at, _ in steps_of(told, "recall@20", "seconds")] == [6.0, 12.0]
    assert [score for _, score in steps_of(told, "recall@20", "epochs")] == [0.375, 0.46875]


def test_a_point_is_the_mean_of_the_runs_that_come_so_far_and_the_band_their_ends() -> None:
    curve = learning_curve("mf", [[(1, 0.1), (2, 0.5), (3, 0.4)], [(1, 0.3), (2, 0.1)]])
    assert curve is not None
    assert curve.spots == ((1, pytest.approx(0.2)), (2, 0.3), (3, 0.4))
    assert curve.band == ((0.1, 0.3), (0.1, 0.5), (0.4, 0.4))
    assert curve.mark == (1.5, 0.4)


def test_the_dot_is_at_the_first_of_the_best_validations() -> None:
    curve = learning_curve("mf", [[(2, 0.1), (4, 0.5), (6, 0.5), (8, 0.3)]])
    assert curve is not None
    assert curve.mark == (4, 0.5)


def test_one_run_has_no_band_and_rows_that_do_not_learn_are_named() -> None:
    curve = learning_curve("mf", [[(1, 0.1), (2, 0.5)]])
    assert curve is not None
    assert not curve.band
    still = row("popularity", 0.1, 1)
    object.__setattr__(still.runs[0], "epochs", ({"epoch": 0, "train_seconds": 0.0, "valid": {"recall@20": 0.1}},))
    assert learning_plots(KEY, [still]) == []
    plots = learning_plots(KEY, [*rows(), still])
    assert [plot.name.rpartition("-")[2] for plot in plots] == ["epochs", "seconds"]
    assert all("not drawn: popularity" in plot.note for plot in plots)
