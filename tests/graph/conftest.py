from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Edges:
    """A random user-item graph with an isolated user and an isolated item."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    n_users: int
    n_items: int

    def block(self) -> Array:
        """The normalised user-item block, dense, from its definition."""
        r = np.zeros((self.n_users, self.n_items))
        r[self.users, self.items] = 1.0
        user_degree, item_degree = r.sum(1), r.sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(r > 0, r / np.sqrt(user_degree[:, None] * item_degree), 0.0)

    def adjacency(self) -> Array:
        """The normalised adjacency of users and items together, dense."""
        r = self.block()
        return np.block([[np.zeros((self.n_users,) * 2), r], [r.T, np.zeros((self.n_items,) * 2)]])


@pytest.fixture
def edges() -> Edges:
    rng = np.random.default_rng(5)
    dense = rng.random((9, 7)) < 0.4
    dense[3] = False
    dense[:, 5] = False
    users, items = np.nonzero(dense)
    order = rng.permutation(len(users))
    return Edges(users[order].astype(np.int64), items[order].astype(np.int64), 9, 7)
