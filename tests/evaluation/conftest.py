"""A small split with repeated structure, and plain retrievers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mmrec_bench.data.interactions import Interactions


@pytest.fixture
def pairs() -> Callable[..., Interactions]:
    """Interactions from a dense boolean matrix."""

    def make(dense: np.ndarray) -> Interactions:
        users, items = np.nonzero(dense)
        return Interactions(users.astype(np.int64), items.astype(np.int64), *dense.shape)

    return make


@pytest.fixture
def split(pairs) -> tuple[Interactions, Interactions, Interactions]:
    """Disjoint train, valid and test parts of 60 users and 90 items; user 0 and item 0 are not in train."""
    part = np.random.default_rng(0).choice(4, (60, 90), p=[0.8, 0.1, 0.06, 0.04])
    part[0, part[0] == 1] = 0
    part[:, 0] = np.where(part[:, 0] == 1, 2, part[:, 0])
    part[7, part[7] == 2] = 0
    return pairs(part == 1), pairs(part == 2), pairs(part == 3)
