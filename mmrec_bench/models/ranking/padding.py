"""From lists in long form to padded batches."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.data.lists import Lists
from mmrec_bench.models.ranking.base import ListBatch, ListInputs, Teaching
from mmrec_bench.types import IntArray


class PaddedLists:
    """Lists on a device, from which batches are cut.

    Args:
        lists: Any number of lists of any length.
        ties: Canonical rank of each item among equal scores, int64 ``[n_items]``.
        device: Where batches are made.
        history_length: How many of the latest history items a batch carries; 0 carries none.
    """

    def __init__(self, lists: Lists, ties: IntArray, device: torch.device, history_length: int = 0) -> None:
        self._offsets = torch.tensor(lists.offsets(), device=device)
        self._users = torch.tensor(lists.users, device=device)
        self._items = torch.tensor(lists.items, device=device)
        self._ties = torch.tensor(ties, device=device)
        self._features = None if lists.features is None else torch.tensor(lists.features, device=device)
        self._rows = {
            name: torch.tensor(np.asarray(array), device=device)
            for name in ("positions", "clicks", "labels", "propensities")
            if (array := getattr(lists, name)) is not None
        }
        histories = lists.histories if history_length else None
        self._history_length = history_length if histories is not None else 0
        if histories is not None:
            self._history_offsets = torch.tensor(histories.offsets, device=device)
            self._history_items = torch.tensor(histories.items, device=device)

    def __len__(self) -> int:
        return len(self._users)

    def inputs(self, lists: Tensor) -> ListInputs:
        """Return some lists, int64 ``[B]``, as they are served."""
        rows, mask = _padded(self._offsets[lists], self._offsets[lists + 1])
        items = self._items[rows].masked_fill(~mask, 0)
        features = None if self._features is None else self._features[rows] * mask.unsqueeze(-1)
        return ListInputs(self._users[lists], items, mask, self._ties[items], features, self._histories(lists))

    def batch(self, lists: Tensor, teaches: Teaching) -> ListBatch:
        """Return some lists, int64 ``[B]``, to learn from."""
        rows, mask = _padded(self._offsets[lists], self._offsets[lists + 1])

        def column(name: str, padding: int) -> Tensor | None:
            return self._rows[name][rows].masked_fill(~mask, padding) if name in self._rows else None

        clicks = column("clicks", 0) if teaches == "clicks" else None
        labels, positions = column("labels", -1) if teaches == "labels" else None, column("positions", 0)
        if teaches == "order" and positions is not None:
            labels = (positions.amax(dim=1, keepdim=True) - positions).masked_fill(~mask, -1)
        return ListBatch(
            inputs=self.inputs(lists),
            positions=positions,
            clicks=None if clicks is None else clicks.float(),
            labels=labels,
            propensities=column("propensities", 1),
        )

    def _histories(self, lists: Tensor) -> Tensor | None:
        if not self._history_length:
            return None
        ends = self._history_offsets[lists + 1]
        begins = torch.maximum(self._history_offsets[lists], ends - self._history_length)
        rows, mask = _padded(begins, ends)
        if not len(self._history_items):
            return torch.full_like(rows, -1)
        return self._history_items[rows].masked_fill(~mask, -1)


def _padded(begins: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows from begin to end of each group, ``[B, L]`` with 0 as padding, and which are real."""
    lengths = ends - begins
    places = torch.arange(max(int(lengths.max()), 1), device=begins.device)
    mask = places < lengths.unsqueeze(1)
    return (begins.unsqueeze(1) + places).masked_fill(~mask, 0), mask
