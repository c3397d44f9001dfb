"""The evaluator of lists against plain Python, whatever the order of lists and batches; and its protocol."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import ModelError, ProtocolError
from mmrec_bench.evaluation import ranking
from mmrec_bench.evaluation.ranking import RankingEvaluation, RankingEvaluator
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.metrics.graded import GRADED_METRICS
from mmrec_bench.models.ranking.base import Arrangement, ListInputs, Ranker, ScoringRanker

N_ITEMS, N_LISTS = 30, 60
TIES = np.random.default_rng(3).permutation(N_ITEMS)
CUTOFFS = (1, 3, 7, 20)
CPU = torch.device("cpu")
GRADED = ("ndcg", "map", "mrr", "err", "precision", "recall")
THETA = (0.68, 0.61, 0.48, 0.34, 0.28, 0.20, 0.11, 0.10, 0.08, 0.06)  # eye tracking; lower ranks repeat the last


@pytest.fixture(scope="module")
def lists() -> Lists:
    """Lists of 1 to 13 rows with few different scores (the first feature), some without a relevant row or a click."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 14, N_LISTS)
    list_of = np.repeat(np.arange(N_LISTS), lengths)
    labels = rng.choice(5, len(list_of), p=[0.6, 0.16, 0.1, 0.08, 0.06])
    labels[np.isin(list_of, [0, 7, 8, 31])] = 0
    missed = rng.choice(3, N_LISTS, p=[0.7, 0.2, 0.1])
    missed[[0, 7]] = 0
    return Lists(
        list_of=list_of,
        items=np.concatenate([rng.permutation(N_ITEMS)[:length] for length in lengths]),
        n_items=N_ITEMS,
        users=rng.integers(0, 9, N_LISTS),
        n_users=9,
        features=rng.integers(0, 4, (len(list_of), 1)).astype(np.float32),
        positions=np.concatenate([np.arange(1, length + 1) for length in lengths]),
        clicks=rng.random(len(list_of)) < 0.15,
        labels=labels,
        missed=missed,
    )


class ByFeature(ScoringRanker):
    """Scores a row by its first feature."""

    def score(self, inputs: ListInputs) -> torch.Tensor:
        assert inputs.features is not None
        return inputs.features[..., 0]


def protocol(**settings: Any) -> RankingProtocol:
    given = {"split": "x-label", "cutoffs": CUTOFFS, "metrics": GRADED, "select_by": "ndcg@3", **settings}
    return RankingProtocol.model_validate(given)


def evaluate(lists: Lists, ranker: Ranker | None = None, **settings: Any) -> RankingEvaluation:
    judge = protocol(**settings)
    simulated = {name: found.metric(name) for name, found in judge.simulated.items()}
    evaluator = RankingEvaluator(lists, TIES, judge.metrics, judge.cutoffs, judge.options, CPU, simulated)
    return evaluator.evaluate(ranker or ByFeature())


def ranked_rows(lists: Lists, number: int) -> list[int]:
    rows = np.flatnonzero(lists.list_of == number).tolist()
    return sorted(rows, key=lambda row: (-lists.features[row, 0], TIES[lists.items[row]]))  # type: ignore[index]


def dcg(gains: list[float], k: int) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains[:k]))


def slow(labels: list[int], missed: int, name: str, k: int, gain: str, denominator: str, top: int) -> float:
    """A metric of one list by plain loops; ``top`` is the largest label of all lists."""
    of = {"exp2": lambda y: 2**y - 1, "linear": lambda y: y}[gain]
    n_relevant = sum(y > 0 for y in labels) + missed
    hits = [rank for rank, y in enumerate(labels[:k], 1) if y > 0]
    if name == "ndcg":
        best = sorted([*labels, *[1] * missed], reverse=True)
        return dcg([of(y) for y in labels], k) / dcg([of(y) for y in best], k)
    if name == "map":
        below = {"total": n_relevant, "min": min(n_relevant, k), "hits": len(hits)}[denominator]
        return sum(place / rank for place, rank in enumerate(hits, 1)) / below if below else 0.0
    if name == "mrr":
        return 1 / hits[0] if hits else 0.0
    if name == "err":
        total, left = 0.0, 1.0
        for rank, y in enumerate(labels[:k], 1):
            satisfied = (2**y - 1) / 2**top
            total, left = total + left * satisfied / rank, left * (1 - satisfied)
        return total
    return len(hits) / {"precision": k, "recall": n_relevant}[name]


@pytest.mark.parametrize("empty", ["skip", 0, 1])
@pytest.mark.parametrize(("gain", "denominator"), [("exp2", "total"), ("linear", "min"), ("exp2", "hits")])
def test_every_metric_equals_plain_python(lists: Lists, empty: Any, gain: str, denominator: str) -> None:
    found = evaluate(lists, options={"empty": empty, "gain": gain, "ap_denominator": denominator})
    labels, missed = lists.labels, lists.missed
    assert labels is not None
    assert missed is not None
    expected: dict[str, dict[int, float]] = {name: {} for name in protocol().metric_ids}
    for number in range(N_LISTS):
        ranked = [int(labels[row]) for row in ranked_rows(lists, number)]
        if not any(ranked) and not missed[number]:
            if empty != "skip":
                for values in expected.values():
                    values[number] = float(empty)
            continue
        for name, k in itertools.product(GRADED, CUTOFFS):
            value = slow(ranked, int(missed[number]), name, k, gain, denominator, 4)
            expected[f"{name}@{k}"][number] = value
    without = {number for number in range(N_LISTS) if not (labels[lists.list_of == number].any() or missed[number])}
    assert {0, 7} <= without
    assert set(np.flatnonzero(~found.counted)) == (without if empty == "skip" else set())
    assert set(found.means) == set(found.per_list) == set(expected)
    for name, values in expected.items():
        counted = np.flatnonzero(~np.isnan(found.per_list[name]))
        assert dict(zip(counted.tolist(), found.per_list[name][counted], strict=True)) == pytest.approx(values)
        assert found.means[name] == pytest.approx(sum(values.values()) / len(values))


def test_the_order_written_down_is_the_order_judged(lists: Lists) -> None:
    found, offsets = evaluate(lists), lists.offsets()
    for number in range(N_LISTS):
        rows = [int(offsets[number] + place) for place in found.order[number] if place >= 0]
        assert rows == ranked_rows(lists, number)
        assert found.scores[number, : len(rows)].tolist() == lists.features[rows, 0].tolist()  # type: ignore[index]
        assert (found.order[number, len(rows) :] == -1).all()
        assert np.isneginf(found.scores[number, len(rows) :]).all()


def test_averaged_ties_are_the_mean_over_all_orders() -> None:
    """Three rows of one score, by the six orders they may take."""
    lists = Lists(
        list_of=np.zeros(4, np.int64), items=np.arange(4), n_items=N_ITEMS, users=np.zeros(1, np.int64), n_users=1,
        features=np.array([[1], [1], [2], [1]], np.float32), labels=np.array([0, 3, 1, 0]),
    )  # fmt: skip
    found = evaluate(lists, metrics=("ndcg", "precision", "recall"), options={"ties": "average"})
    assert lists.labels is not None
    orders = [[1, *(int(lists.labels[row]) for row in tied)] for tied in itertools.permutations([0, 1, 3])]
    for name, k in itertools.product(("ndcg", "precision", "recall"), CUTOFFS):
        values = [slow(order, 0, name, k, "exp2", "total", 3) for order in orders]
        assert found.means[f"{name}@{k}"] == pytest.approx(sum(values) / len(values))


def test_the_order_of_lists_and_of_batches_changes_nothing(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = {"nsim-ubm": {"model": "ubm"}}
    metrics = (*GRADED, "clicked-ndcg")
    whole = evaluate(lists, metrics=metrics, simulated=simulated)
    shuffled = np.random.default_rng(5).permutation(N_LISTS)
    for block in (1, 7, 4096):
        monkeypatch.setattr(ranking, "BLOCK_LISTS", block)
        found = evaluate(lists.select(shuffled), metrics=metrics, simulated=simulated)
        np.testing.assert_array_equal(found.order, whole.order[shuffled])
        np.testing.assert_array_equal(found.scores, whole.scores[shuffled])
        np.testing.assert_array_equal(found.counted, whole.counted[shuffled])
        for name, values in whole.per_list.items():
            np.testing.assert_array_equal(found.per_list[name], values[shuffled], name)
        assert found.means == pytest.approx(whole.means)


def test_simulated_metrics_are_what_clicks_are_expected(lists: Lists) -> None:
    """The exposure form by hand, the click form by many sessions of the click model itself."""
    found = evaluate(
        lists,
        simulated={
            "nsim-pbm": {"model": "pbm"},
            "clicks-pbm": {"model": "pbm", "options": {"reward": "click"}},
            "clicks-dcm": {"model": "dcm", "options": {"reward": "click"}},
        },
    )
    labels, missed, rng = lists.labels, lists.missed, np.random.default_rng(1)
    assert labels is not None
    assert missed is not None
    models = {
        f"clicks-{name}": protocol(simulated={name: {"model": name}}).simulated[name].model for name in ("pbm", "dcm")
    }
    checked = 0
    for number in range(0, N_LISTS, 3):
        ranked = [int(labels[row]) for row in ranked_rows(lists, number)]
        best = sorted([*ranked, *[1] * int(missed[number])], reverse=True)
        if not any(best):
            continue
        sums = [sum(THETA[min(rank, 9)] * (2**y - 1) for rank, y in enumerate(order[:3])) for order in (ranked, best)]
        assert found.per_list["nsim-pbm@3"][number] == pytest.approx(sums[0] / sums[1])
        for name, model in models.items():
            got, ideal = (
                model.simulate(np.tile(np.array(order[:3]), (20_000, 1)), rng).clicks.sum(axis=1)
                for order in (ranked, best)
            )
            error = math.hypot(got.std() / ideal.mean(), got.mean() * ideal.std() / ideal.mean() ** 2) / 20_000**0.5
            assert abs(found.per_list[f"{name}@3"][number] - got.mean() / ideal.mean()) < 5 * error + 1e-12
        checked += 1
    assert checked > 10


def test_metrics_do_not_change_each_others_lists(lists: Lists) -> None:
    """Lists without a click stand in the mean of NDCG; lists that count as 0 are not skipped by a simulated metric."""
    alone = evaluate(lists, options={"empty": 0})
    beside = evaluate(
        lists, metrics=("clicked-ndcg", *GRADED), options={"empty": 0}, simulated={"nsim": {"model": "pbm"}}
    )
    assert {name: beside.means[name] for name in alone.means} == alone.means
    clicked = evaluate(lists, metrics=("ndcg", "clicked-ndcg"))
    unclicked = [number for number in range(N_LISTS) if not lists.clicks[lists.list_of == number].any()]  # type: ignore[index]
    assert len(unclicked) > 10
    assert np.isnan(clicked.per_list["clicked-ndcg@3"][unclicked]).all()
    assert clicked.means["ndcg@3"] == evaluate(lists).means["ndcg@3"]
    for number in set(range(N_LISTS)) - set(unclicked):
        clicks = [int(lists.clicks[row]) for row in ranked_rows(lists, number)]  # type: ignore[index]
        expected = slow(clicks, 0, "ndcg", 3, "exp2", "total", 1)
        assert clicked.per_list["clicked-ndcg@3"][number] == pytest.approx(expected)


class Repeats(Ranker):
    """Puts the first row everywhere."""

    def arrange(self, inputs: ListInputs) -> Arrangement:
        return Arrangement(torch.zeros_like(inputs.items).masked_fill(~inputs.mask, -1), inputs.mask.float())


class Forgets(ByFeature):
    """Leaves out the last row."""

    def arrange(self, inputs: ListInputs) -> Arrangement:
        found = super().arrange(inputs)
        last = inputs.mask.sum(dim=1, keepdim=True) - 1
        return Arrangement(found.order.scatter(1, last, -1), found.scores)


class Diverges(ByFeature):
    """Gives a score that is no number."""

    def score(self, inputs: ListInputs) -> torch.Tensor:
        return super().score(inputs).masked_fill(inputs.items == 4, torch.nan)


def test_broken_rankers_are_named(lists: Lists) -> None:
    for ranker, message in (
        (Repeats(), "Repeats must put every row of a list at one place"),
        (Forgets(), "Forgets must put every row of a list at one place"),
        (Diverges(), r"Diverges gave scores that are not numbers \(NaN\)"),
    ):
        with pytest.raises(ModelError, match=message):
            evaluate(lists, ranker)


def test_lists_that_cannot_be_judged_are_refused_before_anything_is_trained(lists: Lists) -> None:
    some = lists.select(np.array([0, 7]))
    plain = {"list_of": some.list_of, "items": some.items, "n_items": N_ITEMS, "users": some.users, "n_users": 9}
    for refused, metrics, message in (
        (Lists(**plain), GRADED, "hold none. Choose a data set with labels"),
        (Lists(**plain, labels=np.zeros(len(some), np.int64)), GRADED, "no held-out list has a relevant row"),
        (Lists(**plain, labels=np.ones(len(some), np.int64)), ("clicked-ndcg",), "needs clicks.*protocol.metrics"),
    ):
        with pytest.raises(ProtocolError, match=message):
            RankingEvaluator(refused, TIES, metrics, CUTOFFS, protocol().options, CPU)


SETTINGS: dict[str, dict[str, Any]] = {
    "split": {"split": "by-user"},
    "seed of the split": {"split": {"name": "by-user", "seed": 1}},
    "cutoffs": {"cutoffs": (1, 3, 7)},
    "metrics": {"metrics": ("ndcg",)},
    "select_by": {"select_by": "map@3"},
    "tie_seed": {"tie_seed": 1},
    "gain": {"options": {"gain": "linear"}},
    "max_label": {"options": {"max_label": 4}},
    "ap_denominator": {"options": {"ap_denominator": "min"}},
    "empty": {"options": {"empty": 0}},
    "empty 1": {"options": {"empty": 1}},
    "ties": {"metrics": ("ndcg",), "options": {"ties": "average"}},
    "simulated": {"simulated": {"nsim": {"model": "pbm"}}},
    "name of a simulated metric": {"simulated": {"nsim-pbm": {"model": "pbm"}}},
    "click model": {"simulated": {"nsim": {"model": "ubm"}}},
    "constant of the click model": {"simulated": {"nsim": {"model": {"name": "pbm", "severity": 2.0}}}},
    "reward": {"simulated": {"nsim": {"model": "pbm", "options": {"reward": "click"}}}},
    "weights": {"simulated": {"nsim": {"model": "pbm", "options": {"weights": "mean"}}}},
    "empty of a simulated metric": {"simulated": {"nsim": {"model": "pbm", "options": {"empty": 1}}}},
}


def test_the_id_changes_with_every_setting() -> None:
    found = {name: protocol(**settings).id for name, settings in SETTINGS.items()} | {"default": protocol().id}
    assert len(set(found.values())) == len(found)
    assert all(name.startswith(("ranking/x-label/", "ranking/by-user/")) for name in found.values())
    assert protocol().id == protocol().model_copy().id
    for name, settings in SETTINGS.items():
        again = RankingProtocol.model_validate(protocol(**settings).model_dump(mode="json"))
        assert again.id == found[name], "a resolved config loads to the same protocol"


def test_a_new_version_of_a_metric_is_another_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    before = protocol().id
    monkeypatch.setattr("mmrec_bench.evaluation.ranking_protocol.EVALUATOR_VERSION", 99)
    assert protocol().id != before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutoffs": (3, 1)}, r"cutoffs must rise without repeats; got \[3, 1\]"),
        ({"cutoffs": (3, 3)}, "cutoffs must rise without repeats"),
        ({"cutoffs": (0, 3)}, "greater than 0; got 0"),
        ({"cutoffs": ()}, "at least 1 item"),
        ({"metrics": ("ndcg", "ndcg")}, "metrics must not repeat"),
        ({"metrics": ("ndgc",)}, "unknown metric 'ndgc'; did you mean 'ndcg'"),
        ({"metrics": ("hit-rate",)}, "unknown metric 'hit-rate'"),
        ({"select_by": "ndcg@4"}, "unknown select_by metric 'ndcg@4'; did you mean 'ndcg@"),
        ({"simulated": {"ndcg": {"model": "pbm"}}}, "no metric's; got 'ndcg'"),
        ({"simulated": {"nsim@10": {"model": "pbm"}}}, "lower-case words with hyphens, such as nsim-pbm"),
        ({"simulated": {"nsim": {"model": "pmb"}}}, "unknown click model 'pmb'; did you mean 'pbm'"),
        ({"simulated": {"nsim": {"model": {"name": "pbm", "popularity": {}}}}}, "remove the popularity bias of pbm"),
        ({"options": {"ties": "average"}}, "ties: average is for metrics linear in gains .* got map, mrr, err"),
        (
            {"metrics": ("ndcg",), "options": {"ties": "average"}, "simulated": {"nsim": {"model": "pbm"}}},
            "got nsim. Remove these, or choose ties: hash",
        ),
        ({"exclude": ("train",)}, "unknown key; .*known: cutoffs"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        protocol(**settings)


def test_simulated_metrics_can_select() -> None:
    chosen = protocol(simulated={"nsim": {"model": "pbm"}}, select_by="nsim@3")
    assert chosen.select_by in chosen.metric_ids
    assert set(GRADED) < set(GRADED_METRICS)
