from __future__ import annotations

import numpy as np

from mmrec_bench.data.chance import pair_chance, pair_hash


def test_chance_belongs_to_the_pair_seed_and_stream_alone() -> None:
    users, items = np.repeat(np.arange(50), 40), np.tile(np.arange(40), 50)
    chance = pair_chance(users, items, 3, "test")
    some = np.random.default_rng(0).permutation(len(users))[:70]
    assert np.array_equal(pair_chance(users[some], items[some], 3, "test"), chance[some])
    for other in (pair_chance(users, items, 4, "test"), pair_chance(users, items, 3, "other")):
        assert abs(np.corrcoef(chance, other)[0, 1]) < 0.1
    assert not np.array_equal(pair_chance(items, users, 3, "test"), chance)


def test_chance_is_spread_evenly_and_in_the_order_of_hashes() -> None:
    users, items = np.repeat(np.arange(100), 100), np.tile(np.arange(100), 100)
    chance, hashed = pair_chance(users, items, 0, "test"), pair_hash(users, items, 0, "test")
    assert np.array_equal(np.argsort(chance, kind="stable"), np.argsort(hashed, kind="stable"))
    counts = np.histogram(chance, bins=20, range=(0, 1))[0]
    assert counts.sum() == len(chance)
    assert ((counts - 500) ** 2 / 500).sum() < 43.8  # chi-squared with 19 degrees of freedom, p = 0.001
