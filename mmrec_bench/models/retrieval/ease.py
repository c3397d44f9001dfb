"""EASE: the best linear item-item model has a closed form."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from scipy.linalg import lapack
from torch import Tensor

from mmrec_bench.errors import ModelError, ResourceError
from mmrec_bench.free_memory import available_memory
from mmrec_bench.models.base import MODELS, Citation, ModelConfig, ModelContext
from mmrec_bench.models.closed_form import DenseItemScorer, FittedRecommender

BLOCK_ROWS = 512
"""Rows of a dense matrix written at once."""


class EASEConfig(ModelConfig):
    """Settings of `EASE`."""

    name: Literal["ease"] = "ease"
    reg_weight: PositiveFloat = 500.0
    """Weight of the squared Frobenius norm of B."""
    precision: Literal["float64", "float32"] = "float64"
    """Number format in which the Gram matrix is inverted; float32 halves the memory and the time."""
    max_items: PositiveInt = 25_000
    """Largest catalogue accepted: memory grows with its square, time with its cube."""


@MODELS.add(
    "ease",
    task="retrieval",
    config=EASEConfig,
    paper=Citation(
        title="Embarrassingly Shallow Autoencoders for Sparse Data",
        authors="Steck",
        venue="WWW 2019",
        url="https://arxiv.org/abs/1905.03375",
    ),
    exports="scorer",
)
class EASE(FittedRecommender):
    """Scores ``R B``, B the minimiser of ``|R - R B|^2 + reg_weight |B|^2`` with a zero diagonal.

    With ``P = (R^T R + reg_weight I)^-1``: ``B_ij = -P_ij / P_jj`` off the diagonal (equation 8 of the paper).
    Source: Steck, WWW 2019, https://arxiv.org/abs/1905.03375.

    Raises:
        ModelError: The weight is so large that similarities vanish in floating point.
        ResourceError: More items than `EASEConfig.max_items`, or than fit into the free memory.
    """

    weights: Tensor
    """B, float32 ``[n_items, n_items]``."""
    offsets: Tensor
    consumed: Tensor

    def __init__(self, config: EASEConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        n_items = context.train.n_items
        _check_reg_weight(config)
        _check_size(n_items, config)
        history = context.train.matrix()
        self.register_buffer("weights", torch.zeros(n_items, n_items))
        self.register_buffer("offsets", torch.from_numpy(history.indptr.astype(np.int64)), persistent=False)
        self.register_buffer("consumed", torch.from_numpy(history.indices.astype(np.int64)), persistent=False)

    def compute(self, context: ModelContext) -> None:
        """Invert the regularised Gram matrix and scale its columns.

        Raises:
            ModelError: The matrix is not positive definite in this precision.
        """
        inverse = self._inverse(gram(context.train.matrix(), self.config.precision))
        scale = -1.0 / np.diagonal(inverse)
        n_items = len(inverse)
        for start in range(0, n_items, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, n_items)
            rows = np.empty((stop - start, n_items), inverse.dtype)
            rows[:, :start] = inverse[start:stop, :start]
            rows[:, start:] = inverse[start:, start:stop].T
            corner = np.tril(inverse[start:stop, start:stop])
            rows[:, start:stop] = corner + np.tril(corner, -1).T
            rows *= scale
            rows[np.arange(stop - start), np.arange(start, stop)] = 0.0
            self.weights[start:stop] = torch.from_numpy(rows)

    def scoring(self) -> DenseItemScorer:
        """Return the scorer of B."""
        return DenseItemScorer(self.offsets, self.consumed, self.weights)

    def _inverse(self, matrix: NDArray[np.floating]) -> NDArray[np.floating]:
        """Overwrite a symmetric matrix with its regularised inverse; only the lower triangle of the result is valid."""
        matrix[np.diag_indices_from(matrix)] += self.config.reg_weight
        double = self.config.precision == "float64"
        potrf, potri = (lapack.dpotrf, lapack.dpotri) if double else (lapack.spotrf, lapack.spotri)
        factor, failed = potrf(matrix.T, lower=True, overwrite_a=True, clean=False)
        if failed:
            raise ModelError(
                f"ease: R^T R + {self.config.reg_weight} I is not positive definite in {self.config.precision}; "
                "raise model.reg_weight or set model.precision: float64"
            )
        inverse: NDArray[np.floating] = potri(factor, lower=True, overwrite_c=True)[0]
        return inverse


def gram(matrix: sp.csr_matrix, precision: str) -> NDArray[np.floating]:
    """Return ``R^T R`` as a dense array ``[n_items, n_items]``, written in blocks of rows."""
    by_item = matrix.T.tocsr()
    n_items = by_item.shape[0]
    dense = np.empty((n_items, n_items), precision)
    for start in range(0, n_items, BLOCK_ROWS):
        dense[start : start + BLOCK_ROWS] = (by_item[start : start + BLOCK_ROWS] @ matrix).toarray()
    return dense


def _check_reg_weight(config: EASEConfig) -> None:
    """Refuse weights w that no number format holds: values of P fall to 1 / w^2, those of B, in float32, to 1 / w."""
    largest = min(float(np.finfo(config.precision).tiny) ** -0.5, 1.0 / float(np.finfo(np.float32).tiny))
    if config.reg_weight > largest:
        raise ModelError(
            f"ease: model.reg_weight may be at most {largest:.0e} in {config.precision}, beyond which all similarities "
            f"vanish; got {config.reg_weight:g}. Usual values lie between 1 and 10000"
        )


def _check_size(n_items: int, config: EASEConfig) -> None:
    if n_items > config.max_items:
        raise ResourceError(
            f"ease holds an items x items matrix and accepts at most model.max_items = {config.max_items} items; this "
            f"data set has {n_items}. Raise model.max_items if memory and hours allow, or use itemknn"
        )
    needed = n_items**2 * (np.dtype(config.precision).itemsize + 4) + BLOCK_ROWS * n_items * 16
    available = available_memory()
    if needed > available:
        raise ResourceError(
            f"ease needs {needed / 2**30:.1f} GiB for {n_items} items in {config.precision}; "
            f"{available / 2**30:.1f} GiB are free. Set model.precision: float32, or use itemknn"
        )
