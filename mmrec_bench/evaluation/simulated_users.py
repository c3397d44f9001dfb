"""Simulated users of sessions: what they click, and when they leave."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PlainValidator, SerializeAsAny

from mmrec_bench.data.chance import pair_chance
from mmrec_bench.registry import Registry
from mmrec_bench.settings import BaseConfig, named
from mmrec_bench.types import BoolArray, DoubleArray, IntArray

Probability = Annotated[float, Field(ge=0, le=1)]


class UserConfig(BaseConfig):
    """Base of all simulated users; one who answers the truth and never leaves.

    A user clicks an item that is wanted, and a query if some wanted item has all its words. All chance is a hash of
    session, round and slot, so that two systems meet the same luck where they show something in the same round.
    """

    name: str
    seed: NonNegativeInt = 0
    """Of all chance."""

    @property
    def clicks_queries(self) -> bool:
        """Whether queries are ever clicked."""
        return True

    def misses(self, sessions: IntArray, moment: int) -> BoolArray:
        """Return who overlooks what should be clicked in a slot, bool ``[S]``."""
        return np.zeros(len(sessions), np.bool_)

    def slips(self, sessions: IntArray, moment: int) -> BoolArray:
        """Return who clicks a query that should not be, bool ``[S]``."""
        return np.zeros(len(sessions), np.bool_)

    def leaves(self, sessions: IntArray, round_: int, fruitless: IntArray) -> BoolArray:
        """Return who leaves after a round; `fruitless` counts rounds in a row without a click, int64 ``[S]``."""
        return np.zeros(len(sessions), np.bool_)

    def _chance(self, sessions: IntArray, moment: int, stream: str) -> DoubleArray:
        return pair_chance(sessions, np.full_like(sessions, moment), self.seed, f"user/{stream}")


class NoiseFreeUser(UserConfig):
    """Answers the truth."""

    name: Literal["noise-free"] = "noise-free"


class NoisyUser(UserConfig):
    """Errs now and then."""

    name: Literal["noisy"] = "noisy"
    miss: Probability = 0.1
    """Probability that an item or query that should be clicked is overlooked, and a field stays without answer."""
    slip: Probability = 0.1
    """Probability that a query that should not be clicked is; an item that is clicked by mistake is put back."""

    def misses(self, sessions: IntArray, moment: int) -> BoolArray:
        """Return who overlooks a slot."""
        return self._chance(sessions, moment, "miss") < self.miss

    def slips(self, sessions: IntArray, moment: int) -> BoolArray:
        """Return who clicks by mistake."""
        return self._chance(sessions, moment, "slip") < self.slip


class ImpatientUser(UserConfig):
    """Answers the truth, and may leave after each round in which nothing was clicked."""

    name: Literal["impatient"] = "impatient"
    leave: Probability = 0.2
    """Probability of leaving after a round without a click."""

    def leaves(self, sessions: IntArray, round_: int, fruitless: IntArray) -> BoolArray:
        """Return who leaves."""
        return (fruitless > 0) & (self._chance(sessions, round_, "leave") < self.leave)


class NoClickUser(UserConfig):
    """Clicks items alone; a query is never clicked, wanted or not, and no word of a field named."""

    name: Literal["no-click"] = "no-click"

    @property
    def clicks_queries(self) -> bool:
        """Never."""
        return False


SIMULATED_USERS: Registry[type[UserConfig]] = Registry("simulated user")
"""Config classes of simulated users by name."""

for _config in (NoiseFreeUser, NoisyUser, ImpatientUser, NoClickUser):
    SIMULATED_USERS.register(_config.model_fields["name"].default, _config)

SimulatedUser = Annotated[
    SerializeAsAny[UserConfig], PlainValidator(named(lambda: SIMULATED_USERS, UserConfig, lambda user: user))
]
"""A field that takes ``noise-free``, ``noisy``, ``impatient``, ``no-click``, or a mapping with settings."""
