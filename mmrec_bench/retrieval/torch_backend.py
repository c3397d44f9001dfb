"""Exact top-k by dense scores, on CPU or CUDA; also serves models whose scores are no inner products."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.errors import ModelError
from mmrec_bench.retrieval.base import PAD_ITEM, Exclusions, Rankings, Representations, Scorer, Scoring
from mmrec_bench.retrieval.canonical import Candidates, TopK, canonical_top_k
from mmrec_bench.retrieval.groups import ItemGroups
from mmrec_bench.retrieval.memory import MIB, MemoryBudget, clear_memory_errors, run_in_blocks, windows_of
from mmrec_bench.retrieval.request import Answer, Request, check_range, full_precision, unit_rows
from mmrec_bench.types import FloatArray, IntArray

CACHE_BYTES = 16 * MIB
"""Scores of a block on a CPU; they stay in the cache between product, mask and selection."""

SMALLEST_BLOCK = 64
"""Users a block for which the cache is given up, so that the product stays efficient on large catalogues."""

BYTES_PER_SCORE = 32
"""Scores, the copy made for shared vectors, and the temporaries of selection and tie order."""


class DenseScores(Protocol):
    """Scores of all items for some users."""

    @property
    def fixed_bytes(self) -> int:
        """Memory held whatever the number of users."""

    def block(self, users: IntArray) -> Tensor:
        """Return finite scores, float32 ``[len(users), n_items]``, in memory that the caller may overwrite."""


class VectorScores:
    """Inner products (or cosines); items that share a vector get bit-equal scores.

    Args:
        vectors: What the model exports.
        groups: Its items by shared vector; made by the caller, who may need them too.
        device: Where to multiply.
    """

    def __init__(self, vectors: Representations, groups: ItemGroups, device: torch.device) -> None:
        self._users = vectors.users.detach()
        self._cosine = vectors.similarity == "cosine"
        items = scored_items(vectors).to(device)
        self._of_item = None
        if not groups.all_single:
            items = items[torch.from_numpy(groups.representatives).to(device)]
            self._of_item = torch.from_numpy(groups.of_item).to(device)
        self._items = items.T
        self._device = device

    @property
    def fixed_bytes(self) -> int:
        """Memory held whatever the number of users."""
        return self._items.numel() * 4

    def block(self, users: IntArray) -> Tensor:
        """Return finite scores, float32 ``[len(users), n_items]``, in memory that the caller may overwrite."""
        rows = self._users[torch.from_numpy(users).to(self._users.device)].to(self._device)
        with full_precision():
            scores = (unit_rows(rows) if self._cosine else rows) @ self._items
        return scores if self._of_item is None else scores.index_select(1, self._of_item)


class ModelScores:
    """Scores by the model's own function.

    Args:
        scorer: What the model exports.
        device: Where user rows are handed over.
    """

    fixed_bytes = 0

    def __init__(self, scorer: Scorer, device: torch.device) -> None:
        self._scorer, self._device = scorer, device

    def block(self, users: IntArray) -> Tensor:
        """Return finite scores, float32 ``[len(users), n_items]``, in memory that the caller may overwrite.

        Raises:
            ModelError: The model gives another shape or dtype, or scores that are not finite.
        """
        with full_precision():
            scores = self._scorer.scores(torch.from_numpy(users).to(self._device))
        wanted = (len(users), self._scorer.n_items)
        if tuple(scores.shape) != wanted or scores.dtype != torch.float32:
            raise ModelError(
                f"scores of a model must be float32 {list(wanted)}; got {scores.dtype} {list(scores.shape)}"
            )
        if not bool(torch.isfinite(scores.sum(dtype=torch.float64))):  # one pass; a NaN or an infinity survives a sum
            raise ModelError("scores of a model must be finite; got NaN or infinity. The model has diverged")
        return scores.to(self._device, copy=True, memory_format=torch.contiguous_format)


def scored_items(vectors: Representations) -> Tensor:
    """Return the item vectors that are multiplied, float32 ``[n_items, d]``: of unit length for cosine."""
    items = vectors.items.detach()
    return unit_rows(items) if vectors.similarity == "cosine" else items


class TorchRetriever:
    """Exact top-k by dense scores in blocks of users.

    Args:
        device: Where scores are computed and selected.
        memory_mib: Memory for blocks in MiB.
    """

    def __init__(self, device: torch.device | None = None, memory_mib: int = 1024) -> None:
        self.device = device or torch.device("cpu")
        self.budget = MemoryBudget(memory_mib)

    @property
    def server(self) -> str:
        """Name under `Rankings.served`."""
        return f"torch-{self.device.type}"

    @torch.no_grad()
    def top_k(self, scoring: Scoring, users: IntArray, k: int, exclude: Exclusions, ties: IntArray) -> Rankings:
        """Rank; see `Retriever.top_k`.

        Raises:
            ProtocolError: k is not in 1..n_items.
            ModelError: Scores of a wrong shape or dtype, or not finite.
            ResourceError: The scores of one user do not fit into the memory.
        """
        request = Request.of(scoring, users, k, exclude, ties)
        answer = Answer(request)
        everyone = np.arange(len(request.users))
        if isinstance(scoring, Representations):
            check_range(scoring)
            with clear_memory_errors("comparing item vectors"):
                groups = ItemGroups.of(scored_items(scoring), ties)
            self.serve_vectors(scoring, groups, request, everyone, answer)
        else:
            self._serve(ModelScores(scoring, self.device), request, everyone, answer)
        return answer.rankings()

    def serve_vectors(
        self, vectors: Representations, groups: ItemGroups, request: Request, rows: IntArray, answer: Answer
    ) -> None:
        """Rank for the users at these rows of a request, whose items are already grouped by shared vector."""
        with clear_memory_errors("moving item vectors to the device"):
            scores = VectorScores(vectors, groups, self.device)
        self._serve(scores, request, rows, answer)

    def windows(
        self, scoring: Representations, users: IntArray, k: int, exclude: Exclusions, ties: IntArray
    ) -> list[IntArray]:
        """Return the places of users whose scores are computed together; see `ShardedRetriever`."""
        request = Request.of(scoring, users, k, exclude, ties)
        scores = VectorScores(scoring, ItemGroups.of(scored_items(scoring), ties), self.device)
        return windows_of(np.arange(len(request.users)), self._block(scores, request))

    def _block(self, scores: DenseScores, request: Request) -> int:
        block = self.budget.rows(scores.fixed_bytes, request.n_items * BYTES_PER_SCORE)
        if self.device.type == "cpu":
            block = min(block, max(SMALLEST_BLOCK, CACHE_BYTES // (4 * request.n_items)))
        return block

    def _serve(self, scores: DenseScores, request: Request, rows: IntArray, answer: Answer) -> None:
        block = self._block(scores, request)
        ties = torch.from_numpy(request.ties).to(self.device)

        def serve_block(window: slice) -> None:
            users = request.users[rows[window]]
            top = self._top_k_of(scores.block(users), users, request, ties)
            answer.put(rows[window], top, self.server)

        run_in_blocks(len(rows), block, serve_block)

    def _top_k_of(self, scores: Tensor, users: IntArray, request: Request, ties: Tensor) -> TopK:
        places, items = request.excluded.pairs(users)
        barred = torch.from_numpy(places * request.n_items + items).to(self.device)
        scores.view(-1).index_fill_(0, barred, -torch.inf)
        k, n_items = request.k, request.n_items
        best = torch.topk(scores, min(k + 1, n_items))
        values, fetched = best.values.cpu().numpy(), best.indices.cpu().numpy()
        bound = values[:, -1] if k < n_items else np.full(len(users), -np.inf, np.float32)
        top = canonical_top_k(Candidates(fetched, values, bound), values == -np.inf, request.ties, k)
        cut = np.flatnonzero(~top.settled)  # items beyond the k-th share its score
        if len(cut):
            level = values[cut, k - 1 : k]
            chosen = self._first_of_level(scores, cut, level, ties, k)
            known = np.concatenate([np.where(values[cut, :k] > level, fetched[cut, :k], PAD_ITEM), chosen], axis=1)
            graded = np.concatenate([values[cut, :k], np.broadcast_to(level, chosen.shape)], axis=1)
            nothing_left = np.full(len(cut), -np.inf, np.float32)
            repaired = canonical_top_k(Candidates(known, graded, nothing_left), known < 0, request.ties, k)
            top.items[cut], top.scores[cut], top.settled[cut] = repaired.items, repaired.scores, True
        return top

    @staticmethod
    def _first_of_level(scores: Tensor, rows: IntArray, level: FloatArray, ties: Tensor, k: int) -> IntArray:
        """Return the k items of lowest tie rank among those with exactly this score, padded where there are fewer."""
        device = scores.device
        at_level = scores[torch.from_numpy(rows).to(device)] == torch.from_numpy(level).to(device)
        none = len(ties)
        first = torch.topk(torch.where(at_level, ties, none), k, largest=False)
        return torch.where(first.values < none, first.indices, PAD_ITEM).cpu().numpy()
