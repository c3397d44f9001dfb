"""Shards of users have the lists of all users together, bit by bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from mmrec_bench.retrieval import faiss_backend, torch_backend
from mmrec_bench.retrieval.base import Exclusions, Rankings, Representations, Retriever
from mmrec_bench.retrieval.shards import ShardedRetriever, WindowedRetriever
from mmrec_bench.types import IntArray


class Elsewhere:
    """Ranks shards with a retriever of the same kind, and remembers them."""

    def __init__(self, inner: Retriever) -> None:
        self._inner = inner
        self.shards: list[IntArray] = []

    def __call__(
        self, scoring: Representations, shards: Sequence[IntArray], k: int, exclude: Exclusions, ties: IntArray
    ) -> list[Rankings]:
        self.shards = list(shards)
        return [self._inner.top_k(scoring, users, k, exclude, ties) for users in shards]


@pytest.fixture
def windowed(retriever: WindowedRetriever, monkeypatch: pytest.MonkeyPatch) -> WindowedRetriever:
    """A back-end with many small windows."""
    monkeypatch.setattr(faiss_backend, "LARGEST_BLOCK", 37)
    monkeypatch.setattr(torch_backend, "CACHE_BYTES", 4 * 700 * 37)
    monkeypatch.setattr(torch_backend, "SMALLEST_BLOCK", 1)
    return retriever


def floats(n_users: int = 500, n_items: int = 700) -> tuple[Representations, Exclusions, IntArray]:
    """Vectors whose products round, and histories of very different lengths."""
    rng = np.random.default_rng(3)
    users, items = (torch.from_numpy(rng.normal(size=(n, 33)).astype(np.float32)) for n in (n_users, n_items))
    longest = (rng.random(n_users) ** 4 * 0.4)[:, None]
    seen = sp.csr_matrix(rng.random((n_users, n_items)) < longest)
    return Representations(users, items), Exclusions.of(seen), rng.permutation(n_items)


@pytest.mark.parametrize("n_shards", [2, 3, 8, 1000])
def test_sharded_lists_are_the_unsharded_ones(windowed: WindowedRetriever, n_shards: int) -> None:
    vectors, exclude, ties = floats()
    users = np.arange(1, 500, 2)[::-1].copy()
    elsewhere = Elsewhere(windowed)
    found = ShardedRetriever(windowed, n_shards, elsewhere).top_k(vectors, users, 10, exclude, ties)
    whole = windowed.top_k(vectors, users, 10, exclude, ties)
    assert np.array_equal(found.items, whole.items)
    assert np.array_equal(found.scores.view(np.int32), whole.scores.view(np.int32))
    assert (found.served, found.users.tolist()) == (whole.served, whole.users.tolist())
    assert 1 < len(elsewhere.shards) <= n_shards
    assert sorted(np.concatenate(elsewhere.shards).tolist()) == sorted(users.tolist()), "each user once"
    sizes = [len(shard) for shard in elsewhere.shards]
    assert n_shards == 1000 or max(sizes) <= len(users) / n_shards + 37, "of about one size"


def test_every_shard_is_cut_into_the_windows_of_the_whole(windowed: WindowedRetriever) -> None:
    vectors, exclude, ties = floats()
    users = np.arange(500)
    whole = [users[rows].tolist() for rows in windowed.windows(vectors, users, 10, exclude, ties)]
    elsewhere = Elsewhere(windowed)
    ShardedRetriever(windowed, 3, elsewhere).top_k(vectors, users, 10, exclude, ties)
    parts = [
        shard[rows].tolist()
        for shard in elsewhere.shards
        for rows in windowed.windows(vectors, shard, 10, exclude, ties)
    ]
    assert parts == whole


def test_what_cannot_be_cut_is_ranked_in_one_piece(windowed: WindowedRetriever) -> None:
    """Users whose vector is zero tie with the whole catalogue, which the dense back-end of faiss settles together."""
    vectors, exclude, ties = floats()
    vectors.users[::7] = 0
    users = np.arange(500)
    found = ShardedRetriever(windowed, 3, Elsewhere(windowed)).top_k(vectors, users, 10, exclude, ties)
    whole = windowed.top_k(vectors, users, 10, exclude, ties)
    assert np.array_equal(found.items, whole.items)
    assert np.array_equal(found.scores.view(np.int32), whole.scores.view(np.int32))
    assert found.served == whole.served
    few = Elsewhere(windowed)
    ShardedRetriever(windowed, 3, few).top_k(vectors, users[:1], 10, exclude, ties)
    ShardedRetriever(windowed, 3, few).top_k(vectors, users[:0], 10, exclude, ties)
    assert not few.shards
