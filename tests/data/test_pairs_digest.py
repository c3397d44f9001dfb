"""The name of who interacted with what."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from mmrec_bench.data import pairs_digest as module
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable

USERS, ITEMS = np.array(["b", "10", "ä", "9"]), np.array(["x", "B2", "B10"])
PAIRS = [(0, 0), (1, 2), (1, 1), (2, 0), (3, 2), (0, 1)]


def dataset(pairs: list[tuple[int, int]], users: np.ndarray, items: np.ndarray) -> Dataset[Interactions]:  # type: ignore[type-arg]
    rows, columns = (np.array(side) for side in zip(*pairs, strict=True))
    return Dataset("x", Interactions(rows, columns, len(users), len(items)), {}, ItemTable(), users, items)


@pytest.mark.parametrize("block", [1, 4, 1 << 20])
def test_it_is_the_sha256_of_the_sorted_lines(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "_PAIRS", block)
    lines = sorted((USERS[user].encode(), ITEMS[item].encode()) for user, item in PAIRS)
    expected = hashlib.sha256(b"".join(b"\t".join(line) + b"\n" for line in lines)).hexdigest()
    assert dataset(PAIRS, USERS, ITEMS).pairs_digest() == expected


def test_row_numbers_and_order_do_not_matter_and_every_pair_does() -> None:
    digest = dataset(PAIRS, USERS, ITEMS).pairs_digest()
    renumbered = [(3 - user, (item + 1) % 3) for user, item in reversed(PAIRS)]
    assert dataset(renumbered, USERS[::-1], np.roll(ITEMS, 1)).pairs_digest() == digest
    more_users = np.append(USERS, "nobody")
    assert dataset(PAIRS, more_users, ITEMS).pairs_digest() == digest, "pairs alone count"
    assert dataset(PAIRS[1:], USERS, ITEMS).pairs_digest() != digest
    assert dataset([(0, 2), *PAIRS[1:]], USERS, ITEMS).pairs_digest() != digest
