from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from mmrec_bench.data.leaked import Leak, LeakedSplit, LeakLedger
from mmrec_bench.data.point_rules import DAY, TimeWindow
from mmrec_bench.data.points import Points
from mmrec_bench.errors import ProtocolError


def _split() -> LeakedSplit:
    times = np.arange(100) * DAY // 2
    points = Points(np.zeros(100, np.int64), np.zeros(100, np.int64), np.zeros(100, np.int8), times, 1, 1, "")
    return LeakedSplit(points, TimeWindow(cut_share=0.6))


def test_an_opening_gives_what_lies_behind_the_cut_and_is_recorded() -> None:
    split, ledger = _split(), LeakLedger()
    found = split.open(Leak("id-embedding", 5.0), ledger)
    assert found.timestamps.min() == split.cut == 30 * DAY
    assert found.timestamps.max() < 35 * DAY
    assert len(found) == 10
    assert ledger.leaks == [Leak("id-embedding", 5.0)]


def test_horizons_beyond_the_data_are_refused_before_anything_is_opened() -> None:
    ledger = LeakLedger()
    with pytest.raises(ProtocolError, match=r"25 days lies beyond the data, which end 19\.5 days behind the cut"):
        _split().open(Leak("id-embedding", 25.0), ledger)
    assert not ledger.leaks
    _split().check([1.0, 19.5])


def test_it_shows_nothing_and_cannot_be_copied() -> None:
    split = _split()
    assert repr(split) == "LeakedSplit(closed)"
    assert not [name for name in dir(split) if "behind" in name and not name.startswith("_LeakedSplit")]
    for copying in (copy.copy, pickle.dumps):
        with pytest.raises(ProtocolError, match="copied"):
            copying(split)
