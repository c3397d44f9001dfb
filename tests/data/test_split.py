"""The test part stays sealed, and every opening is written down."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.split import SealedTest, Split, SplitReport, VaultLedger
from mmrec_bench.errors import ProtocolError

REPORT = SplitReport({}, {}, {}, {}, {})


def _part(*pairs: tuple[int, int]) -> Interactions:
    users, items = np.array(pairs, np.int64).reshape(-1, 2).T
    return Interactions(users, items, 3, 3)


def test_openings_are_recorded_in_order() -> None:
    vault, ledger = SealedTest(_part((0, 1))), VaultLedger()
    assert vault.open("final numbers", ledger).items.tolist() == [1]
    vault.open("slices", ledger)
    assert [opening.purpose for opening in ledger.openings] == ["final numbers", "slices"]
    assert all(opening.time.endswith("+00:00") for opening in ledger.openings)


@pytest.mark.parametrize("purpose", ["", "  \n"])
def test_an_opening_without_a_purpose_is_refused_and_not_recorded(purpose: str) -> None:
    ledger = VaultLedger()
    with pytest.raises(ProtocolError, match="needs a purpose"):
        SealedTest(_part((0, 1))).open(purpose, ledger)
    assert ledger.openings == []


def test_there_is_no_way_round_the_ledger() -> None:
    vault = SealedTest(_part((0, 1)))
    assert "1" not in repr(vault)
    assert [name for name in dir(vault) if not name.startswith("_")] == ["fingerprint", "open"]
    for way in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(ProtocolError, match="cannot be pickled or copied"):
            way(vault)


@pytest.mark.parametrize("empty", ["training", "validation"])
def test_empty_parts_are_refused(empty: str) -> None:
    train, valid = (_part() if empty == name else _part((0, 0)) for name in ("training", "validation"))
    with pytest.raises(ProtocolError, match=f"the {empty} part of the split is empty"):
        Split(train, valid, SealedTest(_part((0, 1))), REPORT)


def test_the_fingerprint_covers_the_sealed_part() -> None:
    one = Split(_part((0, 0)), _part((0, 1)), SealedTest(_part((0, 2))), REPORT)
    two = Split(_part((0, 0)), _part((0, 1)), SealedTest(_part((1, 2))), REPORT)
    assert one.fingerprint() != two.fingerprint()
