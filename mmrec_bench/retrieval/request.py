"""One checked question to a retriever, and the answer while it is filled in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.errors import DataError, ModelError, ProtocolError
from mmrec_bench.retrieval.base import PAD_ITEM, Exclusions, Rankings, Representations, Scoring
from mmrec_bench.retrieval.canonical import TopK
from mmrec_bench.retrieval.membership import Membership
from mmrec_bench.types import IntArray

NORMALISED_VALUES = 1 << 22
"""Values normalised at once; bounds the temporary memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is asked of a retriever.

    Attributes:
        users: User rows, int64 ``[n]``.
        k: Length of each list.
        n_items: Number of items of the catalogue.
        excluded: Items that must not be ranked.
        ties: Tie rank of each item, int64 ``[n_items]``.
    """

    users: IntArray
    k: int
    n_items: int
    excluded: Membership
    ties: IntArray

    @classmethod
    def of(cls, scoring: Scoring, users: IntArray, k: int, exclude: Exclusions, ties: IntArray) -> Request:
        """Check the arguments of `Retriever.top_k` against each other.

        Raises:
            ProtocolError: k is not in 1..n_items.
            DataError: Users, exclusions or tie ranks do not fit the number of users and items.
        """
        n_users, n_items = scoring.n_users, scoring.n_items
        if not 1 <= k <= n_items:
            raise ProtocolError(f"top-k needs 1 <= k <= n_items ({n_items}); got {k}. Lower protocol.cutoffs")
        users = np.ascontiguousarray(users, np.int64)
        if users.ndim != 1 or (len(users) and (users.min() < 0 or users.max() >= n_users)):
            raise DataError(f"users to rank for must be a list of rows in 0..{n_users - 1}, the users of the model")
        excluded = Membership(exclude, n_items)
        if excluded.n_users != n_users:
            raise DataError(f"exclusions are of {excluded.n_users} users; the model has {n_users}")
        if ties.shape != (n_items,) or not np.array_equal(np.sort(ties), np.arange(n_items)):
            raise DataError(f"tie ranks must be a permutation of 0..{n_items - 1}, one an item; got {len(ties)} values")
        return cls(users, k, n_items, excluded, ties)


class Answer:
    """Rankings while blocks of users are written into them.

    Args:
        request: What was asked.
    """

    def __init__(self, request: Request) -> None:
        self._users = request.users
        self._items = np.full((len(request.users), request.k), PAD_ITEM, np.int64)
        self._scores = np.full((len(request.users), request.k), -np.inf, np.float32)
        self._served: Counter[str] = Counter()

    def put(self, rows: IntArray, top: TopK, server: str) -> IntArray:
        """Store the settled lists, and return the rows of the others.

        Args:
            rows: Places in ``request.users``, int64 ``[B]``.
            top: Their lists.
            server: What served them, such as ``faiss-cpu``.
        """
        done = top.settled
        self._items[rows[done]] = top.items[done]
        self._scores[rows[done]] = top.scores[done]
        self._served[server] += int(done.sum())
        return rows[~done]

    def rankings(self) -> Rankings:
        """Return the finished rankings."""
        served = {server: count for server, count in self._served.items() if count}
        return Rankings(self._users, self._items, self._scores, served)


def check_range(vectors: Representations) -> None:
    """Refuse vectors without columns, and vectors whose products may overflow.

    Raises:
        ModelError: No column, or the largest possible product is beyond float32.
    """
    if vectors.users.shape[1] == 0:
        raise ModelError("representations have no column; embedding_dim must be at least 1")
    if vectors.similarity == "cosine" or not vectors.n_users or not vectors.n_items:
        return
    largest = [
        max(-float(low), float(high))
        for low, high in (torch.aminmax(table.detach()) for table in (vectors.users, vectors.items))
    ]
    if vectors.users.shape[1] * largest[0] * largest[1] > float(np.finfo(np.float32).max):
        raise ModelError(
            f"scores may overflow float32: values reach {largest[0]:.3g} for users and {largest[1]:.3g} for items. "
            "The model has diverged; lower trainer.learning_rate or raise model.weight_decay"
        )


def unit_rows(table: Tensor) -> Tensor:
    """Return rows scaled to length 1, float32 ``[n, d]``; zero rows stay zero. Computed in double precision."""
    scaled = torch.empty_like(table)
    rows = max(1, NORMALISED_VALUES // max(table.shape[1], 1))
    for start in range(0, len(table), rows):
        block = table[start : start + rows].double()
        lengths = block.norm(dim=1, keepdim=True)
        scaled[start : start + rows] = (block / torch.where(lengths > 0, lengths, 1.0)).float()
    return scaled


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply matrices in full float32 whatever training has set (TF32, bfloat16), so that retrieval stays exact."""
    # One by one: torch refuses to tell of both by one name where they have been set one by one.
    switches: list[Any] = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
    before = [(switch, switch.fp32_precision) for switch in switches]
    for switch, _ in before:
        switch.fp32_precision = "ieee"
    try:
        yield
    finally:
        for switch, precision in before:
            switch.fp32_precision = precision
