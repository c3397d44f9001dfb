"""Cold items among themselves, against a slow ranking, and the split that makes items cold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.evaluation.cold import cold_only
from mmrec_bench.evaluation.retrieval import RetrievalEvaluator
from mmrec_bench.retrieval.base import Representations, Scoring
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever

CPU = torch.device("cpu")
N_USERS, N_ITEMS, COLD = 12, 30, np.array([1, 4, 7, 8, 15, 22, 29])


@dataclass
class Scores:
    table: Tensor

    @property
    def n_users(self) -> int:
        return len(self.table)

    @property
    def n_items(self) -> int:
        return self.table.shape[1]

    def scores(self, users: Tensor) -> Tensor:
        return self.table[users]


@pytest.fixture
def parts(pairs) -> tuple[Interactions, Interactions]:
    part = np.random.default_rng(3).choice(3, (N_USERS, N_ITEMS), p=[0.6, 0.2, 0.2])
    part[:, COLD][part[:, COLD] == 1] = 0
    part[:, COLD] = np.where(part[:, COLD] == 1, 0, part[:, COLD])
    return pairs(part == 1), pairs(part == 2)


def evaluator(train: Interactions, truth: Interactions, backend: str, cutoffs: tuple[int, ...]) -> RetrievalEvaluator:
    retriever = build_retriever(RetrieverConfig.model_validate({"backend": backend}), CPU)
    ties = np.random.default_rng(5).permutation(N_ITEMS)
    return RetrievalEvaluator(train, truth, [train], retriever, ties, cutoffs=cutoffs)


@pytest.mark.parametrize("kind", ["vectors", "scorer"])
def test_only_cold_items_compete(kind: str, parts: tuple[Interactions, Interactions]) -> None:
    train, truth = parts
    generator = torch.Generator().manual_seed(1)
    users, items = torch.randn(N_USERS, 4, generator=generator), torch.randn(N_ITEMS, 4, generator=generator)
    table = users @ items.T
    scoring: Scoring = Representations(users, items) if kind == "vectors" else Scores(table)
    found = cold_only(evaluator(train, truth, "faiss" if kind == "vectors" else "torch", (2, 5, 10)), scoring)
    assert found is not None
    relevant = truth.matrix().toarray()[:, COLD] > 0
    judged = relevant.any(axis=1)
    assert (found.n_users, found.n_items) == (judged.sum(), len(COLD))
    assert {name.partition("@")[2] for name in found.metrics} == {"2", "5"}  # ten exceeds the seven cold items
    for k in (2, 5):
        top = np.argsort(-table.numpy()[:, COLD], axis=1)[:, :k]
        recall = np.take_along_axis(relevant, top, 1).sum(axis=1)[judged] / relevant.sum(axis=1)[judged]
        assert found.metrics[f"recall@{k}"] == pytest.approx(recall.mean())


def test_there_is_no_slice_without_cold_items_that_matter(parts: tuple[Interactions, Interactions]) -> None:
    train, truth = parts
    scoring = Representations(torch.zeros(N_USERS, 2), torch.zeros(N_ITEMS, 2))
    warm_only = truth.select(~np.isin(truth.items, COLD))
    assert cold_only(evaluator(train, warm_only, "faiss", (2, 5)), scoring) is None
    assert cold_only(evaluator(train, truth, "faiss", (10, 20)), scoring) is None
