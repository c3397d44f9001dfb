"""What lies on the table of a block of sessions: candidates, and the words and queries that tell of them.

Slots of a session are its candidate items, then its terms (words and compound queries), then the closed fields. Two
kinds of board differ in who shares them: in a catalogue all sessions have one and the same, among sampled candidates
each has its own, small and dense.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.graph.links import Links, Spread
from mmrec_bench.graph.relations import Relations


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidate items of a block of sessions.

    Attributes:
        sessions: Number of each session, int64 ``[S]``; chance hangs on it.
        users: User of each session, int64 ``[S]``.
        items: Item rows, int64 ``[S, C]``, -1 where padded; None where all items of the catalogue are on the table.
        open: Which items are candidates, bool ``[S, C]``; C is the number of items where all are on the table.
    """

    sessions: Tensor
    users: Tensor
    items: Tensor | None
    open: Tensor


class Board(ABC):
    """Slots of a block of S sessions: C items, then Q terms, then F closed fields.

    Attributes:
        candidates: Whose items are on the table.
        ties: Order among equals, int64 ``[S, C + Q + F]``: items before terms before fields; items go by the base, once
            it has scored them.
        terms: Term of each slot, int64 ``[S, Q]``, -1 where padded.
        words: Which terms are single words, bool ``[S, Q]``.
        fields: Closed field of each term slot, int64 ``[S, Q]``; -1 for compound queries and words of open fields.
        n_fields: F.
    """

    candidates: Candidates
    ties: Tensor
    terms: Tensor
    words: Tensor
    fields: Tensor
    n_fields: int
    _relations: Relations

    @property
    def n_items(self) -> int:
        """C."""
        return self.candidates.open.shape[1]

    @property
    def n_terms(self) -> int:
        """Q."""
        return self.terms.shape[1]

    def as_items(self, slots: Tensor) -> Tensor:
        """Return the item slots among slots, -1 for terms, fields and -1."""
        return slots.masked_fill(slots >= self.n_items, -1)

    def as_terms(self, slots: Tensor) -> Tensor:
        """Return the term slots among slots, counted from the first term; -1 for items, fields and -1."""
        terms = slots - self.n_items
        return terms.masked_fill((terms < 0) | (terms >= self.n_terms), -1)

    def as_fields(self, slots: Tensor) -> Tensor:
        """Return the closed fields among slots, counted from the first field; -1 for items, terms and -1."""
        return (slots - self.n_items - self.n_terms).clamp(min=-1)

    def marked(self, slots: Tensor) -> Tensor:
        """Return the given slots as a table, bool ``[S, C + Q + F]``, for int64 ``[S]``; -1 marks none."""
        table = torch.zeros_like(self.ties, dtype=torch.bool)
        return table.scatter(1, slots.clamp(min=0).unsqueeze(1), (slots >= 0).unsqueeze(1))

    def best(self, values: Tensor) -> Tensor:
        """Return the slot of the greatest value, the first in `ties` among equals, int64 ``[S]``; -1 if all are -inf.

        Args:
            values: Of the first n slots, float32 ``[S, n]``.
        """
        most = values.max(dim=1, keepdim=True).values
        order = self.ties[:, : values.shape[1]].masked_fill(values < most, torch.iinfo(torch.int64).max)
        return order.argmin(dim=1).masked_fill(most.squeeze(1) == -torch.inf, -1)

    def words_of(self, fields: Tensor) -> Tensor:
        """Return which terms are words of a closed field, bool ``[S, Q]``, for int64 ``[S]``; -1 has none."""
        return (fields >= 0).unsqueeze(1) & (self.fields == fields.unsqueeze(1))

    def present_fields(self) -> Tensor:
        """Return which closed fields a term on the table is of, bool ``[S, F]``."""
        present = torch.zeros(len(self.fields), self.n_fields + 1, dtype=torch.bool, device=self.fields.device)
        return present.scatter(1, self.fields + 1, True)[:, 1:]

    @abstractmethod
    def item_rows(self) -> Tensor:
        """Return the item of each item slot, int64 ``[S, C]``, -1 where padded."""

    @abstractmethod
    def matching(self, values: Tensor) -> Tensor:
        """Return, for every term, the sum of values over the items that have all its words.

        Args:
            values: float32 ``[S, C]``.

        Returns:
            float32 ``[S, Q]``.
        """

    @abstractmethod
    def items_of(self, slots: Tensor) -> Tensor:
        """Return which items have all words of a term, bool ``[S, C]``.

        Args:
            slots: Term slots counted from the first term, int64 ``[S]``; -1 gives no item.
        """

    @abstractmethod
    def items_of_any(self, terms: Tensor) -> Tensor:
        """Return which items have all words of at least one of the terms, bool ``[S, C]``, for terms ``[S, Q]``."""

    @abstractmethod
    def nested(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Return which terms lie inside a term, and inside which it lies, bool ``[S, Q]`` each, itself in both.

        Args:
            slots: Term slots counted from the first term, int64 ``[S]``; -1 gives none.
        """

    def contradicting(self, slots: Tensor) -> Tensor:
        """Return which items contradict a term in a closed field, bool ``[S, C]``; -1 contradicts none.

        Args:
            slots: Term slots counted from the first term, int64 ``[S]``.
        """
        relations, items = self._relations, self.item_rows().cpu().numpy()
        terms = self.terms.gather(1, slots.clamp(min=0).unsqueeze(1)).squeeze(1).cpu().numpy()
        nodes, rows = np.maximum(terms, 0) + relations.n_items, np.maximum(items, 0)
        common = np.einsum("sf,scf->sc", relations.specified[nodes], relations.specified[rows])
        agreeing = np.take_along_axis(relations.sharing[nodes].toarray(), rows, axis=1)
        found = (common > agreeing) & (items >= 0) & (terms >= 0)[:, None]
        return torch.from_numpy(found).to(slots.device) & (slots >= 0).unsqueeze(1)

    @abstractmethod
    def terms_of(self, slots: Tensor) -> Tensor:
        """Return which terms match an item slot, bool ``[S, Q]``; -1 gives none."""

    @abstractmethod
    def spread(self, links: Links) -> Spread:
        """Return the propagation of scores over items and terms."""
