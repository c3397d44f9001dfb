"""Exact top-k by a flat faiss index: over-fetch, drop excluded items, order canonically."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mmrec_bench.errors import ModelError
from mmrec_bench.extras import import_faiss
from mmrec_bench.retrieval.base import Exclusions, Rankings, Representations, Scoring
from mmrec_bench.retrieval.canonical import Candidates, canonical_top_k
from mmrec_bench.retrieval.groups import ItemGroups
from mmrec_bench.retrieval.membership import TABLE_WIDTH
from mmrec_bench.retrieval.memory import MemoryBudget, clear_memory_errors, run_in_blocks, windows_of
from mmrec_bench.retrieval.request import Answer, Request, check_range, unit_rows
from mmrec_bench.retrieval.torch_backend import TorchRetriever, scored_items
from mmrec_bench.types import IntArray

WIDEST_ON_GPU = 2048
"""Longest list that faiss serves on a GPU."""

LARGEST_BLOCK = 8192
"""Users a block: enough for faiss to be at its fastest, few enough for the lists to stay near the processor."""

FAISS_TILE = 1024
"""Items whose products faiss holds at a time."""

BYTES_PER_CANDIDATE = 96
"""Id and score, the twofold reservoir of faiss, and the temporaries of exclusion and order."""

SHORTEST_FETCH = 32
"""Fetching fewer items saves nothing."""

RESERVOIR = 100
"""From this length on faiss selects by reservoir, which beats the heap it uses for lengths just below."""


class FaissRetriever:
    """Exact top-k of inner products and cosines.

    The dense back-end serves two kinds of users, and `Rankings.served` counts them: those whose k-th score is shared by
    more items than were fetched (such as a user whose vector is zero), and on a GPU those who need a list longer than
    faiss can give. Fetching ever longer lists for the former would end in sorting whole catalogues.

    Args:
        device: A CUDA device is used where this faiss is built for it; otherwise faiss runs on the CPU, and says so.
        memory_mib: Memory for index and blocks in MiB.

    Raises:
        MissingExtraError: faiss is not installed.
    """

    def __init__(self, device: torch.device | None = None, memory_mib: int = 1024) -> None:
        self._faiss = import_faiss("the faiss retriever", "Or set retriever.backend to torch, which needs neither")
        self.device = device or torch.device("cpu")
        self.budget = MemoryBudget(memory_mib)
        self._on_gpu = self.device.type == "cuda" and self._faiss.get_num_gpus() > 0
        self._gpu = self._faiss.StandardGpuResources() if self._on_gpu else None
        self._dense = TorchRetriever(self.device, memory_mib)

    @property
    def server(self) -> str:
        """Name under `Rankings.served`."""
        return "faiss-cuda" if self._on_gpu else "faiss-cpu"

    @torch.no_grad()
    def top_k(self, scoring: Scoring, users: IntArray, k: int, exclude: Exclusions, ties: IntArray) -> Rankings:
        """Rank; see `Retriever.top_k`.

        Raises:
            ProtocolError: k is not in 1..n_items.
            ModelError: The model exports a scorer instead of vectors, or vectors whose products may overflow.
            ResourceError: The candidates of one user do not fit into the memory.
        """
        if not isinstance(scoring, Representations):
            raise ModelError(
                f"faiss ranks inner products, but this model exports a scorer ({type(scoring).__name__}). "
                "Set retriever.backend to torch"
            )
        request = Request.of(scoring, users, k, exclude, ties)
        check_range(scoring)
        answer = Answer(request)
        with clear_memory_errors("building the index of item vectors"):
            index = _Index(self._faiss, scoring, ties, self._gpu, self.device)
        left = []
        for rows, reach in _buckets(request):
            too_wide = self._gpu is not None and min(reach, len(index.groups)) > WIDEST_ON_GPU
            left.append(rows if too_wide else self._serve(index, request, rows, reach, answer))
        if any(map(len, left)):
            groups = index.groups
            del index  # its memory goes to the dense scores
            self._dense.serve_vectors(scoring, groups, request, np.concatenate(left), answer)
        return answer.rankings()

    def windows(
        self, scoring: Representations, users: IntArray, k: int, exclude: Exclusions, ties: IntArray
    ) -> list[IntArray]:
        """Return the places of users that are searched together; see `ShardedRetriever`."""
        request = Request.of(scoring, users, k, exclude, ties)
        index = _Index(self._faiss, scoring, ties, self._gpu, self.device)
        return [window for rows, reach in _buckets(request) for window in windows_of(rows, self._block(index, reach))]

    def _block(self, index: _Index, reach: int) -> int:
        return min(LARGEST_BLOCK, self.budget.rows(index.fixed_bytes, index.bytes_per_user(reach)))

    def _serve(self, index: _Index, request: Request, rows: IntArray, reach: int, answer: Answer) -> IntArray:
        """Rank for the users at these rows; return those left open by ties that reach the end of what was fetched."""
        block = self._block(index, reach)
        undecided: list[IntArray] = []

        def serve_block(window: slice) -> None:
            users = request.users[rows[window]]
            candidates = index.search(users, reach)
            dropped = request.excluded.contains(users, candidates.items)
            top = canonical_top_k(candidates, dropped, request.ties, request.k)
            undecided.append(answer.put(rows[window], top, self.server))

        run_in_blocks(len(rows), block, serve_block)
        return np.concatenate(undecided)


class _Index:
    """A flat faiss index over the distinct item vectors of a model.

    Args:
        faiss: The module.
        vectors: What the model exports.
        ties: Tie rank of each item.
        gpu: Resources of a GPU, or None for the CPU.
        device: Which GPU.
    """

    def __init__(self, faiss: Any, vectors: Representations, ties: IntArray, gpu: Any, device: torch.device) -> None:
        items = scored_items(vectors)
        self.groups = ItemGroups.of(items, ties)
        distinct = items if self.groups.all_single else items[torch.from_numpy(self.groups.representatives)]
        flat = faiss.IndexFlatIP(items.shape[1])
        flat.add(np.ascontiguousarray(distinct.cpu().numpy()))
        self._index = flat if gpu is None else faiss.index_cpu_to_gpu(gpu, device.index or 0, flat)
        self._users, self._cosine = vectors.users.detach(), vectors.similarity == "cosine"
        self.fixed_bytes = 4 * items.shape[1] * (len(self.groups) + (len(items) if self._cosine else 0))

    def bytes_per_user(self, reach: int) -> int:
        """Return the working memory for one user: a row of products, its hash table and its candidates."""
        candidates = reach * BYTES_PER_CANDIDATE * (1 if self.groups.all_single else 3)
        return 4 * min(FAISS_TILE, len(self.groups)) + TABLE_WIDTH + candidates

    def search(self, users: IntArray, reach: int) -> Candidates:
        """Return at least the ``reach`` best items of each user, or all items."""
        rows = self._users[torch.from_numpy(users).to(self._users.device)]
        queries = (unit_rows(rows) if self._cosine else rows).cpu().numpy()
        scores, groups = self._index.search(np.ascontiguousarray(queries), min(reach, len(self.groups)))
        return self.groups.expand(groups, scores, reach)


def _buckets(request: Request) -> list[tuple[IntArray, int]]:
    """Return (rows of a request, number of items to fetch) by length of history.

    A user needs k items, one for each excluded item, and one more to see that the k-th score is not shared. Lengths
    double from bucket to bucket: few large searches, in which nobody fetches much more than twice what he needs.
    """
    needed = request.k + 1 + request.excluded.counts(request.users)
    shortest = max(2 * request.k, SHORTEST_FETCH)
    steps = np.ceil(np.log2(np.maximum(needed / shortest, 1.0))).astype(np.int64)
    buckets = []
    for step in np.unique(steps):
        reach = int(shortest << step)
        reach = RESERVOIR if 0.6 * RESERVOIR < reach < RESERVOIR else reach
        buckets.append((np.flatnonzero(steps == step), min(reach, request.n_items)))
    return buckets
