"""Scorers whose result follows from theory: if one of these is off, no number of any model means anything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrec_bench.evaluation.retrieval import RetrievalEvaluator
from mmrec_bench.retrieval.base import Representations, tie_ranks
from mmrec_bench.retrieval.faiss_backend import FaissRetriever
from mmrec_bench.retrieval.torch_backend import TorchRetriever

N_USERS, N_ITEMS, K = 400, 500, 20


@pytest.fixture(scope="module")
def parts() -> np.ndarray:
    """1 train, 2 valid; rows of items fall with popularity, as ids often do."""
    rng = np.random.default_rng(0)
    popularity = np.linspace(0.25, 0.005, N_ITEMS)
    drawn = rng.random((N_USERS, N_ITEMS)) < popularity
    return np.where(drawn, np.where(rng.random((N_USERS, N_ITEMS)) < 0.2, 2, 1), 0)


class Dense:
    """Scores from a table."""

    n_users, n_items = N_USERS, N_ITEMS

    def __init__(self, table: np.ndarray) -> None:
        self.table = torch.from_numpy(table.astype(np.float32))

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        return self.table[users]


@pytest.fixture
def measure(parts, pairs):
    def run(scoring, seed=0, excluded=True, order=None, retriever=None, ids=None):
        table = parts if order is None else parts[:, order]
        train, valid = pairs(table == 1), pairs(table == 2)
        names = np.array([f"B{row:04}" for row in range(N_ITEMS)])
        names = names if order is None else names[order]
        evaluator = RetrievalEvaluator(
            train, valid, [train] if excluded else [], retriever or TorchRetriever(), tie_ranks(names, seed),
            ("recall", "precision", "ndcg", "mrr", "hit-rate", "map"), (K,),
        )  # fmt: skip
        return evaluator.evaluate(scoring)

    return run


def _chance(parts: np.ndarray) -> float:
    """Expected recall of a random order: k of the items that are not excluded."""
    users = (parts == 2).any(axis=1)
    return float(np.mean(K / (N_ITEMS - (parts == 1).sum(axis=1)[users])))


@pytest.mark.parametrize("backend", [FaissRetriever, TorchRetriever])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_constant_scorer_gets_chance_level_whatever_the_order_of_rows(measure, parts, backend, reverse) -> None:
    constant = Representations(torch.ones(N_USERS, 8), torch.ones(N_ITEMS, 8))
    order = np.arange(N_ITEMS)[::-1] if reverse else None
    seeds = [measure(constant, seed, order=order, retriever=backend()).means[f"recall@{K}"] for seed in range(60)]
    error = np.std(seeds, ddof=1) / np.sqrt(len(seeds))
    assert abs(np.mean(seeds) - _chance(parts)) < 4 * error
    assert error < 0.1 * _chance(parts)


def test_a_constant_scorer_is_the_same_for_every_order_of_rows(measure) -> None:
    constant = Representations(torch.ones(N_USERS, 8), torch.ones(N_ITEMS, 8))
    shuffled = np.random.default_rng(1).permutation(N_ITEMS)
    assert measure(constant).means == measure(constant, order=shuffled).means


def test_rows_order_would_have_rewarded_a_constant_scorer(measure, parts) -> None:
    """The danger is real here: ranking by row scores several times chance, ranking by reversed row far below."""
    forward = Representations(torch.ones(N_USERS, 1), -torch.arange(float(N_ITEMS))[:, None])
    backward = Representations(torch.ones(N_USERS, 1), torch.arange(float(N_ITEMS))[:, None])
    assert measure(forward).means[f"recall@{K}"] > 1.5 * _chance(parts)
    assert measure(backward).means[f"recall@{K}"] < 0.5 * _chance(parts)


def test_a_random_scorer_gets_chance_level(measure, parts) -> None:
    scores = np.random.default_rng(2).random((N_USERS, N_ITEMS))
    evaluation = measure(Dense(scores))
    values = evaluation.per_user[f"recall@{K}"]
    assert abs(values.mean() - _chance(parts)) < 4 * values.std() / np.sqrt(len(values))


def test_an_oracle_is_perfect(measure, parts) -> None:
    evaluation = measure(Dense((parts == 2).astype(float)))
    sizes = (parts == 2).sum(axis=1)
    sizes = sizes[sizes > 0]
    assert evaluation.means[f"ndcg@{K}"] == 1
    assert evaluation.means[f"map@{K}"] == 1
    assert evaluation.means[f"mrr@{K}"] == 1
    assert evaluation.means[f"hit-rate@{K}"] == 1
    assert evaluation.means[f"recall@{K}"] == pytest.approx(np.mean(np.minimum(sizes, K) / sizes), rel=1e-14)
    assert evaluation.means[f"precision@{K}"] == pytest.approx(np.mean(np.minimum(sizes, K) / K), rel=1e-14)


def test_a_copy_of_train_gains_nothing_when_train_is_excluded(measure, parts) -> None:
    copy = measure(Dense((parts == 1).astype(float)))
    constant = measure(Representations(torch.ones(N_USERS, 8), torch.ones(N_ITEMS, 8)))
    assert copy.means == constant.means


def test_a_copy_of_train_finds_nothing_when_train_fills_the_lists(measure, parts) -> None:
    evaluation = measure(Dense((parts == 1).astype(float)), excluded=False)
    filled = (parts == 1).sum(axis=1)[evaluation.users] >= K
    assert filled.mean() > 0.9
    assert (evaluation.per_user[f"recall@{K}"][filled] == 0).all()
