"""Unit vectors that are searched for neighbours: held in memory, or scaled again with every block that is looked at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from mmrec_bench.extras import import_faiss
from mmrec_bench.types import BoolArray, FloatArray, IntArray

HELD_BYTES = 1 << 28
"""Larger tables are never in memory whole."""
STREAMED_VALUES = 1 << 23
"""Values of a block of a larger table, 32 MiB."""


class UnitVectors(ABC):
    """Vectors of length 1, of the rows of a table that are present and not zero.

    Attributes:
        rows: Those rows, ascending, int64 ``[n]``; vectors are named by their place among them.
        n_queries: How many vectors are asked for at once.
        gather_bytes: Memory for vectors that are taken out to be compared pair by pair.
    """

    rows: IntArray
    n_queries: int
    gather_bytes: int

    @abstractmethod
    def take(self, places: IntArray) -> FloatArray:
        """Return vectors, float32 ``[..., d]`` for int64 ``[...]``."""

    @abstractmethod
    def search(self, places: IntArray, n: int) -> tuple[FloatArray, IntArray]:
        """Return the n largest cosines to each of some vectors, falling, float32 ``[q, n]``, and whose they are."""

    @abstractmethod
    def all_alike(self) -> bool:
        """Return whether all vectors are equal."""


class HeldVectors(UnitVectors):
    """All in memory, and once more in an index of faiss.

    Args:
        values: float32 ``[I, d]``.
        present: bool ``[I]``.
        n_queries: See `UnitVectors`.
        gather_bytes: See `UnitVectors`.
    """

    def __init__(self, values: FloatArray, present: BoolArray, n_queries: int, gather_bytes: int) -> None:
        self.n_queries, self.gather_bytes = n_queries, gather_bytes
        rows = np.flatnonzero(present).astype(np.int64)
        vectors = values[rows]
        sizes = largest(vectors)
        if not (sizes > 0).all():
            rows, vectors, sizes = rows[sizes > 0], vectors[sizes > 0], sizes[sizes > 0]
        self.rows, self._vectors = rows, scaled(vectors, sizes)
        self._index: Any = None

    def take(self, places: IntArray) -> FloatArray:
        """Return vectors; see `UnitVectors.take`."""
        return self._vectors[places]

    def search(self, places: IntArray, n: int) -> tuple[FloatArray, IntArray]:
        """Compare all pairs; see `UnitVectors.search`."""
        if self._index is None:
            self._index = import_faiss("a graph of nearest neighbours").IndexFlatIP(self._vectors.shape[1])
            self._index.add(self._vectors)
        cosines, ids = self._index.search(self._vectors[places], n)
        return cosines, ids

    def all_alike(self) -> bool:
        """Compare all with the first; see `UnitVectors.all_alike`."""
        vectors = self._vectors
        return bool((vectors[-1] == vectors[0]).all() and (vectors == vectors[0]).all())


class StreamedVectors(UnitVectors):
    """Read and scaled block by block, so that memory does not grow with the table.

    Args:
        values: float32 ``[I, d]``, such as a mapped file.
        present: bool ``[I]``.
    """

    def __init__(self, values: FloatArray, present: BoolArray) -> None:
        self._values = values
        self._step = max(1, STREAMED_VALUES // values.shape[1])
        self.n_queries, self.gather_bytes = 2 * self._step, STREAMED_VALUES * 4
        usable = present.copy()
        for start in range(0, len(values), self._step):
            block = slice(start, start + self._step)
            usable[block] &= largest(np.where(present[block, None], values[block], 0)) > 0
        self.rows = np.flatnonzero(usable).astype(np.int64)

    def take(self, places: IntArray) -> FloatArray:
        """Return vectors, scaled; see `UnitVectors.take`."""
        vectors = self._values[self.rows[places.ravel()]]
        for start in range(0, len(vectors), self._step):  # what is worked out of them takes as much memory again
            block = vectors[start : start + self._step]
            scaled(block, largest(block))
        return vectors.reshape(*places.shape, -1)

    def search(self, places: IntArray, n: int) -> tuple[FloatArray, IntArray]:
        """Compare with one block after the other; see `UnitVectors.search`."""
        faiss = import_faiss("a graph of nearest neighbours")
        queries = self.take(places)
        cosines, ids = np.zeros((len(places), 0), np.float32), np.zeros((len(places), 0), np.int64)
        for start in range(0, len(self.rows), self._step):
            block = np.arange(start, min(start + self._step, len(self.rows)))
            near, where = faiss.knn(queries, self.take(block), min(n, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
            cosines, ids = np.hstack((cosines, near)), np.hstack((ids, where.astype(np.int64) + start))
            if cosines.shape[1] > n:
                best = np.argpartition(-cosines, n - 1, axis=1)[:, :n]
                cosines, ids = np.take_along_axis(cosines, best, 1), np.take_along_axis(ids, best, 1)
        order = np.argsort(-cosines, axis=1, kind="stable")
        return np.take_along_axis(cosines, order, 1), np.take_along_axis(ids, order, 1)

    def all_alike(self) -> bool:
        """Compare all with the first, until one differs; see `UnitVectors.all_alike`."""
        first = self.take(np.zeros(1, np.int64))
        if not (self.take(np.array([len(self.rows) - 1])) == first).all():
            return False
        blocks = (np.arange(start, min(start + self._step, len(self.rows)))
                  for start in range(0, len(self.rows), self._step))  # fmt: skip
        return all(bool((self.take(block) == first).all()) for block in blocks)


def largest(vectors: FloatArray) -> FloatArray:
    """Return the largest size of a value of each row, float32 ``[n]``."""
    found: FloatArray = (
        np.maximum(vectors.max(axis=1), -vectors.min(axis=1)) if len(vectors) else np.zeros(0, np.float32)
    )
    return found


def scaled(vectors: FloatArray, sizes: FloatArray) -> FloatArray:
    """Scale rows ``[n, d]`` to unit length, in place, so that no square over- or underflows."""
    vectors /= sizes[:, None]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
