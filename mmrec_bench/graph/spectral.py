"""What a user-item graph is in its leading singular vectors."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from mmrec_bench.errors import ModelError

BLOCK_VALUES = 1 << 24
"""Entries that are dense at a time (the budget of a block of rows): 128 MiB."""


def principal_subgraph(
    block: sp.csr_matrix, n_triplets: int, threshold: float, rng: np.random.Generator
) -> sp.csr_matrix:
    """Return the principal part of the normalised interaction block R, float32 CSR like it (PGL, AAAI 2025).

    Of the n leading triplets ``(p_j, t_j, q_j)`` of R the first quarter is kept, each weighed by its own singular value
    and one of the last quarter: ``sum_j t_j t_{j + 3n/4} p_j q_j^T``. Entries below the threshold are dropped.

    The adjacency ``[[0, R], [R^T, 0]]`` has each t twice, as t and -t, with the vectors ``(p, q) / sqrt 2`` and
    ``(p, -q) / sqrt 2``: what its 2n leading triplets give in the same way is this block and its transpose. It is made
    a block of rows at a time, so that nothing dense of the size of R is formed. Where singular values are equal, as
    where the graph falls apart, their vectors are one basis among many.

    Args:
        block: R, CSR ``[n_users, n_items]``.
        n_triplets: n, a multiple of four, below both sides of R.
        threshold: Least absolute value of an entry.
        rng: Source of the vector that the iteration starts from.

    Raises:
        ModelError: R is too small for so many triplets, or no entry is left.
    """
    if not 0 < n_triplets < min(block.shape):
        raise ModelError(
            f"a principal subgraph of {n_triplets} singular triplets needs more users and items than that; there are "
            f"{block.shape[0]} and {block.shape[1]}. Lower model.n_triplets"
        )
    left, values, right = svds(block.astype(np.float64), k=n_triplets, v0=rng.standard_normal(min(block.shape)))
    order = np.argsort(-values, kind="stable")
    quarter = n_triplets // 4
    values, kept = values[order], order[:quarter]
    scaled, right = left[:, kept] * (values[:quarter] * values[-quarter:]), right[kept]
    rows = max(1, BLOCK_VALUES // block.shape[1])
    parts = []
    for start in range(0, block.shape[0], rows):
        dense = scaled[start : start + rows] @ right
        dense[np.abs(dense) < threshold] = 0.0
        parts.append(sp.csr_matrix(dense.astype(np.float32)))
    found: sp.csr_matrix = sp.vstack(parts, format="csr")
    if not found.nnz:
        raise ModelError(f"no entry of the principal subgraph reaches {threshold}. Lower model.threshold")
    return found
