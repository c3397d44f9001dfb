"""Which items are on the table in a session, and which of them the user wants."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import NonNegativeInt, PlainValidator, PositiveInt, SerializeAsAny, model_validator

from mmrec_bench.data.chance import pair_hash
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import ProtocolError
from mmrec_bench.models.interactive.board import Candidates
from mmrec_bench.registry import Registry
from mmrec_bench.settings import BaseConfig, explained_error, named
from mmrec_bench.types import BoolArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """Sessions to be held: one row each.

    Attributes:
        numbers: Number of each session, by which chance is drawn, int64 ``[S]``.
        users: int64 ``[S]``.
        items: Candidates, int64 ``[S, C]``, -1 where padded; None where all items of the catalogue are on the table.
        open: Which are candidates, bool ``[S, C]``.
        wanted: Which of them the user wants, bool ``[S, C]``, at least one.
    """

    numbers: IntArray
    users: IntArray
    items: IntArray | None
    open: BoolArray
    wanted: BoolArray

    def candidates(self, device: torch.device) -> Candidates:
        """Return what a system may see of them."""
        items = None if self.items is None else torch.from_numpy(self.items).to(device)
        numbers, users = (torch.from_numpy(column).to(device) for column in (self.numbers, self.users))
        return Candidates(numbers, users, items, torch.from_numpy(self.open).to(device))

    def listed(self) -> tuple[IntArray, IntArray, BoolArray]:
        """Return session, item and whether it is wanted, of all sampled candidates; of a catalogue the wanted alone."""
        rows, slots = (self.wanted if self.items is None else self.open).nonzero()
        items = slots if self.items is None else self.items[rows, slots]
        return self.numbers[rows], items.astype(np.int64), self.wanted[rows, slots]


class CandidateConfig(BaseConfig, ABC):
    """Base of the rules that choose candidates."""

    name: str

    @property
    @abstractmethod
    def label(self) -> str:
        """Name in protocols and tables."""

    @property
    @abstractmethod
    def block(self) -> int:
        """Sessions that are held at once."""

    @abstractmethod
    def held(self, users: IntArray, numbers: IntArray, known: Interactions, truth: Interactions) -> Sessions:
        """Return the sessions of some users.

        Args:
            users: User of each session, int64 ``[S]``, each with a row in `truth`.
            numbers: Number of each session, int64 ``[S]``.
            known: Rows that the base has learned from.
            truth: Held-out rows: what users want.
        """

    def check_catalogue(self, n_items: int, where: str) -> None:
        """Refuse a catalogue with too few items.

        Raises:
            ProtocolError: Names the setting, the number of items and the remedy.
        """


class SampledCandidates(CandidateConfig):
    """Some wanted items and others that the user has never had, drawn uniformly without replacement, as in CORE.

    Numbers on sampled candidates do not carry over to the catalogue, and order systems differently (Krichene and
    Rendle, KDD 2020).
    """

    name: Literal["sampled"] = "sampled"
    n: PositiveInt = 30
    """Candidates of a session."""
    wanted: PositiveInt = 3
    """How many of them are wanted, at most; users with fewer held-out items get more others."""
    seed: NonNegativeInt = 0
    """Of the draw."""

    @model_validator(mode="after")
    def _others_too(self) -> Self:
        if self.wanted >= self.n:
            raise explained_error(f"n must exceed wanted, or nothing is left to choose; got {self.n} and {self.wanted}")
        return self

    @property
    def label(self) -> str:
        """Such as ``sampled-30``."""
        return f"sampled-{self.n}"

    @property
    def block(self) -> int:
        """Sessions that are held at once; their tables then stay near the processor."""
        return 32

    def held(self, users: IntArray, numbers: IntArray, known: Interactions, truth: Interactions) -> Sessions:
        """Draw candidates by hashes of session and item, so that no block of sessions changes them."""
        n_items = truth.n_items
        wanted_all = truth.matrix()[users].toarray() > 0
        had = (known.matrix()[users].toarray() > 0) | wanted_all
        chance = pair_hash(
            np.repeat(numbers, n_items), np.tile(np.arange(n_items), len(users)), self.seed, "session-candidates"
        ).reshape(len(users), n_items)
        # Wanted items first, by chance, then items never had; whatever must not be drawn comes last.
        top = np.uint64(1) << np.uint64(62)
        half = chance >> np.uint64(2)
        n_wanted = np.minimum(wanted_all.sum(axis=1), self.wanted)
        order = np.argsort(np.where(wanted_all, half, top * np.uint64(2)), axis=1, kind="stable")[:, : self.wanted]
        chosen = np.zeros((len(users), n_items), np.bool_)
        rows, places = (np.arange(self.wanted) < n_wanted[:, None]).nonzero()
        chosen[rows, order[rows, places]] = True
        keys = np.where(chosen, np.uint64(0), np.where(had, top * np.uint64(2), half))
        n_open = np.minimum(n_wanted + (~had).sum(axis=1), self.n)
        found = np.argsort(keys, axis=1, kind="stable")[:, : self.n]
        found = np.sort(np.where(np.arange(found.shape[1]) < n_open[:, None], found, n_items), axis=1)
        is_open = found < n_items
        items = np.where(is_open, found, -1)
        wanted = np.take_along_axis(chosen, np.maximum(items, 0), axis=1) & is_open
        return Sessions(numbers, users, items, is_open, wanted)

    def check_catalogue(self, n_items: int, where: str) -> None:
        """Refuse a catalogue with fewer items than candidates.

        Raises:
            ProtocolError: Names the setting, the number of items and the remedy.
        """
        if self.n > n_items:
            raise ProtocolError(
                f"protocol.candidates.n is {self.n}, and there are {n_items} items. Lower it in {where}"
            )


class FullCandidates(CandidateConfig):
    """All items of the catalogue but those the user is known to have."""

    name: Literal["full"] = "full"

    @property
    def label(self) -> str:
        """``full``."""
        return "full"

    @property
    def block(self) -> int:
        """Sessions that are held at once."""
        return 128

    def held(self, users: IntArray, numbers: IntArray, known: Interactions, truth: Interactions) -> Sessions:
        """Open the catalogue."""
        is_open = known.matrix()[users].toarray() == 0
        return Sessions(numbers, users, None, is_open, (truth.matrix()[users].toarray() > 0) & is_open)


CANDIDATES: Registry[type[CandidateConfig]] = Registry("rule of candidates")
"""Config classes of rules that choose candidates, by name."""

for _config in (SampledCandidates, FullCandidates):
    CANDIDATES.register(_config.model_fields["name"].default, _config)

CandidateRule = Annotated[
    SerializeAsAny[CandidateConfig], PlainValidator(named(lambda: CANDIDATES, CandidateConfig, lambda rule: rule))
]
"""A field that takes ``sampled``, ``full``, or a mapping with settings."""


def sessions(rule: CandidateConfig, per_user: int, known: Interactions, truth: Interactions) -> Iterator[Sessions]:
    """Yield all sessions, a block at a time: `per_user` of every user who wants something."""
    users = np.repeat(np.unique(truth.users), per_user)
    for start in range(0, len(users), rule.block):
        block = users[start : start + rule.block]
        yield rule.held(block, np.arange(start, start + len(block)), known, truth)
