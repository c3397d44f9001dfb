from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmrec_bench.errors import ProtocolError, RegistryError
from mmrec_bench.evaluation.protocol import RetrievalProtocol
from mmrec_bench.evaluation.retrieval import RetrievalEvaluator
from mmrec_bench.metrics.catalogue import CATALOGUE_METRICS
from mmrec_bench.metrics.ranking import METRICS
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.retrieval.faiss_backend import FaissRetriever
from mmrec_bench.retrieval.torch_backend import TorchRetriever

TIES = np.random.default_rng(9).permutation(90)


@pytest.fixture
def vectors() -> Representations:
    rng = np.random.default_rng(1)
    users, items = (torch.from_numpy(rng.integers(-2, 3, (n, 4)).astype(np.float32)) for n in (60, 90))
    return Representations(users, items)


@pytest.fixture
def evaluator(split) -> RetrievalEvaluator:
    train, valid, _ = split
    present = {"image": np.arange(90) % 7 > 0, "text": np.ones(90, bool)}
    return RetrievalEvaluator(
        train, valid, [train], FaissRetriever(), TIES, metrics=tuple(METRICS), cutoffs=(20, 5), present=present
    )


def _slow(vectors, excluded, truth, k, relevant=None):
    """Ranked lists and truth by user, by plain Python."""
    scores = (vectors.users @ vectors.items.T).numpy()
    lists = {}
    for user in range(60):
        wanted = set(truth.items[truth.users == user].tolist())
        wanted = wanted if relevant is None else wanted & relevant
        if not wanted:
            continue
        barred = {int(item) for part in excluded for item in part.items[part.users == user]}
        ranked = sorted(set(range(90)) - barred, key=lambda item: (-scores[user, item], TIES[item]))[:k]
        lists[user] = ranked, wanted
    return lists


@pytest.mark.parametrize("parts", [(0,), (0, 1), ()])
def test_means_equal_plain_python(split, vectors, parts) -> None:
    excluded = [split[part] for part in parts]
    truth = split[2]
    evaluation = RetrievalEvaluator(
        split[0], truth, excluded, TorchRetriever(), TIES, metrics=("recall", "ndcg"), cutoffs=(5, 20)
    ).evaluate(vectors)
    lists = _slow(vectors, excluded, truth, 20)
    assert evaluation.users.tolist() == sorted(lists)
    for k in (5, 20):
        recalls = [len(set(ranked[:k]) & wanted) / len(wanted) for ranked, wanted in lists.values()]
        assert evaluation.per_user[f"recall@{k}"].tolist() == recalls
        assert evaluation.means[f"recall@{k}"] == pytest.approx(math.fsum(recalls) / len(recalls), rel=1e-14)
    assert [row.tolist() for row in evaluation.rankings.items] == [ranked for ranked, _ in lists.values()]


def test_users_without_truth_stand_in_no_mean(evaluator, split, vectors) -> None:
    evaluation = evaluator.evaluate(vectors)
    assert 7 not in evaluation.users
    assert len(evaluation.per_user["recall@5"]) == len(np.unique(split[1].users)) == len(evaluation.users)


def test_every_metric_is_there_at_every_cutoff(evaluator, vectors) -> None:
    evaluation = evaluator.evaluate(vectors)
    names = {f"{name}@{k}" for name in METRICS for k in (5, 20)}
    assert set(evaluation.per_user) == set(evaluation.means) == names
    assert all(values.dtype == np.float64 for values in evaluation.per_user.values())
    assert set(evaluator.catalogue(evaluation)) == {f"{name}@{k}" for name in CATALOGUE_METRICS for k in (5, 20)}


def test_slices_equal_plain_python(evaluator, split, vectors) -> None:
    train, valid, _ = split
    slices = evaluator.slices(evaluator.evaluate(vectors))
    counts = train.item_counts()
    no_image = {item for item in range(90) if item % 7 == 0}
    cold = set(np.flatnonzero(counts == 0).tolist())
    assert 0 in cold
    for name, items in (("items:no-image", no_image), ("items:cold", cold)):
        lists = _slow(vectors, [train], valid, 20, items)
        everyone = _slow(vectors, [train], valid, 20)
        result = slices[name]
        assert (result.n_users, result.n_items) == (len(lists), len(items))
        recalls = [len(set(ranked[:5]) & wanted) / len(wanted) for ranked, wanted in lists.values()]
        assert result.metrics["recall@5"] == pytest.approx(np.mean(recalls))
        shown = {item for ranked, _ in everyone.values() for item in ranked[:5]}
        assert result.metrics["coverage@5"] == pytest.approx(len(shown & items) / len(items))
    low = slices["users:low"]
    activity = train.user_counts()
    lists = _slow(vectors, [train], valid, 20)
    border = np.sort(activity[activity > 0])[math.ceil((activity > 0).sum() / 3) - 1]
    chosen = [lists[user] for user in lists if 0 < activity[user] <= border]
    assert low.n_users == len(chosen)
    assert low.n_items == 90
    assert low.metrics["recall@20"] == pytest.approx(np.mean([len(set(r) & w) / len(w) for r, w in chosen]))
    popularity = [counts[item] for ranked, _ in chosen for item in ranked]
    assert low.metrics["average-popularity@20"] == pytest.approx(np.mean(popularity))


def test_user_slices_add_up_to_the_whole(evaluator, vectors) -> None:
    evaluation = evaluator.evaluate(vectors)
    parts = [result for name, result in evaluator.slices(evaluation).items() if name.startswith("users:")]
    assert sum(part.n_users for part in parts) == len(evaluation.users)
    for name in evaluation.means:
        total = sum(part.n_users * part.metrics[name] for part in parts if part.n_users)
        assert total / len(evaluation.users) == pytest.approx(evaluation.means[name])


def test_cold_users_are_ranked_and_have_a_slice(evaluator, vectors) -> None:
    evaluation = evaluator.evaluate(vectors)
    assert 0 in evaluation.users
    assert evaluator.slices(evaluation)["users:cold"].n_users == 1


def test_empty_slices_are_reported_without_metrics(evaluator, vectors) -> None:
    result = evaluator.slices(evaluator.evaluate(vectors))["items:no-text"]
    assert (result.n_users, result.n_items, dict(result.metrics)) == (0, 0, {})


def test_a_slice_that_is_never_recommended_has_no_undefined_numbers(split) -> None:
    train, valid, _ = split
    cold = train.item_counts() == 0
    items = torch.from_numpy(np.where(cold, -1, 1).astype(np.float32))[:, None]
    evaluator = RetrievalEvaluator(train, valid, [train], FaissRetriever(), TIES, cutoffs=(5,))
    result = evaluator.slices(evaluator.evaluate(Representations(torch.ones(60, 1), items)))["items:cold"]
    assert result.n_users > 0
    assert result.metrics["coverage@5"] == 0
    assert result.metrics["recall@5"] == 0
    assert "gini@5" not in result.metrics


def test_padding_is_a_miss_and_no_recommendation(pairs) -> None:
    seen = np.ones((2, 6), bool)
    seen[0, :2] = False
    truth = np.zeros((2, 6), bool)
    truth[0, 1] = True
    evaluator = RetrievalEvaluator(
        pairs(seen), pairs(truth), [pairs(seen)], TorchRetriever(), np.arange(6), ("recall", "precision"), (4,)
    )
    evaluation = evaluator.evaluate(Representations(torch.ones(2, 1), torch.ones(6, 1)))
    assert evaluation.rankings.items.tolist() == [[0, 1, -1, -1]]
    assert evaluation.means == {"recall@4": 1.0, "precision@4": 0.25}
    assert evaluator.catalogue(evaluation)["coverage@4"] == pytest.approx(2 / 6)


def test_results_do_not_depend_on_the_back_end(split, vectors, evaluator) -> None:
    train, valid, _ = split
    other = RetrievalEvaluator(
        train, valid, [train], TorchRetriever(), TIES, metrics=tuple(METRICS), cutoffs=(5, 20)
    ).evaluate(vectors)
    first = evaluator.evaluate(vectors)
    assert first.means == other.means
    assert np.array_equal(first.rankings.items, other.rankings.items)


def test_what_cannot_be_evaluated_is_refused(split, pairs) -> None:
    train, valid, _ = split
    nobody = pairs(np.zeros((60, 90), bool))
    build = lambda *args, **more: RetrievalEvaluator(*args, FaissRetriever(), TIES, **more)  # noqa: E731
    with pytest.raises(ProtocolError, match=r"recall@k needs 1 <= k <= n_items \(90\); got 91\. Lower protocol"):
        build(train, valid, [train], cutoffs=(5, 91))
    with pytest.raises(ProtocolError, match="no user has a relevant item"):
        build(train, nobody, [train])
    with pytest.raises(ProtocolError, match="also excluded"):
        build(train, valid, [train, valid])
    with pytest.raises(ProtocolError, match="60 x 90; got 60 x 91"):
        build(train, valid, [pairs(np.zeros((60, 91), bool))])
    with pytest.raises(RegistryError, match="did you mean 'recall'"):
        build(train, valid, [train], metrics=("recal",))


def test_an_order_of_words_that_means_nothing_moves_no_id() -> None:
    def told(*exclude: str) -> str:
        return RetrievalProtocol.model_validate({"split": "x-label", "exclude": exclude}).id

    assert told("train", "valid") == told("valid", "train") != told("train")
