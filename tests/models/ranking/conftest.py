"""Small lists of several lengths with everything that lists may carry."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.models.ranking.base import RankingContext

N_ITEMS, N_USERS = 12, 4
LENGTHS = np.array([5, 2, 4, 1, 5, 3])


@pytest.fixture
def small() -> RankingContext:
    """Six lists of 1 to 5 different items, one without a history, one without a click."""
    random = np.random.default_rng(5)
    n = int(LENGTHS.sum())
    clicks = random.random(n) < 0.5
    clicks[:5], clicks[5:7] = [True, False, True, False, False], False
    return RankingContext(
        Lists(
            list_of=np.repeat(np.arange(len(LENGTHS)), LENGTHS),
            items=np.concatenate([random.permutation(N_ITEMS)[:length] for length in LENGTHS]),
            n_items=N_ITEMS,
            users=random.integers(N_USERS, size=len(LENGTHS)),
            n_users=N_USERS,
            features=random.standard_normal((n, 3)).astype(np.float32),
            positions=np.concatenate([np.arange(1, length + 1) for length in LENGTHS]),
            clicks=clicks,
            labels=random.integers(0, 4, size=n),
            histories=Histories(np.array([0, 3, 3, 7, 9, 10, 14]), random.integers(N_ITEMS, size=14)),
        )
    )
