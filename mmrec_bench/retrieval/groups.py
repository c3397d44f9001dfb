"""Items that share one vector are scored once, so their scores are equal by construction.

Matrix products do not promise it: kernels add in another order at the edge of a block, so the scores of two copies of a
vector can differ in the last bit by their column. Then neither ties nor the independence of row order would be exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.retrieval.base import PAD_ITEM
from mmrec_bench.retrieval.canonical import Candidates
from mmrec_bench.types import FloatArray, IntArray

HASH_VALUES = 1 << 22
"""Values hashed at once; bounds the temporary memory."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemGroups:
    """A partition of the catalogue into groups of items with equal vectors.

    Attributes:
        of_item: Group of each item, int64 ``[n_items]``.
        members: Items by (group, tie rank), int64 ``[n_items]``.
        starts: Where the members of each group begin, int64 ``[n_groups]``.
        sizes: Number of members, int64 ``[n_groups]``.
    """

    of_item: IntArray
    members: IntArray
    starts: IntArray
    sizes: IntArray

    @classmethod
    def of(cls, vectors: Tensor, ties: IntArray) -> ItemGroups:
        """Group equal rows of float32 ``[n_items, d]``; members of a group stand in the order of their tie ranks."""
        group = equal_rows(vectors)
        members = np.lexsort((ties, group)).astype(np.int64)
        sizes = np.bincount(group).astype(np.int64)
        return cls(group, members, np.cumsum(sizes) - sizes, sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def all_single(self) -> bool:
        """Whether no two items share a vector; then groups are numbered like items."""
        return len(self.sizes) == len(self.members)

    @property
    def representatives(self) -> IntArray:
        """One item of each group, int64 ``[n_groups]``."""
        return self.members[self.starts]

    def expand(self, groups: IntArray, scores: FloatArray, reach: int) -> Candidates:
        """Replace fetched groups by their members, as far down as matters.

        A user of whom k items are wanted and s are excluded needs no more than the first k + s members of a group, and
        no group before which k + s such members stand. So rows grow to at most twice ``reach``.

        Args:
            groups: Fetched groups, int64 ``[B, w]``, distinct within each row.
            scores: float32 ``[B, w]``, falling.
            reach: More than k + s of every user.
        """
        n_rows, width = groups.shape
        lowest = scores[:, -1] if width < len(self) else np.full(n_rows, -np.inf, np.float32)
        if self.all_single:
            return Candidates(groups, scores, lowest)
        sizes = np.minimum(self.sizes[groups], reach)
        ends = np.cumsum(sizes, axis=1)
        used = ends - sizes < reach
        first_unused = np.minimum(used.sum(axis=1), width - 1)
        bound = np.where(used.all(axis=1), lowest, scores[np.arange(n_rows), first_unused])

        counts = np.where(used, sizes, 0).reshape(-1)
        lengths = counts.reshape(n_rows, width).sum(axis=1)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = np.repeat(np.arange(n_rows), lengths)
        columns = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        items = np.full((n_rows, int(lengths.max(initial=0))), PAD_ITEM, np.int64)
        items[rows, columns] = self.members[np.repeat(self.starts[groups.reshape(-1)], counts) + within]
        expanded = np.full(items.shape, -np.inf, np.float32)
        expanded[rows, columns] = np.repeat(scores.reshape(-1), counts)
        return Candidates(items, expanded, bound.astype(np.float32))


def equal_rows(vectors: Tensor) -> IntArray:
    """Return a group number of each row, int64 ``[n]``, without gaps from 0; equal numbers mean equal rows.

    Rows are compared by a 64-bit hash, and then verified; -0.0 equals 0.0. Where all rows differ, a row's number is its
    own.
    """
    generator = torch.Generator().manual_seed(20240229)
    weights = torch.randint(-(2**62), 2**62, (vectors.shape[1],), generator=generator) * 2 + 1
    weights = weights.to(vectors.device)
    codes = torch.empty(len(vectors), dtype=torch.int64)
    rows = _rows_at_once(vectors)
    for start in range(0, len(vectors), rows):
        block = _bits(vectors[start : start + rows]).to(torch.int64)
        codes[start : start + rows] = (block * weights).sum(dim=1).cpu()
    return _verified(vectors, codes.numpy())


def _verified(vectors: Tensor, codes: IntArray) -> IntArray:
    _, first, group = np.unique(codes, return_index=True, return_inverse=True)
    if len(first) == len(codes):
        return np.arange(len(codes))
    group = group.reshape(-1).astype(np.int64)
    copies = np.flatnonzero(first[group] != np.arange(len(codes)))
    n_rows = _rows_at_once(vectors)
    for start in range(0, len(copies), n_rows):
        rows = copies[start : start + n_rows]
        one = _bits(vectors[torch.from_numpy(rows).to(vectors.device)])
        other = _bits(vectors[torch.from_numpy(first[group[rows]]).to(vectors.device)])
        if not torch.equal(one, other):  # two different rows share a hash: rare, so the slow and sure way will do
            exact = np.unique(_bits(vectors).cpu().numpy(), axis=0, return_inverse=True)[1]
            return exact.reshape(-1).astype(np.int64)
    return group


def _rows_at_once(vectors: Tensor) -> int:
    return max(1, HASH_VALUES // max(vectors.shape[1], 1))


def _bits(rows: Tensor) -> Tensor:
    return (rows + 0.0).view(torch.int32)  # -0.0 + 0.0 is 0.0
