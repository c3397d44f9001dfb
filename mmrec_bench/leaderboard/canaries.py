"""Entries whose worth is known before they are judged: what scores them otherwise is broken.

``constant`` and ``random`` get what chance gives, ``oracle`` all there is to get, ``popularity`` the plainest system,
and ``train-copy``, which recommends what users already have, is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmrec_bench.data.chance import pair_chance
from mmrec_bench.errors import ProtocolError
from mmrec_bench.registry import Registry
from mmrec_bench.types import BoolArray, DoubleArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Users and items to be valued.

    Attributes:
        users: int64 ``[N]``.
        items: int64 ``[N]``.
        truth: What would be best: label, click, or whether the item is held out, float64 ``[N]``.
        known: Whether the user has the item in training, bool ``[N]``; None in tasks where nothing is excluded.
        popularity: How often each item was chosen in training, relative to the most chosen, float64 ``[n_items]``.
        seed: Of chance.
    """

    users: IntArray
    items: IntArray
    truth: DoubleArray
    known: BoolArray | None
    popularity: DoubleArray
    seed: int


Canary = Callable[[Pairs], DoubleArray]
"""From pairs to their values in [0, 1], the greater the better, float64 ``[N]``."""


def train_copy(pairs: Pairs) -> DoubleArray:
    """Value what users already have; retrieved for it, nothing is excluded."""
    if pairs.known is None:
        raise ProtocolError(
            "the canary train-copy recommends what users already have, which is excluded in retrieval alone"
        )
    return pairs.known.astype(np.float64)


CANARIES: Registry[Canary] = Registry("canary")
"""Canaries by name."""

for _name, _canary in {
    "constant": lambda pairs: np.zeros(len(pairs.users)),
    "random": lambda pairs: pair_chance(pairs.users, pairs.items, pairs.seed, "canary"),
    "popularity": lambda pairs: pairs.popularity[pairs.items],
    "oracle": lambda pairs: pairs.truth / max(float(pairs.truth.max(initial=0)), 1.0),
    "train-copy": train_copy,
}.items():
    CANARIES.register(_name, _canary)
