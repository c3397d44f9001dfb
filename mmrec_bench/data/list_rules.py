"""Split rules of lists alone: whole users, or queries, belong to one part."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import NonNegativeInt, model_validator

from mmrec_bench.data.chance import pair_hash
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.split_rule import TEST, TRAIN, VALID, Fraction, Labelled, SplitConfig, split_rule
from mmrec_bench.errors import ProtocolError
from mmrec_bench.settings import explained_error
from mmrec_bench.types import IntArray


@split_rule("by-user")
class ByUser(SplitConfig):
    """All lists of a user (or query) fall into one part, drawn by a seeded hash; delivered parts are not looked at."""

    name: Literal["by-user"] = "by-user"
    seed: NonNegativeInt = 0
    """Of the users that are drawn; runs of all seeds share them."""
    valid_users: Fraction = 0.1
    """Share of the users whose lists are validated."""
    test_users: Fraction = 0.1
    """Share of the users whose lists are tested; all others are for training."""

    @model_validator(mode="after")
    def _some_are_trained(self) -> Self:
        if self.valid_users + self.test_users >= 1:
            raise explained_error(
                f"valid_users and test_users must leave users for training; got {self.valid_users} + {self.test_users}"
            )
        return self

    @property
    def parts_users(self) -> bool:
        """Whole users are drawn."""
        return True

    def assign_lists(self, lists: Lists) -> Labelled:
        """Return the part of each list's user."""
        users = _drawn(np.unique(lists.users), self.seed)
        n_valid, n_test = (max(round(share * len(users)), 1) for share in (self.valid_users, self.test_users))
        parts = np.full(lists.n_users, TRAIN, np.int8)
        parts[users[:n_valid]] = VALID
        parts[users[n_valid : n_valid + n_test]] = TEST
        return Labelled(parts[lists.users])


@split_rule("carved-valid")
class CarvedValid(SplitConfig):
    """The delivered split, with validation carved from train: whole users (or queries), drawn by a seeded hash.

    For data that is delivered in two parts. With a delivered part ``valid`` it is refused, for nothing would be done
    with those lists: ``x-label`` keeps all three.
    """

    name: Literal["carved-valid"] = "carved-valid"
    seed: NonNegativeInt = 0
    """Of the users that are drawn; runs of all seeds share them."""
    valid_users: Fraction = 0.2
    """Share of the train users whose train lists are validated."""

    def assign_lists(self, lists: Lists) -> Labelled:
        """Return the delivered parts, some of train moved to valid."""
        if lists.parts is None:
            raise ProtocolError(
                "split 'carved-valid' needs lists that were delivered as train and test, and these were not. Choose "
                "by-user or global-time under protocol.split"
            )
        if n_valid := int((lists.parts == VALID).sum()):
            raise ProtocolError(
                f"split 'carved-valid' carves validation from train, but {n_valid} lists were delivered as valid. "
                "Choose x-label under protocol.split, or a card without the part 'valid'"
            )
        in_train = lists.parts == TRAIN
        users = _drawn(np.unique(lists.users[in_train]), self.seed)
        carved = users[: max(round(self.valid_users * len(users)), 1)]
        labels = lists.parts.copy()
        labels[in_train & np.isin(lists.users, carved)] = VALID
        return Labelled(labels, (f"{len(carved)} of {len(users)} train users (or queries) are for validation",))


def _drawn(users: IntArray, seed: int) -> IntArray:
    """Return users in the order of a seeded hash."""
    return users[np.argsort(pair_hash(users, np.zeros_like(users), seed, "split-of-lists"), kind="stable")]
