"""Signed, weighted and normalised propagation over the relations of items, words and queries."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from mmrec_bench.graph.relations import Relations
from mmrec_bench.graph.sparse import CsrBuffers
from mmrec_bench.types import DoubleArray, FloatArray, IntArray

Normalisation: TypeAlias = Literal["joint", "by-relation"]
"""``joint``: ``D^-1/2 (A+ - A-) D^-1/2`` with ``D = sum |A|``, as label propagation has it. ``by-relation``: A+ and A-
are normalised each for itself, so that the many inhibitions do not drown the few improvements."""


class Spread(Protocol):
    """One step of propagation for a block of sessions."""

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the normalised signed sums over related nodes.

        A node that is related to none keeps its score.

        Args:
            scores: Of items and terms, float32 ``[S, n]``.
        """


class Links:
    """Weighted relations of the whole catalogue, from which sessions take what they need.

    ``A+`` has the given weights on the edges of `Relations.improving`; ``A-`` is ``inhibition * g_a * g_b`` times the
    number of closed fields in which a and b contradict.

    Args:
        relations: How items and terms are related.
        improving: Weight of each entry of `Relations.improving`, float32 ``[E]``, symmetric, not negative.
        strengths: g, how strongly each node inhibits and is inhibited, float32 ``[n]``, not negative.
        inhibition: Weight of all inhibitions; 0 leaves them out.
        normalisation: See `Normalisation`.
        device: Where propagation runs.
    """

    def __init__(
        self,
        relations: Relations,
        improving: FloatArray,
        strengths: FloatArray,
        inhibition: float,
        normalisation: Normalisation,
        device: torch.device,
    ) -> None:
        self._relations, self._device = relations, device
        self._inhibition, self._normalisation = inhibition, normalisation
        pattern = relations.improving
        self._positive = sp.csr_matrix((improving, pattern.indices, pattern.indptr), pattern.shape)
        self._strengths = strengths
        self._catalogue: _WholeSpread | None = None

    def whole(self, open_items: Tensor) -> Spread:
        """Return the propagation over all nodes; items that are not open take no part."""
        if self._catalogue is None:
            self._catalogue = self._make_whole()
        spread = self._catalogue
        closed = torch.cat((~open_items, open_items.new_zeros(len(open_items), self._relations.n_terms)), dim=1)
        return lambda scores: spread(scores.masked_fill(closed, 0.0)).masked_fill_(closed, 0.0)

    def among(self, nodes: IntArray) -> Spread:
        """Return the propagation among the nodes of each session, int64 ``[S, n]``, items first, -1 where padded."""
        shape = (*nodes.shape, nodes.shape[1])
        positive, sharing = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for dense, matrix in ((positive, self._positive), (sharing, self._relations.sharing)):
            session, i, j, values = entries_among(matrix, nodes, nodes)
            dense[session, i, j] = values
        known, rows = nodes >= 0, np.maximum(nodes, 0)
        raising = torch.from_numpy(positive).to(self._device)
        specified = torch.from_numpy(self._relations.specified[rows] * known[..., None]).to(self._device)
        strengths = torch.from_numpy(self._strengths[rows] * known).to(self._device)
        # Contradictions are counted before they are weighted: what rounding leaves of none would inhibit, once scaled.
        lowering = torch.bmm(specified, specified.transpose(1, 2)).sub_(torch.from_numpy(sharing).to(self._device))
        items = torch.from_numpy(known & (nodes < self._relations.n_items)).to(self._device)
        lowering.masked_fill_(items.unsqueeze(2) & items.unsqueeze(1), 0.0).mul_(self._inhibition)
        lowering.mul_(strengths.unsqueeze(2)).mul_(strengths.unsqueeze(1))
        return _DenseSpread(raising, lowering, self._normalisation)

    def _make_whole(self) -> _WholeSpread:
        relations, n_items, device = self._relations, self._relations.n_items, self._device
        scale = sp.diags_array(self._strengths)
        sharing = (scale @ relations.sharing @ scale).tocsr()
        specified = relations.specified * self._strengths[:, None]
        raising = _row_sums(self._positive)
        lowering = self._inhibition * _contradictions(specified, sharing, n_items)
        lowering[_contradictions(relations.specified, relations.sharing, n_items) == 0] = 0  # not what rounding leaves
        up, down = (
            scale.numpy()
            for scale in _scales(torch.from_numpy(raising), torch.from_numpy(lowering), self._normalisation)
        )
        alone = sp.diags_array(((raising == 0) & (lowering == 0)).astype(np.float32))
        sparse = _scaled(self._positive, up) + self._inhibition * _scaled(sharing, down) + alone
        scaled = torch.from_numpy((specified * down[:, None]).astype(np.float32)).to(device)
        return _WholeSpread(CsrBuffers(sparse.tocsr()).to(device), scaled, n_items, self._inhibition)


class _WholeSpread:
    """Propagation over all nodes: one sparse product, and a dense one with a column a closed field.

    Args:
        sparse: ``A+`` and the shared part of ``A-``, normalised, ``[n, n]``.
        specified: H, weighted and normalised, float32 ``[n, n_fields]``.
        n_items: How many nodes are items; these do not inhibit each other.
        inhibition: Weight of all inhibitions.
    """

    def __init__(self, sparse: CsrBuffers, specified: Tensor, n_items: int, inhibition: float) -> None:
        self._sparse, self._specified, self._n_items, self._inhibition = sparse, specified, n_items, inhibition

    def __call__(self, scores: Tensor) -> Tensor:
        """Return one step; float32 ``[S, n]``."""
        columns = scores.T.contiguous()
        spread = self._sparse.tensor() @ columns
        if self._inhibition:
            of_items, of_terms = self._specified[: self._n_items], self._specified[self._n_items :]
            items, terms = of_items.T @ columns[: self._n_items], of_terms.T @ columns[self._n_items :]
            spread[: self._n_items].addmm_(of_items, terms, alpha=-self._inhibition)
            spread[self._n_items :].addmm_(of_terms, items + terms, alpha=-self._inhibition)
        return spread.T


class _DenseSpread:
    """Propagation by one dense matrix a session, ``[S, n, n]``."""

    def __init__(self, raising: Tensor, lowering: Tensor, normalisation: Normalisation) -> None:
        up, down = _scales(raising.sum(dim=2), lowering.sum(dim=2), normalisation)
        alone = (raising.sum(dim=2) + lowering.sum(dim=2)) == 0
        raising.mul_(up.unsqueeze(2)).mul_(up.unsqueeze(1))
        lowering.mul_(down.unsqueeze(2)).mul_(down.unsqueeze(1))
        self._matrix = raising.sub_(lowering)
        self._matrix.diagonal(dim1=1, dim2=2).add_(alone)

    def __call__(self, scores: Tensor) -> Tensor:
        """Return one step; float32 ``[S, n]``."""
        return torch.bmm(self._matrix, scores.unsqueeze(2)).squeeze(2)


def entries_among(
    matrix: sp.csr_matrix, rows: IntArray, cols: IntArray
) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Return the entries of a sparse matrix among the rows and columns of each session.

    Args:
        matrix: CSR ``[n, m]``.
        rows: int64 ``[S, R]``, -1 where padded.
        cols: int64 ``[S, C]``, -1 where padded.

    Returns:
        Session, place of the row, place of the column, and value of each entry.
    """
    session, place = (rows >= 0).nonzero()
    taken = matrix[rows[session, place]]
    counts = np.diff(taken.indptr)
    place_of = np.full((len(cols), matrix.shape[1]), -1, np.int32)
    of, at = (cols >= 0).nonzero()
    place_of[of, cols[of, at]] = at
    entries = np.repeat(session, counts)
    found = place_of[entries, taken.indices]
    kept = np.flatnonzero(found >= 0)
    return entries[kept], np.repeat(place, counts)[kept], found[kept].astype(np.int64), taken.data[kept]


def _scales(raising: Tensor, lowering: Tensor, normalisation: Normalisation) -> tuple[Tensor, Tensor]:
    """Return ``D^-1/2`` for both relations; 0 where a node has none."""
    joint = raising + lowering
    degrees = (joint, joint) if normalisation == "joint" else (raising, lowering)
    up, down = (torch.where(degree > 0, degree.clamp(min=1e-12).rsqrt(), 0.0) for degree in degrees)
    return up, down


def _contradictions(specified: FloatArray, sharing: sp.csr_matrix, n_items: int) -> DoubleArray:
    """Return the row sums of ``H H^T - G`` off the block of items, without writing it out."""
    of_items, of_terms = specified[:n_items].astype(np.float64), specified[n_items:].astype(np.float64)
    terms = of_terms.sum(axis=0)  # items meet terms, terms meet both
    meeting = np.concatenate([of_items @ terms, of_terms @ (of_items.sum(axis=0) + terms)])
    return np.maximum(meeting - _row_sums(sharing), 0)


def _scaled(matrix: sp.csr_matrix, scale: DoubleArray) -> sp.csr_matrix:
    diagonal = sp.diags_array(scale)
    scaled: sp.csr_matrix = (diagonal @ matrix @ diagonal).tocsr()
    return scaled


def _row_sums(matrix: sp.csr_matrix) -> DoubleArray:
    sums: DoubleArray = np.asarray(matrix.sum(axis=1), np.float64).reshape(-1)
    return sums
