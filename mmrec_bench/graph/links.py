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
    """Relations of the nodes of a block of sessions: items, then terms."""

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the normalised signed sums over related nodes: one step of propagation.

        A node that is related to none keeps its score.

        Args:
            scores: Of items and terms, float32 ``[S, n]``.
        """

    def votes(self, yes: Tensor, no: Tensor) -> Tensor:
        """Return what answers say of related nodes, ``A+ (yes - no) - A- yes``, not normalised, float32 ``[S, n]``.

        What was not chosen lowers what it would have raised, and raises nothing.

        Args:
            yes: 1 where a node was chosen, float32 ``[S, n]``.
            no: 1 where a node was shown and not chosen, float32 ``[S, n]``.
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
        """Return the relations of all nodes; items that are not open take no part."""
        if self._catalogue is None:
            self._catalogue = self._make_whole()
        closed = torch.cat((~open_items, open_items.new_zeros(len(open_items), self._relations.n_terms)), dim=1)
        return _Open(self._catalogue, closed)

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
        up, down = _scales(torch.from_numpy(raising), torch.from_numpy(lowering), self._normalisation)
        alone = sp.diags_array(((raising == 0) & (lowering == 0)).astype(np.float32))
        sparse = _scaled(self._positive, up.numpy()) + self._inhibition * _scaled(sharing, down.numpy()) + alone
        normalised = _SignedProduct(
            sparse, (specified * down.numpy()[:, None]).astype(np.float64), n_items, self._inhibition, device
        )
        lowered = _SignedProduct(
            self._inhibition * sharing, specified.astype(np.float64), n_items, self._inhibition, device
        )
        return _WholeSpread(normalised, CsrBuffers(self._positive).to(device), lowered)


class _SignedProduct:
    """``(P - inhibition * H H^T) x`` off the block of items, by a sparse product and one a closed field.

    Args:
        sparse: P, ``[n, n]``.
        specified: H, ``[n, n_fields]``.
        n_items: How many nodes are items; these do not inhibit each other.
        inhibition: Weight of all inhibitions.
        device: Where products are made.
    """

    def __init__(
        self, sparse: sp.csr_matrix, specified: DoubleArray, n_items: int, inhibition: float, device: torch.device
    ) -> None:
        self._sparse, self._n_items, self._inhibition = CsrBuffers(sparse.tocsr()).to(device), n_items, inhibition
        self._specified = torch.from_numpy(specified.astype(np.float32)).to(device)

    def __call__(self, columns: Tensor) -> Tensor:
        """Return the product for x ``[n, S]``."""
        product = self._sparse.tensor() @ columns
        if self._inhibition:
            of_items, of_terms = self._specified[: self._n_items], self._specified[self._n_items :]
            items, terms = of_items.T @ columns[: self._n_items], of_terms.T @ columns[self._n_items :]
            product[: self._n_items].addmm_(of_items, terms, alpha=-self._inhibition)
            product[self._n_items :].addmm_(of_terms, items + terms, alpha=-self._inhibition)
        return product


class _WholeSpread:
    """Relations of all nodes.

    Args:
        normalised: ``A+ - A-``, normalised.
        raising: ``A+``.
        lowered: ``- A-``.
    """

    def __init__(self, normalised: _SignedProduct, raising: CsrBuffers, lowered: _SignedProduct) -> None:
        self._normalised, self._raising, self._lowered = normalised, raising, lowered

    def __call__(self, scores: Tensor) -> Tensor:
        """Return one step; float32 ``[S, n]``."""
        return self._normalised(scores.T.contiguous()).T

    def votes(self, yes: Tensor, no: Tensor) -> Tensor:
        """Return what answers say; float32 ``[S, n]``."""
        return (self._raising.tensor() @ (yes - no).T.contiguous() + self._lowered(yes.T.contiguous())).T


class _Open:
    """Relations in which some nodes take no part, bool ``[S, n]``."""

    def __init__(self, spread: Spread, closed: Tensor) -> None:
        self._spread, self._closed = spread, closed

    def __call__(self, scores: Tensor) -> Tensor:
        """Return one step; float32 ``[S, n]``."""
        return self._spread(scores.masked_fill(self._closed, 0.0)).masked_fill_(self._closed, 0.0)

    def votes(self, yes: Tensor, no: Tensor) -> Tensor:
        """Return what answers say; float32 ``[S, n]``."""
        return self._spread.votes(yes, no).masked_fill_(self._closed, 0.0)


class _DenseSpread:
    """Relations by two dense matrices a session, ``A+`` and ``A-``, float32 ``[S, n, n]``."""

    def __init__(self, raising: Tensor, lowering: Tensor, normalisation: Normalisation) -> None:
        self._raising, self._lowering = raising, lowering
        degrees = raising.sum(dim=2), lowering.sum(dim=2)
        self._up, self._down = _scales(*degrees, normalisation)
        self._alone = (degrees[0] + degrees[1]) == 0

    def __call__(self, scores: Tensor) -> Tensor:
        """Return one step; float32 ``[S, n]``."""
        raised = self._up * _product(self._raising, self._up * scores)
        lowered = self._down * _product(self._lowering, self._down * scores)
        return raised - lowered + self._alone * scores

    def votes(self, yes: Tensor, no: Tensor) -> Tensor:
        """Return what answers say; float32 ``[S, n]``."""
        return _product(self._raising, yes - no) - _product(self._lowering, yes)


def _product(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Return the product of each session, ``[S, n]``."""
    return torch.bmm(matrices, vectors.unsqueeze(2)).squeeze(2)


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
