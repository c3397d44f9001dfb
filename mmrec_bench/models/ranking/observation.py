"""What hangs on how a row was shown: its position, and how popular its item is. Nothing of it is known at serving."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from mmrec_bench.data.lists import Lists
from mmrec_bench.models.blocks import gather
from mmrec_bench.models.ranking.base import ListBatch
from mmrec_bench.models.ranking.scorers import Head
from mmrec_bench.row_share import total

PopularityOf: TypeAlias = Literal["exposures", "clicks", "none"]
"""What makes an item popular: how often it stands in a training list, or is clicked there. With ``none`` observation
hangs on position alone."""


SHOWN_DIM = 16
"""Length of the vector of how a row was shown."""


def by_rank(name: str, values: Tensor) -> dict[str, float]:
    """Return facts ``name@1`` to ``name@10``: values ``[n]`` of positions 1, 2, ..."""
    return {f"{name}@{rank}": value for rank, value in enumerate(values[:10].tolist(), start=1)}


def n_positions(lists: Lists) -> int:
    """Return the largest place at which a row was shown."""
    return 1 if lists.positions is None else int(lists.positions.max(initial=1))


def position_sums(values: Tensor, positions: Tensor, mask: Tensor, like: Tensor) -> Tensor:
    """Return the sums of values ``[B, L]`` of the batch's real rows by position, long as `like`, without gradient."""
    sums = torch.zeros_like(like)
    return total(sums.index_add_(0, positions[mask], values.detach()[mask]))


def log_popularity(lists: Lists, of: PopularityOf) -> Tensor:
    """Return ``log(1 + count)`` of every item, of mean 0 and deviation 1 over the rows of lists, ``[n_items]``."""
    clicks = lists.clicks if of == "clicks" else None
    counts = np.log1p(np.bincount(lists.items, clicks, lists.n_items))
    rows = counts[lists.items] if len(lists) else np.zeros(1)
    deviation = rows.std()
    # Where all items of train are alike, as documents of LETOR are, popularity says nothing.
    return torch.tensor((counts - rows.mean()) / (deviation if deviation > 1e-8 else np.inf), dtype=torch.float32)


class ShownEncoder(nn.Module):
    """One vector of how a row was shown: ``b = position embedding + MLP(popularity)``.

    Args:
        lists: Training lists, for positions and popularity.
        popularity: What makes an item popular.
    """

    counts: Tensor

    def __init__(self, lists: Lists, popularity: PopularityOf) -> None:
        super().__init__()
        dim = SHOWN_DIM
        # Row 0 stands for padding.
        self.positions = nn.Parameter(torch.randn(n_positions(lists) + 1, dim) * 0.1)
        self.popularity = None
        if popularity != "none":
            self.popularity = nn.Sequential(nn.Linear(1, dim), nn.ReLU(), nn.Linear(dim, dim))
            self.register_buffer("counts", log_popularity(lists, popularity), persistent=False)

    def forward(self, batch: ListBatch) -> Tensor:
        """Return b, float32 ``[B, L, Db]``."""
        assert batch.positions is not None  # lists with clicks have positions
        return self.of(batch.positions, batch.inputs.items)

    def of(self, positions: Tensor, items: Tensor | None = None) -> Tensor:
        """Return b of rows at positions, 1 = top, int64 of any shape; without items, at mean popularity."""
        found = gather(self.positions, positions)
        if self.popularity is not None:
            counts = found.new_zeros(positions.shape) if items is None else self.counts[items]
            found = found + self.popularity(counts.unsqueeze(-1))
        return found

    def by_position(self) -> Tensor:
        """Return b of positions 1, 2, ... at mean popularity, ``[n, Db]``."""
        return self.of(torch.arange(1, len(self.positions), device=self.positions.device))


class ObservationTower(nn.Module):
    """A logit of being observed, of nothing but how a row was shown.

    Args:
        lists: Training lists.
        popularity: What makes an item popular.
    """

    def __init__(self, lists: Lists, popularity: PopularityOf) -> None:
        super().__init__()
        self.shown, self.head = ShownEncoder(lists, popularity), Head(SHOWN_DIM)

    def forward(self, batch: ListBatch) -> Tensor:
        """Return logits, float32 ``[B, L]``."""
        logits: Tensor = self.head(self.shown(batch))
        return logits

    def by_position(self) -> Tensor:
        """Return the logits of positions 1, 2, ... at mean popularity, ``[n]``."""
        logits: Tensor = self.head(self.shown.by_position())
        return logits
