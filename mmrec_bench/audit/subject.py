"""What is audited: a data set, its three parts, the rule that made them, and what is declared about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.points import Points
from mmrec_bench.data.provenance import Provenance
from mmrec_bench.data.split_rule import SplitConfig
from mmrec_bench.types import BoolArray, IntArray

Part: TypeAlias = Interactions | Lists | Points
"""A part of a split."""
Kind: TypeAlias = Literal["interactions", "lists", "points"]
"""What a split parts."""

CHEAP = 20_000_000_000
"""Multiplications of a bounded audit's search for near-duplicates: about a second of one core."""


@dataclass(frozen=True, slots=True)
class Made:
    """Made features that are among the tables.

    Attributes:
        name: Name of the table.
        encoder: What made it.
        leak: The leak marker of their manifest, as text; None for honest features.
    """

    name: str
    encoder: str
    leak: str | None = None

    @classmethod
    def of(cls, name: str, encoder: str, leak: object) -> Made:
        """Return it with the leak marker of a manifest, whatever that is."""
        return cls(name, encoder, None if leak is None else str(leak))


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is audited.

    Attributes:
        dataset: The data set, with all rows.
        rule: What parted it.
        train: Part that is learned from, of the payload's type.
        valid: Part that selects.
        test: Part that judges, out of its vault.
        provenance: What the card declares.
        fields: What describes items or rows, by name, with the file or column it comes from.
        made: Which feature tables were made by encoders.
        budget: Largest number of multiplications in a search for near-duplicates; None for no bound.
    """

    dataset: Dataset[Any]
    rule: SplitConfig
    train: Any
    valid: Any
    test: Any
    provenance: Provenance = field(default_factory=Provenance)
    fields: Mapping[str, str] = field(default_factory=dict)
    made: tuple[Made, ...] = ()
    budget: int | None = None

    @property
    def kind(self) -> Kind:
        """What was parted."""
        return kind_of(self.train)

    @property
    def held_out(self) -> tuple[Any, Any]:
        """Validation and test part."""
        return self.valid, self.test

    def held_out_pairs(self) -> tuple[IntArray, IntArray]:
        """Return users and items of all held-out rows, int64 ``[E]`` each."""
        pairs = [pairs_of(part) for part in self.held_out]
        return np.concatenate([users for users, _ in pairs]), np.concatenate([items for _, items in pairs])

    def items_of(self, *parts: Any) -> BoolArray:
        """Return which items occur in parts, bool ``[n_items]``."""
        found = np.zeros(self.dataset.payload.n_items, np.bool_)
        for part in parts:
            found[part.items] = True
        return found

    def item(self, row: int | np.integer[Any]) -> str:
        """Return the external id of an item, with its title where there is one."""
        titles, found = self.dataset.items.titles, str(self.dataset.item_ids[row])
        text = "" if titles is None else str(titles[row])
        title = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
        return f"{found} ({title if len(title) <= 60 else title[:59] + '…'})" if title else found

    def user(self, row: int | np.integer[Any]) -> str:
        """Return the external id of a user, or query."""
        return str(self.dataset.user_ids[row])


def kind_of(part: Part) -> Kind:
    """Return what a part is of."""
    if isinstance(part, Lists):
        return "lists"
    return "points" if isinstance(part, Points) else "interactions"


def pairs_of(part: Part) -> tuple[IntArray, IntArray]:
    """Return the user (or query) and the item of each row, int64 ``[N]`` each."""
    return (part.users[part.list_of] if isinstance(part, Lists) else part.users), part.items


def keys_of(part: Part) -> IntArray:
    """Return ``user * n_items + item`` of each row, int64 ``[N]``."""
    users, items = pairs_of(part)
    return users * np.int64(part.n_items) + items


def among(keys: IntArray, known: IntArray) -> BoolArray:
    """Return which keys are known, bool of the shape of ``keys``; ``known`` is sorted."""
    if not len(known):
        return np.zeros(keys.shape, np.bool_)
    nearest = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found: BoolArray = known[nearest] == keys
    return found
