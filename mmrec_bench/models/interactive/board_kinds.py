"""The two kinds of boards: one catalogue shared by all sessions, or a few candidates of each."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from mmrec_bench.graph.links import Links, Spread, entries_among
from mmrec_bench.graph.relations import Relations
from mmrec_bench.graph.sparse import CsrBuffers
from mmrec_bench.models.interactive.board import Board, Candidates
from mmrec_bench.types import BoolArray, IntArray


class CatalogueBoard(Board):
    """All items and all terms, shared by all sessions of a block.

    Args:
        candidates: Items that a user is known to have are not open.
        relations: How items and terms are related.
        shared: The same as tensors, made once for all blocks.
    """

    def __init__(self, candidates: Candidates, relations: Relations, shared: SharedTensors) -> None:
        self.candidates, self._relations, self._shared = candidates, relations, shared
        n_sessions = len(candidates.users)
        self.ties = shared.ties.unsqueeze(0).expand(n_sessions, -1)
        self.terms = shared.terms.unsqueeze(0).expand(n_sessions, -1)
        self.words = self.terms < shared.n_words
        self.fields = shared.field_of.unsqueeze(0).expand(n_sessions, -1)
        self.n_fields = relations.specified.shape[1]

    def item_rows(self) -> Tensor:
        """Return all items, for every session."""
        return torch.arange(self.n_items, device=self.ties.device).unsqueeze(0).expand(len(self.ties), -1)

    def matching(self, values: Tensor) -> Tensor:
        """Return sums over matching items by one sparse product."""
        return (self._shared.matches.tensor() @ values.T.contiguous()).T

    def items_of(self, slots: Tensor) -> Tensor:
        """Return the rows of the matching matrix."""
        return _rows(self._relations.matches, slots)

    def items_of_any(self, terms: Tensor) -> Tensor:
        """Return them by one sparse product."""
        found = sp.csr_matrix(terms.cpu().numpy().astype(np.float32)) @ self._relations.matches
        return torch.from_numpy(found.toarray() > 0).to(terms.device)

    def nested(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows and columns of the nesting matrix."""
        return _rows(self._shared.contains, slots), _rows(self._relations.inside, slots)

    def terms_of(self, slots: Tensor) -> Tensor:
        """Return the columns of the matching matrix."""
        return _rows(self._shared.matched_by, slots)

    def spread(self, links: Links) -> Spread:
        """Return the propagation over the whole graph."""
        return links.whole(self.candidates.open)


class SampledBoard(Board):
    """A few candidates a session, with the words that they have and the compound queries that match two or more.

    A compound query that matches a single candidate says no more than the candidate itself.

    Args:
        candidates: Their items.
        relations: How all items and terms are related.
        shared: The same as tensors.
    """

    def __init__(self, candidates: Candidates, relations: Relations, shared: SharedTensors) -> None:
        assert candidates.items is not None
        self.candidates, self._relations, self._shared = candidates, relations, shared
        self.n_fields = relations.specified.shape[1]
        items = candidates.items.cpu().numpy()
        n_sessions = len(items)
        session, place = (items >= 0).nonzero()
        lists = shared.matched_by[items[session, place]]
        of, terms = np.repeat(session, np.diff(lists.indptr)), lists.indices.astype(np.int64)
        keys, counts = np.unique(of * np.int64(relations.n_terms) + terms, return_counts=True)
        kept = keys[(counts > 1) | (keys % relations.n_terms < shared.n_words)]
        of, found = kept // relations.n_terms, kept % relations.n_terms
        sizes = np.bincount(of, minlength=n_sessions)
        width = max(int(sizes.max(initial=0)), 1)
        at = np.arange(len(of)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        table = np.full((n_sessions, width), -1, np.int64)
        table[of, at] = found
        device = candidates.open.device
        self.terms = torch.from_numpy(table).to(device)
        self.words = (self.terms >= 0) & (self.terms < shared.n_words)
        nodes = np.concatenate([items, np.where(table >= 0, table + relations.n_items, -1)], axis=1)
        self._nodes = nodes
        self.matches = torch.from_numpy(_local(relations.matches, table, items)).to(device)
        """Which candidates have all words of a term, bool ``[S, Q, C]``."""
        self.inside = torch.from_numpy(_local(relations.inside, table, table)).to(device)
        """Which terms lie inside which, bool ``[S, Q, Q]``."""
        padded = torch.from_numpy(nodes < 0).to(device)
        slots = torch.from_numpy(np.maximum(nodes, 0)).to(device)
        n_nodes = relations.n_nodes
        fields = shared.ties[n_nodes:].unsqueeze(0).expand(n_sessions, -1)
        self.ties = torch.cat((shared.ties[slots].masked_fill(padded, torch.iinfo(torch.int64).max), fields), dim=1)
        self.fields = shared.field_of[self.terms.clamp(min=0)].masked_fill(self.terms < 0, -1)

    def item_rows(self) -> Tensor:
        """Return the sampled items."""
        assert self.candidates.items is not None
        return self.candidates.items

    def matching(self, values: Tensor) -> Tensor:
        """Return sums over matching candidates."""
        return torch.bmm(self.matches.float(), values.unsqueeze(2)).squeeze(2)

    def items_of(self, slots: Tensor) -> Tensor:
        """Return the rows of the matching tables."""
        return _picked(self.matches, slots)

    def items_of_any(self, terms: Tensor) -> Tensor:
        """Return them from the matching tables."""
        return (self.matches & terms.unsqueeze(2)).any(dim=1)

    def nested(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Return columns and rows of the nesting tables."""
        return _picked(self.inside.transpose(1, 2), slots), _picked(self.inside, slots)

    def terms_of(self, slots: Tensor) -> Tensor:
        """Return the columns of the matching tables."""
        return _picked(self.matches.transpose(1, 2), slots)

    def spread(self, links: Links) -> Spread:
        """Return the propagation among candidates and their terms, a dense matrix a session."""
        return links.among(self._nodes)


class SharedTensors:
    """What boards of one lexicon share.

    Args:
        relations: How items and terms are related.
        field_of: Closed field of each term, int64 ``[n_terms]``; -1 for compound queries and words of open fields.
        n_words: Number of words; compound queries come after them.
        item_ties: Canonical order of equal items, int64 ``[n_items]``.
        device: Where boards live.
    """

    def __init__(
        self, relations: Relations, field_of: IntArray, n_words: int, item_ties: IntArray, device: torch.device
    ) -> None:
        n_items, n_nodes = relations.n_items, relations.n_nodes
        others = np.arange(n_items, n_nodes + relations.specified.shape[1])
        self.ties = torch.from_numpy(np.concatenate([item_ties, others])).to(device)
        self.terms = torch.arange(relations.n_terms, device=device)
        self.field_of = torch.from_numpy(field_of).to(device)
        self.n_words = n_words
        self.matches = CsrBuffers(relations.matches).to(device)
        self.matched_by = relations.matches.T.tocsr()
        self.matched_by.sort_indices()
        self.contains = relations.inside.T.tocsr()


def _rows(matrix: sp.csr_matrix, rows: Tensor) -> Tensor:
    """Return rows of a sparse matrix of ones as bool; those of -1 are empty."""
    found = matrix[rows.clamp(min=0).cpu().numpy()].toarray() > 0
    return torch.from_numpy(found).to(rows.device) & (rows >= 0).unsqueeze(1)


def _picked(tables: Tensor, rows: Tensor) -> Tensor:
    """Return one row of each table ``[S, n, m]``; that of -1 is empty."""
    index = rows.clamp(min=0).view(-1, 1, 1).expand(-1, 1, tables.shape[2])
    return tables.gather(1, index).squeeze(1) & (rows >= 0).unsqueeze(1)


def _local(matrix: sp.csr_matrix, rows: IntArray, cols: IntArray) -> BoolArray:
    """Return the entries of a sparse matrix among the rows and columns of each session, bool ``[S, n, m]``."""
    found = np.zeros((len(rows), rows.shape[1], cols.shape[1]), np.bool_)
    session, i, j, _ = entries_among(matrix, rows, cols)
    found[session, i, j] = True
    return found
