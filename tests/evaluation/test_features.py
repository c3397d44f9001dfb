"""Zero-shot and item-CF against slow references, and on worlds whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mmrec_bench.data.features import FeatureTable, joined
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.rules import Random811
from mmrec_bench.data.splitting import make_split
from mmrec_bench.data.synthetic import make_world
from mmrec_bench.data.world import KindShares, WorldConfig
from mmrec_bench.evaluation.features import BehaviourNeighbours, FeatureJudge, item_knn, zero_shot
from mmrec_bench.evaluation.retrieval import RetrievalEvaluator
from mmrec_bench.retrieval.base import tie_ranks
from mmrec_bench.retrieval.torch_backend import TorchRetriever

CPU = torch.device("cpu")
MakePairs = Callable[..., Interactions]


@pytest.fixture
def train(pairs: MakePairs) -> Interactions:
    """15 users and 12 items; user 0 and item 11 have nothing."""
    dense = np.random.default_rng(3).random((15, 12)) < 0.3
    dense[0], dense[:, 11] = False, False
    return pairs(dense)


@pytest.fixture
def table() -> FeatureTable:
    values = np.random.default_rng(4).standard_normal((12, 5)).astype(np.float32)
    present = np.arange(12) != 2
    return FeatureTable("image", values, present, "random")


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if norms else 0.0


def test_zero_shot_against_a_slow_reference(train: Interactions, table: FeatureTable) -> None:
    found, rows = zero_shot(table, train), table.filled().astype(np.float64)
    assert found.similarity == "cosine"
    for user in range(train.n_users):
        liked = train.items[train.users == user]
        units = [rows[item] / np.linalg.norm(rows[item]) if table.present[item] else np.zeros(5) for item in liked]
        profile = np.mean(units, axis=0) if units else np.zeros(5)
        expected = [cosine(profile, row) for row in rows]
        got = [cosine(found.users[user].numpy(), item) for item in found.items.numpy()]
        assert np.allclose(got, expected, atol=1e-5)


def test_item_knn_against_a_slow_reference(train: Interactions, table: FeatureTable) -> None:
    k, shrink, rows = 3, 10.0, table.filled().astype(np.float64)
    similarity = np.zeros((12, 12))
    for i in range(12):
        if table.present[i]:
            every = rows @ rows[i] / (np.linalg.norm(rows, axis=1) * np.linalg.norm(rows[i]) + shrink)
            every[~table.present] = -np.inf
            for j in np.argsort(-every, kind="stable")[:k]:
                similarity[i, j] = every[j]
    expected = train.matrix().toarray() @ similarity
    got = item_knn(table, train, k, shrink).scores(torch.arange(15)).numpy()
    assert np.allclose(got, expected, atol=1e-5)


def slow_agreement(train: Interactions, table: FeatureTable, ties: np.ndarray, k: int) -> tuple[float, int]:
    users = [set(train.users[train.items == item].tolist()) for item in range(train.n_items)]
    rows, recalls = table.filled().astype(np.float64), []
    for i in range(train.n_items):
        shared = {
            j: len(users[i] & users[j]) / (len(users[i]) * len(users[j])) ** 0.5
            for j in range(train.n_items)
            if j != i and users[i] & users[j]
        }
        relevant = sorted(shared, key=lambda j: (-shared[j], ties[j]))[:k]
        if not relevant:
            continue
        others = [j for j in range(train.n_items) if j != i and table.present[j] and table.present[i]]
        near = sorted(others, key=lambda j: (-cosine(rows[i], rows[j]), ties[j]))[:k]
        recalls.append(len(set(relevant) & set(near)) / len(relevant))
    return float(np.mean(recalls)), len(recalls)


@pytest.mark.parametrize("k", [1, 3, 20])
def test_agreement_with_behaviour_against_a_slow_reference(train: Interactions, table: FeatureTable, k: int) -> None:
    ties = np.random.default_rng(k).permutation(12).astype(np.int64)
    behaviour = BehaviourNeighbours(train, ties, k)
    expected, n_items = slow_agreement(train, table, ties, k)
    assert behaviour.recall(table) == pytest.approx(expected, abs=1e-12)
    assert behaviour.n_items == n_items < 12


def test_ties_of_neighbours_go_by_the_hash_and_not_by_row(pairs: MakePairs) -> None:
    """All items are alike in behaviour and in content: what is found must not depend on the order of rows."""
    train = pairs(np.ones((4, 8), np.bool_))
    same = FeatureTable("image", np.ones((8, 2), np.float32), np.ones(8, np.bool_), "same")
    ties = np.array([5, 2, 7, 0, 1, 6, 3, 4])
    assert BehaviourNeighbours(train, ties, 2).recall(same) == 1.0
    two = FeatureTable("image", np.ones((8, 2), np.float32), ties < 2, "two")
    assert BehaviourNeighbours(train, ties, 1).recall(two) == pytest.approx(2 / 8), "those that come first of all"


def judge(shares: KindShares) -> tuple[FeatureJudge, dict[str, FeatureTable]]:
    config = WorldConfig(
        n_users=600, n_items=400, mean_interactions=12, max_interactions=100, users=shares, popularity_exponent=0.2,
        popularity_drift=0.0,
    )  # fmt: skip
    data = make_world(config, "planted")
    split, ties = make_split(data.payload, Random811(), "drop"), tie_ranks(data.item_ids, 0)
    evaluator = RetrievalEvaluator(
        train=split.train, truth=split.valid, excluded=[split.train], retriever=TorchRetriever(CPU, 256), ties=ties,
        metrics=["recall"], cutoffs=[20],
    )  # fmt: skip
    values = np.random.default_rng(0).standard_normal((400, 64)).astype(np.float32)
    control = FeatureTable("random", values, np.ones(400, np.bool_), "random")
    tables = {**data.features, "random": control, "joined": joined([data.features["image"], data.features["text"]])}
    return FeatureJudge(split.train, evaluator.evaluate, evaluator.evaluate, ties, 10, 10.0), tables


def test_where_users_look_at_images_image_features_win_by_every_measure() -> None:
    judged, tables = judge(KindShares(image=1.0))
    for measure in (
        lambda table: judged.zero_shot(table)["recall@20"],
        lambda table: judged.item_knn(table)["recall@20"],
        judged.agreement,
    ):
        score = {name: measure(table) for name, table in tables.items()}
        assert score["image"] > 2 * max(score["text"], score["random"])
        assert score["image"] > score["joined"] > score["text"]


def test_where_features_say_nothing_all_are_like_chance() -> None:
    judged, tables = judge(KindShares(collaborative=1.0))
    n_candidates = 400 - 10
    for name, table in tables.items():
        assert judged.zero_shot(table)["recall@20"] == pytest.approx(20 / n_candidates, rel=0.5), name
        assert judged.agreement(table) == pytest.approx(10 / 399, rel=0.5), name
