"""Discrete codes of vectors, by k-means."""

from __future__ import annotations

import numpy as np

from mmrec_bench.errors import MissingExtraError, ModelError
from mmrec_bench.types import FloatArray, IntArray

ROUNDS = 25
"""Rounds of k-means."""


def kmeans_codes(train: FloatArray, vectors: FloatArray, n_codes: int, seed: int) -> IntArray:
    """Return the nearest centre of each vector, int64 ``[n]``, the centres found on ``train``.

    Args:
        train: float32 ``[m, d]``.
        vectors: float32 ``[n, d]``.
        n_codes: Number of centres, at most m.
        seed: Of the first centres.

    Raises:
        ModelError: More centres than vectors to find them on.
        MissingExtraError: faiss is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise MissingExtraError(
            "k-means needs faiss: pip install 'mmrec-bench[cpu]', or 'mmrec-bench[gpu]' on CUDA"
        ) from None
    if n_codes > len(train):
        raise ModelError(f"n_codes must be at most the number of chunks to learn from, {len(train)}; got {n_codes}")
    kmeans = faiss.Kmeans(
        train.shape[1], n_codes, niter=ROUNDS, seed=seed % 2**31, min_points_per_centroid=1, verbose=False
    )
    kmeans.train(np.ascontiguousarray(train))
    codes: IntArray = kmeans.index.search(np.ascontiguousarray(vectors), 1)[1][:, 0]
    return codes
