"""Contracts of exact top-k retrieval: what goes in, what comes out, in which order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from mmrec_bench.errors import ModelError
from mmrec_bench.types import FloatArray, IntArray, StringArray

Similarity: TypeAlias = Literal["dot", "cosine"]

PAD_ITEM = -1
"""Item of a slot for which no candidate is left; its score is -inf."""


@dataclass(frozen=True, slots=True, eq=False)
class Representations:
    """A model whose scores are inner products.

    Attributes:
        users: float32 ``[n_users, d]``.
        items: float32 ``[n_items, d]``.
        similarity: ``dot``, or ``cosine`` = dot of rows scaled to unit length.

    Raises:
        ModelError: Wrong shapes or dtypes, or a value that is not finite.
    """

    users: Tensor
    items: Tensor
    similarity: Similarity = "dot"

    def __post_init__(self) -> None:
        for name, table in (("users", self.users), ("items", self.items)):
            if table.ndim != 2 or table.dtype != torch.float32:
                raise ModelError(
                    f"representations of {name} must be float32 [n, d]; got {table.dtype} {tuple(table.shape)}"
                )
            if not bool(torch.isfinite(table).all()):
                rows = int((~torch.isfinite(table).all(dim=1)).sum())
                raise ModelError(f"representations of {name} must be finite; {rows} of {len(table)} rows are not")
        if self.users.shape[1] != self.items.shape[1]:
            raise ModelError(
                f"users and items need vectors of one length; got {self.users.shape[1]} and {self.items.shape[1]}"
            )

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.items)


@runtime_checkable
class Scorer(Protocol):
    """A model whose scores are no inner product; only dense back-ends can serve it."""

    @property
    def n_users(self) -> int:
        """Number of users."""

    @property
    def n_items(self) -> int:
        """Number of items."""

    def scores(self, users: Tensor) -> Tensor:
        """Return the scores of all items, float32 ``[len(users), n_items]``, for user rows int64 ``[B]``."""


Scoring: TypeAlias = Representations | Scorer
"""What a trained retrieval model exports."""


@dataclass(frozen=True, slots=True, eq=False)
class Rankings:
    """Ranked lists in canonical order: falling score, ties by the protocol's seeded hash of external item ids.

    Attributes:
        users: User rows, int64 ``[n]``.
        items: Item rows, int64 ``[n, k]``, `PAD_ITEM` where no candidate was left.
        scores: float32 ``[n, k]``, -inf at padding.
        served: Number of users by what served them (``faiss-cpu``, ``torch-cpu``, ...), for the manifest.
    """

    users: IntArray
    items: IntArray
    scores: FloatArray
    served: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Exclusions:
    """Items that must not be ranked, by user.

    Attributes:
        offsets: int64 ``[n_users + 1]``.
        items: int64 ``[n]``, ascending within a user: user u excludes ``items[offsets[u]:offsets[u + 1]]``.
    """

    offsets: IntArray
    items: IntArray

    @classmethod
    def of(cls, matrix: sp.csr_matrix) -> Exclusions:
        """Exclude the non-zero columns of each row of a CSR matrix ``[n_users, n_items]``."""
        matrix = matrix.tocsr(copy=True)
        matrix.sum_duplicates()
        return cls(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64))

    @classmethod
    def none(cls, n_users: int) -> Exclusions:
        """Exclude nothing."""
        return cls(np.zeros(n_users + 1, np.int64), np.zeros(0, np.int64))


def tie_ranks(item_ids: StringArray, seed: int) -> IntArray:
    """Return the place of each item among equals, int64 ``[n_items]``: a permutation, lower comes first.

    Row numbers often follow popularity, so ties broken by row would reward a constant scorer. The place is the rank of
    a seeded hash of the external id, so it does not depend on the order of rows.
    """
    key = seed.to_bytes(8, "little", signed=True)
    hashes = [hashlib.blake2b(str(item).encode(), digest_size=8, key=key).digest() for item in item_ids]
    order = sorted(range(len(hashes)), key=lambda row: (hashes[row], str(item_ids[row])))
    ranks = np.empty(len(hashes), np.int64)
    ranks[order] = np.arange(len(hashes))
    return ranks


class Retriever(Protocol):
    """Exact top-k over the whole catalogue."""

    def top_k(self, scoring: Scoring, users: IntArray, k: int, exclude: Exclusions, ties: IntArray) -> Rankings:
        """Rank.

        Args:
            scoring: What the model exports.
            users: User rows, int64 ``[n]``.
            k: Length of each list, ``1 <= k <= n_items``.
            exclude: Items that must not be ranked.
            ties: Result of `tie_ranks`.
        """
