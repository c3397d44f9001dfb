"""From a part of the split to batches of impressions."""

from __future__ import annotations

import torch
from torch import Tensor

from mmrec_bench.models.ctr.base import CtrPart, PointBatch, PointInputs


class PointFeed:
    """Impressions on a device, from which batches are cut.

    Args:
        part: Impressions, what their users had clicked before, and what the extra slot holds.
        device: Where batches are made.
        history_length: How many of the latest history items a batch carries; 0 carries none.
    """

    def __init__(self, part: CtrPart, device: torch.device, history_length: int = 0) -> None:
        points, histories = part.points, part.histories
        self._users = torch.tensor(points.users, device=device)
        self._items = torch.tensor(points.items, device=device)
        self._labels = torch.tensor(points.labels, dtype=torch.float32, device=device)
        self._length = history_length if len(histories.items) else 0
        self._reads_history = history_length > 0
        if self._length:
            self._clicked = torch.tensor(histories.items, device=device)
            self._begins = torch.tensor(histories.begins, device=device)
            self._ends = torch.tensor(histories.ends, device=device)
        self._by_item = part.extra is not None and part.extra.by == "item"
        self._extra = None if part.extra is None else torch.tensor(part.extra.values, device=device)

    def __len__(self) -> int:
        return len(self._users)

    def inputs(self, rows: Tensor) -> PointInputs:
        """Return some impressions, int64 ``[B]``, as they are served."""
        items = self._items[rows]
        extra = None if self._extra is None else self._extra[items if self._by_item else rows]
        return PointInputs(self._users[rows], items, self._histories(rows), extra)

    def batch(self, rows: Tensor) -> PointBatch:
        """Return some impressions, int64 ``[B]``, to learn from."""
        return PointBatch(self.inputs(rows), self._labels[rows])

    def _histories(self, rows: Tensor) -> Tensor | None:
        if not self._reads_history:
            return None
        if not self._length:
            return self._items.new_full((len(rows), 0), -1)
        begins, ends = self._begins[rows], self._ends[rows]
        longest = min(int((ends - begins).max()), self._length)
        places = ends.unsqueeze(1) - 1 - torch.arange(longest, device=ends.device)
        found = self._clicked[places.clamp(min=0)]
        return found.masked_fill(places < begins.unsqueeze(1), -1)
