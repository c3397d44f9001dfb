"""Entries whose worth is known: what scores them otherwise is broken."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import pytest

from mmrec_bench.errors import DataError, ProtocolError, RegistryError
from mmrec_bench.leaderboard.canaries import CANARIES
from mmrec_bench.leaderboard.canary_lists import canary_lists
from mmrec_bench.leaderboard.scoring import Scores, score_lists
from mmrec_bench.leaderboard.words import PARTS

from .conftest import BODIES, Judged

N_SEEDS = 30
CHANCE = ("constant", "random")


def _scores(name: str, judged: Judged, seed: int = 0) -> Scores:
    config = judged.experiment.config
    return score_lists(config, judged.prepared, canary_lists(name, config, judged.prepared, seed))


def _means(name: str, judged: Judged, metric: str) -> dict[str, Any]:
    """Return the values of a metric over seeds, by part."""
    found = [_scores(name, judged, seed).metrics for seed in range(N_SEEDS if name == "random" else 1)]
    return {part: np.array([one[part][metric] for one in found]) for part in PARTS}


def _deviations(values: Any, expected: float, spread: float) -> float:
    """Return how far a mean of values lies off, in its standard deviations; one value has the spread by chance."""
    return float(abs(values.mean() - expected) / (spread / np.sqrt(len(values))))


def _open(judged: Judged, part: str) -> tuple[Any, Any]:
    """Return relevant items and candidates of each evaluated user."""
    table = judged.artefact.per_user()
    rows = table[table["part"] == part]
    users = [int(np.flatnonzero(judged.prepared.dataset.user_ids == name)[0]) for name in rows["user_id"]]
    train, valid = judged.prepared.split.train, judged.prepared.split.valid
    gone = train.user_counts()[users]
    if part == "test" and "valid" in judged.experiment.config.protocol.exclude:  # type: ignore[attr-defined]
        gone = gone + valid.user_counts()[users]
    return rows["n_truth"].to_numpy(), train.n_items - gone


@pytest.mark.parametrize("task", ["retrieval", "strict"])
@pytest.mark.parametrize("name", CHANCE)
def test_chance_retrieves_what_chance_does(name: str, task: str, runs: dict[str, Judged]) -> None:
    judged = runs[task]
    for part, values in _means(name, judged, "precision@10").items():
        n_relevant, n_open = _open(judged, part)
        share = n_relevant / n_open
        # Hits of a list are hypergeometric; a constant scorer shows all users the same items, so lists move together.
        variance = 10 * share * (1 - share) / 100
        spread = np.sqrt(variance.sum()) / len(share) * (3 if name == "constant" else 1)
        assert _deviations(values, float(share.mean()), float(spread)) < 5


@pytest.mark.parametrize("task", BODIES)
def test_the_oracle_gets_all_there_is(task: str, runs: dict[str, Judged]) -> None:
    judged = runs[task]
    metrics = _scores("oracle", judged).metrics
    best = {
        "retrieval": {"ndcg": 1.0, "mrr": 1.0, "hit-rate": 1.0, "map": 1.0},
        "ranking": {"ndcg": 1.0},
        "ctr": {"auc": 1.0, "gauc": 1.0, "calibration": 1.0},
        "interactive": {"success": 1.0, "turns": 0.0, "mrr": 1.0, "first-rank": 1.0},
    }
    best |= {"strict": best["retrieval"], "noisy": {}}
    for part in PARTS:
        for name, value in metrics[part].items():
            if (expected := best[task].get(name.partition("@")[0])) is not None:
                assert value == expected, name
    if task == "ctr":
        assert metrics["test"]["log-loss"] < 1e-6
    if task == "noisy":  # an oracle whose users overlook an item now and then
        assert 0.9 < metrics["test"]["success@2"] <= 1.0
    if task in ("retrieval", "strict"):
        for part in PARTS:
            n_relevant, _ = _open(judged, part)
            assert metrics[part]["recall@10"] == pytest.approx(float(np.minimum(1, 10 / n_relevant).mean()), abs=1e-12)


@pytest.mark.parametrize("name", CHANCE)
def test_chance_orders_as_chance_does(name: str, runs: dict[str, Judged]) -> None:
    """The first place of a random order has the mean gain of its list, over the best."""
    judged = runs["ranking"]
    values, lists = _means(name, judged, "ndcg@1")["valid"], judged.prepared.split.valid
    gains = 2.0**lists.labels - 1
    of = lists.list_of
    best = np.zeros(lists.n_lists)
    np.maximum.at(best, of, gains)
    counts, squares = np.bincount(of), np.bincount(of, gains**2)
    mean = np.bincount(of, gains) / counts
    counted = best > 0
    spread = np.sqrt(((squares / counts - mean**2)[counted] / best[counted] ** 2).sum()) / counted.sum()
    expected = float((mean[counted] / best[counted]).mean())
    assert _deviations(values, expected, float(spread) * (2 if name == "constant" else 1)) < 5


@pytest.mark.parametrize("name", CHANCE)
def test_chance_tells_no_click_from_another(name: str, runs: dict[str, Judged]) -> None:
    judged = runs["ctr"]
    values = _means(name, judged, "auc")["test"]
    if name == "constant":
        assert values.tolist() == [0.5]
        return
    labels = judged.prepared.split.valid.labels
    ones, zeros = int((labels > 0).sum()), int((labels == 0).sum())
    assert _deviations(values, 0.5, np.sqrt((ones + zeros + 1) / (12 * ones * zeros)) * 2) < 5


@pytest.mark.parametrize("name", CHANCE)
def test_chance_finds_in_sessions_what_chance_does(name: str, runs: dict[str, Judged]) -> None:
    """After K rounds and the guess, K + 1 of 20 candidates were shown, of which 3 are wanted."""
    judged = runs["interactive"]
    per_user = judged.artefact.per_user()
    assert (per_user["n_truth"] == 3).all()
    for k in (2, 4):
        expected = 1 - comb(17, k + 1) / comb(20, k + 1)
        for part, values in _means(name, judged, f"success@{k}").items():
            n = int((per_user["part"] == part).sum())
            assert _deviations(values, expected, np.sqrt(expected * (1 - expected) / n)) < 5


@pytest.mark.parametrize("task", ["retrieval", "strict"])
def test_popularity_is_the_registered_system(task: str, runs: dict[str, Judged]) -> None:
    judged = runs[task]
    config = judged.experiment.config
    table = canary_lists("popularity", config, judged.prepared)
    counts = judged.prepared.split.train.item_counts()
    row = {name: place for place, name in enumerate(judged.prepared.dataset.item_ids)}
    shown = counts[[row[name] for name in table["item_id"]]]
    assert (np.diff(shown)[table["rank"].to_numpy()[1:] > 1] <= 0).all()
    assert (
        _scores("popularity", judged).metrics["test"]["recall@10"]
        > _scores("random", judged).metrics["test"]["recall@10"]
    )


@pytest.mark.parametrize("task", ["retrieval", "strict"])
def test_who_copies_the_training_items_is_refused(task: str, runs: dict[str, Judged]) -> None:
    judged = runs[task]
    table = canary_lists("train-copy", judged.experiment.config, judged.prepared)
    with pytest.raises(DataError, match=r"\d{3,} row\(s\) rank an item that its user already has"):
        score_lists(judged.experiment.config, judged.prepared, table)


@pytest.mark.parametrize("task", ["ranking", "ctr", "interactive"])
def test_training_items_can_be_copied_in_retrieval_alone(task: str, runs: dict[str, Judged]) -> None:
    with pytest.raises(ProtocolError, match="in retrieval alone"):
        canary_lists("train-copy", runs[task].experiment.config, runs[task].prepared)


def test_unknown_canaries_are_named(runs: dict[str, Judged]) -> None:
    with pytest.raises(RegistryError, match="did you mean 'oracle'"):
        canary_lists("oracel", runs["ctr"].experiment.config, runs["ctr"].prepared)


@pytest.mark.parametrize("task", BODIES)
@pytest.mark.parametrize("name", sorted(set(CANARIES) - {"train-copy"}))
def test_every_canary_is_judged_and_repeats(name: str, task: str, runs: dict[str, Judged]) -> None:
    judged = runs[task]
    config = judged.experiment.config
    first, again = (canary_lists(name, config, judged.prepared, seed=4) for _ in range(2))
    assert first.equals(again)
    assert set(score_lists(config, judged.prepared, first).metrics) == {"valid", "test", "test_slices"}
