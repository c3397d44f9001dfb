"""What a model ranks by: its vectors now, or, as some released code does, those of its last training batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from mmrec_bench.retrieval.base import Representations

ScoreFrom: TypeAlias = Literal["fresh", "last-batch"]
"""``fresh``: vectors of the present weights, without dropout. ``last-batch``: those that the last training batch made,
before its step and with its dropout."""


class FreshVectors(nn.Module):
    """Ranks by vectors of the present weights."""

    def keep(self, vectors: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """Keep nothing."""

    def or_fresh(self, fresh: Callable[[], Representations]) -> Representations:
        """Return fresh vectors."""
        return fresh()


class LastBatchVectors(FreshVectors):
    """Ranks by the vectors of the last training batch, which are part of the state of the model.

    Attributes:
        users: Float32 ``[n_users, d]``.
        items: Float32 ``[n_items, d]``.
        filled: Whether there was a batch, bool ``[]``.

    Args:
        n_users: Number of users.
        n_items: Number of items.
        dim: Size d of the vectors.
    """

    users: Tensor
    items: Tensor
    filled: Tensor

    def __init__(self, n_users: int, n_items: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("users", torch.zeros(n_users, dim))
        self.register_buffer("items", torch.zeros(n_items, dim))
        self.register_buffer("filled", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def keep(self, vectors: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """Keep the vectors of all users and items, if this is a training batch."""
        if self.training:
            for kept, made in zip((self.users, self.items), vectors(), strict=True):
                kept.copy_(made)
            self.filled.fill_(True)

    def or_fresh(self, fresh: Callable[[], Representations]) -> Representations:
        """Return what was kept; fresh vectors before the first batch, where released code has none."""
        return Representations(self.users.clone(), self.items.clone()) if self.filled else fresh()


def ranking_vectors(score_from: ScoreFrom, n_users: int, n_items: int, dim: int) -> FreshVectors:
    """Return what keeps the vectors that a model ranks by.

    Args:
        score_from: Where they come from.
        n_users: Number of users.
        n_items: Number of items.
        dim: Size of the vectors.
    """
    return FreshVectors() if score_from == "fresh" else LastBatchVectors(n_users, n_items, dim)
