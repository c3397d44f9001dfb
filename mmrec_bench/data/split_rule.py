"""What a split rule is, and how experiments name one.

No rule looks at the order of rows in a file: chance is a seeded hash of the pair itself, so the same facts in another
order, or with other facts added, are split the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainValidator, SerializeAsAny

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.points import Points
from mmrec_bench.data.provenance import TimePromise
from mmrec_bench.errors import ProtocolError
from mmrec_bench.registry import Registry
from mmrec_bench.settings import BaseConfig, named

ColdUsers: TypeAlias = Literal["drop", "keep"]
"""What becomes of held-out rows whose user has no row in train."""

Fraction = Annotated[float, Field(gt=0, lt=1)]

TRAIN, VALID, TEST = 0, 1, 2
PARTS = ("train", "valid", "test")
UNUSED = 3
"""Label of rows that are in no part."""


class Labelled(NamedTuple):
    """What a rule decides.

    Attributes:
        labels: Part of each row, or list (0 train, 1 valid, 2 test; of points also 3, none of these), int8.
        notes: What is worth knowing, one sentence each.
    """

    labels: NDArray[np.int8]
    notes: tuple[str, ...] = ()


class SplitConfig(BaseConfig):
    """Base of all split rules."""

    name: str

    def promise(self, delivered: TimePromise) -> TimePromise:
        """Return what the rule promises about time; ``delivered`` is the promise of the split the data came with."""
        return "none"

    @property
    def delivered(self) -> bool:
        """Whether the parts are those the data came with."""
        return False

    @property
    def parts_users(self) -> bool:
        """Whether the rule promises that all lists of a user (or query) fall into one part."""
        return False

    def assign(self, interactions: Interactions) -> Labelled:
        """Return the part of each row.

        Raises:
            ProtocolError: The data lacks what the rule needs, or the rule is for lists alone.
        """
        raise ProtocolError(self.refusal("interactions"))

    def assign_lists(self, lists: Lists) -> Labelled:
        """Return the part of each list.

        Raises:
            ProtocolError: The data lacks what the rule needs, or the rule is for interactions alone.
        """
        raise ProtocolError(self.refusal("lists"))

    def assign_points(self, points: Points) -> Labelled:
        """Return the part of each impression.

        Raises:
            ProtocolError: The data lacks what the rule needs, or the rule is not for impressions.
        """
        raise ProtocolError(self.refusal("points"))

    def refusal(self, kind: Literal["interactions", "lists", "points"]) -> str | None:
        """Return why the rule does not part such a payload, in words; None where it does."""
        method = {"interactions": "assign", "lists": "assign_lists", "points": "assign_points"}[kind]
        known = [name for name in SPLITS if getattr(SPLITS[name], method) is not getattr(SplitConfig, method)]
        if self.name in known:
            return None
        return f"split '{self.name}' does not part {kind}; those that do: {', '.join(known)}. Change protocol.split"


SPLITS: Registry[type[SplitConfig]] = Registry("split rule")
"""Config classes of split rules by name."""

R = TypeVar("R", bound=type[SplitConfig])


def split_rule(name: str) -> Callable[[R], R]:
    """Return a decorator that registers a config class under its name."""

    def register(config: R) -> R:
        SPLITS.register(name, config)
        return config

    return register


SplitRule = Annotated[
    SerializeAsAny[SplitConfig], PlainValidator(named(lambda: SPLITS, SplitConfig, lambda rule: rule))
]
"""A field that takes ``x-label`` or ``{name: random-811, seed: 3}``."""
