"""A split by users: those who come online are asked about items that were held out, all others teach."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt, model_validator

from mmrec_bench.data.chance import pair_hash
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.split_rule import TEST, TRAIN, VALID, Fraction, Labelled, SplitConfig, split_rule
from mmrec_bench.errors import ProtocolError
from mmrec_bench.settings import explained_error


@split_rule("online-users")
class OnlineUsers(SplitConfig):
    """Users are online in validation, online in the test, or offline.

    Of an online user, ``held_out`` rows are held out and all others are for training, so that a recommender knows the
    user; of an offline user all rows are for training. Users with fewer than ``held_out + min_known`` rows are
    offline. Who is online is a seeded hash of the user.
    """

    name: Literal["online-users"] = "online-users"
    seed: NonNegativeInt = 0
    """Of the choice of users, and of rows where chance chooses them."""
    valid_users: Fraction = 0.1
    """Share of the users with enough rows who are online in validation."""
    test_users: Fraction = 0.2
    """Share of the users with enough rows who are online in the test."""
    held_out: PositiveInt = 3
    """Rows of an online user that are held out."""
    min_known: PositiveInt = 2
    """Rows that an online user keeps for training, at least."""
    choose: Literal["latest", "random"] = "latest"
    """Which rows are held out: the latest in time, or any."""

    @model_validator(mode="after")
    def _some_teach(self) -> Self:
        if self.valid_users + self.test_users >= 1:
            raise explained_error(
                f"valid_users and test_users must leave users offline; got {self.valid_users} + {self.test_users}"
            )
        return self

    def parts_of_users(self, interactions: Interactions) -> NDArray[np.int8]:
        """Return the part in which each user is online, int8 ``[n_users]``; `TRAIN` for offline users."""
        enough = np.flatnonzero(interactions.user_counts() >= self.held_out + self.min_known)
        order = enough[np.argsort(pair_hash(enough, np.zeros_like(enough), self.seed, "online-users"), kind="stable")]
        n_valid, n_test = (round(share * len(enough)) for share in (self.valid_users, self.test_users))
        parts = np.full(interactions.n_users, TRAIN, np.int8)
        parts[order[:n_test]] = TEST
        parts[order[n_test : n_test + n_valid]] = VALID
        return parts

    def assign(self, interactions: Interactions) -> Labelled:
        """Return the part of each row.

        Raises:
            ProtocolError: The latest rows are asked for, and the data knows no time.
        """
        users, items = interactions.users, interactions.items
        keys = [items, pair_hash(users, items, self.seed, "online-rows"), users]
        if self.choose == "latest":
            if (clock := interactions.clock()) is None:
                raise ProtocolError(
                    "online-users holds out the latest rows, which needs timestamps or an order, and the data has "
                    "neither; set protocol.split.choose: random"
                )
            keys.insert(2, clock)
        order = np.lexsort(keys)
        counts, parts = interactions.user_counts(), self.parts_of_users(interactions)
        from_end = np.cumsum(counts)[users[order]] - np.arange(len(users))  # 1 = the last
        labels = np.zeros(len(users), np.int8)
        labels[order] = np.where(from_end <= self.held_out, parts[users[order]], TRAIN)
        short = int(((counts > 0) & (counts < self.held_out + self.min_known)).sum())
        notes = [f"{(parts == label).sum()} users are online in {part}" for part, label in _ONLINE]
        if short:
            notes.append(f"{short} users have fewer than {self.held_out + self.min_known} rows and stay offline")
        return Labelled(labels, tuple(notes))


_ONLINE = (("validation", VALID), ("the test", TEST))
