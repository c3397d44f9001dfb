"""A slow retriever that is plainly right, and worlds on which fast ones can go wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from mmrec_bench.retrieval.base import Exclusions, Rankings, Representations, Retriever
from mmrec_bench.retrieval.faiss_backend import FaissRetriever
from mmrec_bench.retrieval.torch_backend import TorchRetriever
from mmrec_bench.types import IntArray

Oracle = Callable[[np.ndarray, IntArray, int, Exclusions, IntArray], IntArray]


def _slow_top_k(scores: np.ndarray, users: IntArray, k: int, exclude: Exclusions, ties: IntArray) -> IntArray:
    result = np.full((len(users), k), -1, np.int64)
    for row, user in enumerate(users):
        barred = set(exclude.items[exclude.offsets[user] : exclude.offsets[user + 1]].tolist())
        open_items = [item for item in range(scores.shape[1]) if item not in barred]
        best = sorted(open_items, key=lambda item: (-scores[user, item], ties[item]))[:k]
        result[row, : len(best)] = best
    return result


@pytest.fixture
def slow_top_k() -> Oracle:
    """Items by a Python sort of float64 scores ``[n_users, n_items]``."""
    return _slow_top_k


@pytest.fixture(params=[FaissRetriever, TorchRetriever], ids=["faiss", "torch"])
def retriever(request: pytest.FixtureRequest) -> Retriever:
    """Each back-end in turn."""
    made: Retriever = request.param()
    return made


@pytest.fixture
def world() -> Callable[..., tuple[Representations, Exclusions, IntArray]]:
    """Vectors, exclusions and tie ranks by kind; all scores are exact in float32, so ties are ties."""

    def make(kind: str, n_users: int = 40, n_items: int = 300, seed: int = 0, density: float = 0.05):
        rng = np.random.default_rng(seed)
        users = rng.integers(-3, 4, (n_users, 6)).astype(np.float32)
        items = rng.integers(-3, 4, (n_items, 6)).astype(np.float32)
        if kind == "constant":
            users[:], items[:] = 1, 1
        elif kind == "popularity":
            users, items = np.ones((n_users, 1), np.float32), np.sort(rng.integers(0, 9, (n_items, 1)))[::-1].copy()
        elif kind == "shared":
            items[rng.choice(n_items, min(50, n_items), replace=False)] = 3
        elif kind == "zero-users":
            users[::2] = 0
        elif kind == "zero-items":
            items[::2] = np.where(rng.random((len(items[::2]), 6)) < 0.5, 0.0, -0.0)
        elif kind == "few-values":
            users, items = np.sign(users), np.sign(items)
        matrix = sp.random(n_users, n_items, density, format="csr", random_state=seed)
        matrix.data[:] = 1
        vectors = Representations(torch.from_numpy(users), torch.from_numpy(items.astype(np.float32)))
        return vectors, Exclusions.of(matrix), rng.permutation(n_items)

    return make


@pytest.fixture
def scores_of() -> Callable[[Representations], np.ndarray]:
    """Scores in float64."""

    def compute(vectors: Representations) -> np.ndarray:
        tables = [table.double().numpy() for table in (vectors.users, vectors.items)]
        if vectors.similarity == "cosine":
            lengths = [np.linalg.norm(table, axis=1, keepdims=True) for table in tables]
            tables = [table / np.where(length > 0, length, 1) for table, length in zip(tables, lengths, strict=True)]
        return tables[0] @ tables[1].T

    return compute


@pytest.fixture
def close_to_best() -> Callable[[Rankings, np.ndarray, IntArray, Exclusions, float], None]:
    """Check of real-valued scores: each place holds the score that the oracle has there, up to rounding."""

    def check(rankings: Rankings, scores: np.ndarray, best: IntArray, tolerance: float) -> None:
        rows = rankings.users[:, None]
        assert (np.sort(rankings.items, axis=1)[:, 1:] != np.sort(rankings.items, axis=1)[:, :-1]).all()
        np.testing.assert_allclose(scores[rows, rankings.items], scores[rows, best], atol=tolerance, rtol=0)
        np.testing.assert_allclose(rankings.scores, scores[rows, best], atol=tolerance, rtol=0)

    return check
