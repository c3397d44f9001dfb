"""Product quantisation: a feature vector becomes a few small integers, each the nearest centroid in one sub-space.

Jégou et al., TPAMI 2011, https://doi.org/10.1109/TPAMI.2010.57; with a learned rotation: Ge et al., "Optimized Product
Quantization", TPAMI 2014, https://doi.org/10.1109/TPAMI.2013.240. Clustering and rotation are those of faiss.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeAlias

import numpy as np
import scipy.linalg

from mmrec_bench.errors import ModelError
from mmrec_bench.extras import import_faiss
from mmrec_bench.types import BoolArray, FloatArray, IntArray

Quantiser: TypeAlias = Literal["opq", "pq", "random"]
"""``opq``: a learned rotation, then the nearest centroid of each sub-space. ``pq``: without the rotation. ``random``:
codes that know nothing of the vectors, as a control."""

ROTATED_DIM = 512
"""Principal components that a rotation keeps: with thousands of columns its fit would take hours."""
ROTATION_ROUNDS = 10
"""Alternations of centroids and rotation. On 7,050 image vectors of 256 values, 5, 10, 20 and 50 rounds leave an error
of .144, .136, .126 and .116; time grows with the rounds."""
CLUSTERING_ROUNDS = 25
"""Rounds of k-means."""


@dataclass(frozen=True, slots=True, eq=False)
class Centroids:
    """A fitted quantiser of vectors ``[n, D]``.

    Attributes:
        mean: Mean of the fitted vectors, float32 ``[D]``.
        rotation: Orthonormal rows, float32 ``[E, D]`` with E <= D; None leaves vectors as they are.
        values: Centroids of each sub-space, float32 ``[S, K, E / S]``.
    """

    mean: FloatArray
    rotation: FloatArray | None
    values: FloatArray

    def project(self, vectors: FloatArray) -> FloatArray:
        """Centre and rotate vectors ``[n, D]`` and part them, float32 ``[n, S, E / S]``."""
        return _project(vectors - self.mean, self.rotation, len(self.values))

    def encode(self, vectors: FloatArray) -> IntArray:
        """Return the nearest centroid of each vector in each sub-space, int64 ``[n, S]``; equal vectors agree."""
        parts, faiss = self.project(vectors), import_faiss("product quantisation")
        codes = np.empty(parts.shape[:2], np.int64)
        for space, centroids in enumerate(self.values):
            codes[:, space] = faiss.knn(np.ascontiguousarray(parts[:, space]), centroids, 1)[1][:, 0]
        # A matrix product rounds by position, so equal vectors beside a border could come to lie on its two sides.
        seen: dict[bytes, int] = {}
        return codes[
            [seen.setdefault(blake2b(row, digest_size=16).digest(), place) for place, row in enumerate(vectors)]
        ]

    def error(self, vectors: FloatArray, codes: IntArray) -> float:
        """Return the share of the variance of vectors ``[n, D]`` that is lost where their codes ``[n, S]`` stand."""
        parts = self.project(vectors)
        total, kept = _squares(vectors - self.mean), _squares(parts)
        lost = _squares(parts - self.values[np.arange(len(self.values)), codes])
        return (total - kept + lost) / total if total else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ProductCodes:
    """What became of a feature table.

    Attributes:
        codes: Code of each item in each sub-space, int64 ``[I, S]`` in 0..K-1; -1 where the item is absent.
        centroids: What the codes stand for, after the features were divided by a power of two: the largest magnitude
            among the present rows is then at least 1/2 and below 1.
        error: Share of the variance of the present rows that their centroids do not explain; 0 if there is none.
    """

    codes: IntArray
    centroids: Centroids
    error: float


def quantise(
    values: FloatArray,
    present: BoolArray,
    fitted: BoolArray,
    *,
    method: Quantiser,
    n_subspaces: int,
    n_codes: int,
    normalise: bool,
    rng: np.random.Generator,
) -> ProductCodes:
    """Fit a quantiser on some rows of a feature table and encode all that are present.

    Equal rows get equal codes (those of ``random`` apart); so if all rows are equal, all have one code. The same seed
    gives the same codes on the same machine with the same number of threads: faiss adds in another order with another.

    Args:
        values: float32 ``[I, D]``; rows that are not present are not read.
        present: bool ``[I]``.
        fitted: Rows to fit on where they are present, bool ``[I]``.
        method: How codes are found.
        n_subspaces: Number S of sub-spaces; divides D.
        n_codes: Number K of codes in each sub-space; at least two, at most the number of rows to fit on.
        normalise: Whether rows are first scaled to unit length; rows of zeros stay.
        rng: Source of all draws.

    Raises:
        ModelError: S does not divide D, or there are fewer rows to fit on than codes.
        MissingExtraError: faiss is not installed.
    """
    dim, rows = values.shape[1], np.flatnonzero(present)
    fitted = fitted[rows]
    if dim % n_subspaces:
        divisors = ", ".join(str(divisor) for divisor in range(1, dim + 1) if dim % divisor == 0)
        raise ModelError(f"n_subspaces must divide the {dim} values of a vector ({divisors}); got {n_subspaces}")
    if (n_rows := int(fitted.sum())) < n_codes:
        raise ModelError(
            f"n_codes must be at most {n_rows}, the number of items with features that occur in train; got {n_codes}"
            if n_rows
            else "no item with features occurs in train, so there is nothing to fit codes on"
        )
    # No code depends on the unit of the features. In this one no square over- or underflows, and nothing is rounded.
    vectors = np.ldexp(values[rows], -np.frexp(np.abs(values[rows]).max())[1])
    if normalise:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors /= np.where(lengths > 0, lengths, 1)
    if method == "random":
        found = rng.integers(n_codes, size=(len(rows), n_subspaces))
        centroids = _means(vectors[fitted], found[fitted], n_codes)
    else:
        centroids = _clusters(vectors[fitted], n_subspaces, n_codes, rng, rotate=method == "opq")
        found = centroids.encode(vectors)
    codes = np.full((len(values), n_subspaces), -1, np.int64)
    codes[rows] = found
    return ProductCodes(codes, centroids, centroids.error(vectors, found))


def distinct_ratio(codes: IntArray) -> float:
    """Return the number of different rows of codes ``[I, S]`` over the number of rows; absent ones are equal."""
    return len(np.unique(codes, axis=0)) / len(codes)


def _project(centred: FloatArray, rotation: FloatArray | None, n_subspaces: int) -> FloatArray:
    projected: FloatArray = centred if rotation is None else centred @ rotation.T
    return projected.reshape(len(centred), n_subspaces, -1)


def _squares(values: FloatArray) -> float:
    return float(np.einsum("i,i->", values.ravel(), values.ravel(), dtype=np.float64))


def _mean(vectors: FloatArray) -> FloatArray:
    mean: FloatArray = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)  # exact where all vectors are equal
    return mean


def _means(vectors: FloatArray, codes: IntArray, n_codes: int) -> Centroids:
    """Return the best centroids for given codes: means of the vectors that have them."""
    mean = _mean(vectors)
    parts = _project(vectors - mean, None, codes.shape[1])
    values = np.zeros((codes.shape[1], n_codes, parts.shape[2]), np.float32)
    for space, found in enumerate(codes.T):
        np.add.at(values[space], found, parts[:, space])
        values[space] /= np.maximum(np.bincount(found, minlength=n_codes), 1)[:, None]
    return Centroids(mean, None, values)


def _clusters(
    vectors: FloatArray, n_subspaces: int, n_codes: int, rng: np.random.Generator, *, rotate: bool
) -> Centroids:
    """Cluster vectors ``[n, D]`` in each sub-space, after a rotation learned from them or as they are."""
    faiss, mean = import_faiss("product quantisation"), _mean(vectors)
    rotation = _rotation(vectors - mean, n_subspaces, n_codes, rng) if rotate else None
    parts = _project(vectors - mean, rotation, n_subspaces)
    values = np.empty((n_subspaces, n_codes, parts.shape[2]), np.float32)
    for space in range(n_subspaces):
        kmeans = faiss.Kmeans(
            parts.shape[2],
            n_codes,
            niter=CLUSTERING_ROUNDS,
            seed=int(rng.integers(2**31)),
            min_points_per_centroid=1,  # else faiss warns on standard error,
            max_points_per_centroid=len(vectors),  # and leaves rows out
        )
        kmeans.train(np.ascontiguousarray(parts[:, space]))
        values[space] = kmeans.centroids
    return Centroids(mean, rotation, values)


def _rotation(centred: FloatArray, n_subspaces: int, n_codes: int, rng: np.random.Generator) -> FloatArray:
    """Return the rotation of optimised product quantisation, float32 ``[E, D]``.

    faiss fits it for a power of two of codes: the largest up to K. It starts at the principal components in order of
    variance, sub-space after sub-space. From a random start, which is the habit of faiss, fifty rounds come to little
    less error than no rotation at all. Components shared out so that the variances of each sub-space have the same
    product (Ge et al., section 3.2.3), the optimum of a Gaussian with many codes, leave .204 on 7,050 image vectors
    where this start leaves .135 (256 codes a sub-space), and .337 against .248 with 64 (docs/performance.md).
    """
    faiss = import_faiss("product quantisation")
    start = _leading_components(centred, n_subspaces)
    width = len(start)
    quantiser = faiss.ProductQuantizer(width, n_subspaces, n_codes.bit_length() - 1)
    quantiser.cp.seed, quantiser.cp.min_points_per_centroid = int(rng.integers(2**31)), 1
    rotation = faiss.OPQMatrix(width, n_subspaces)
    rotation.pq, rotation.niter = quantiser, ROTATION_ROUNDS
    faiss.copy_array_to_vector(np.eye(width, dtype=np.float32).ravel(), rotation.A)
    rotation.train(np.ascontiguousarray(centred @ start.T))
    fitted: FloatArray = faiss.vector_to_array(rotation.A).reshape(width, width) @ start
    return fitted


def _leading_components(centred: FloatArray, n_subspaces: int) -> FloatArray:
    """Return principal components by falling variance, float32 ``[E, D]``; sub-spaces share E evenly."""
    dim = centred.shape[1]
    width = dim if dim <= ROTATED_DIM else max(ROTATED_DIM // n_subspaces, 1) * n_subspaces
    covariance = centred.T @ centred / len(centred)
    _, components = scipy.linalg.eigh(covariance, subset_by_index=(dim - width, dim - 1))
    leading: FloatArray = np.ascontiguousarray(components[:, ::-1].T)
    return leading
