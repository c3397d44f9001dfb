"""Lists and points refuse what breaks their order or ranges."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.errors import DataError

LIST_OF, ITEMS, USERS = np.array([0, 0, 1, 2, 2, 2]), np.array([3, 1, 0, 2, 3, 3]), np.array([7, 7, 8])


def test_lists_in_long_form() -> None:
    lists = Lists(LIST_OF, ITEMS, 4, np.array([7, 7, 8]), 9, labels=np.arange(6))
    assert (len(lists), lists.n_lists) == (6, 3)
    assert lists.offsets().tolist() == [0, 2, 3, 6]
    none = np.zeros(0, np.int64)
    empty = Lists(none, none, 4, none, 0)
    assert (len(empty), empty.n_lists, empty.offsets().tolist()) == (0, 0, [0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"list_of": np.array([0, 1, 0, 1, 1, 1])}, "steps of 0 or 1"),
        ({"list_of": np.array([0, 0, 2, 2, 2, 2])}, "steps of 0 or 1"),
        ({"list_of": np.array([1, 1, 1, 1, 1, 1])}, "steps of 0 or 1"),
        ({"items": ITEMS + 1}, r"items must lie in 0\.\.3; got 4"),
        ({"positions": np.arange(6)}, "positions must be at least 1; got 0"),
        ({"positions": 10**12 + np.arange(6)}, "positions must be at most 1048576; got 1000000000005"),
        ({"labels": np.arange(6) - 1}, "labels must be at least 0; got -1"),
        ({"users": np.array([1, 2])}, "users must have the shape 3; got 2"),
        ({"users": np.array([1, 2, 9])}, r"users must lie in 0..8; got 9"),
        ({"labels": np.arange(6) * 7}, "labels must be at most 31; got 35"),
        ({"parts": np.array([0, 1, 3], np.int8)}, "parts must be at most 2; got 3"),
        ({"clicks": np.arange(6)}, "clicks must be bool"),
        ({"clicks": np.ones(6, np.bool_)}, "clicks need positions"),
        ({"histories": Histories(np.array([0, 1, 2]), np.array([0, 1]))}, "a history for each of 3 lists; got 2"),
        (
            {"histories": Histories(np.array([0, 1, 1, 2]), np.array([0, 4]))},
            r"history items must lie in 0\.\.3; got 4",
        ),
        ({"features": np.full((6, 2), np.nan, np.float32)}, "features of lists must be finite"),
        ({"features": np.zeros((5, 2), np.float32)}, "shape 6 x any"),
        ({"propensities": np.zeros(6, np.float32)}, r"\(0, 1\]"),
    ],
)
def test_broken_lists_are_refused(changes: dict[str, object], message: str) -> None:
    given = {"list_of": LIST_OF, "items": ITEMS, "n_items": 4, "users": USERS, "n_users": 9, **changes}
    with pytest.raises(DataError, match=message):
        Lists(**given)  # type: ignore[arg-type]


def test_fingerprints_depend_on_every_fact() -> None:
    facts: list[dict[str, object]] = [
        {},
        {"positions": np.ones(6, np.int64)},
        {"labels": np.ones(6, np.int64)},
        {"positions": np.ones(6, np.int64), "clicks": np.ones(6, np.bool_)},
        {"missed": np.array([0, 1, 0])},
        {"histories": Histories(np.array([0, 1, 1, 2]), np.array([0, 3]))},
        {"histories": Histories(np.array([0, 1, 2, 2]), np.array([0, 3]))},
    ]
    lists = [Lists(LIST_OF, ITEMS, 4, USERS, 9, **given) for given in facts]  # type: ignore[arg-type]
    assert len({facts.fingerprint() for facts in (*lists, Lists(LIST_OF, ITEMS, 5, USERS, 9))}) == 8


def test_lists_can_be_selected_and_repeated() -> None:
    lists = Lists(
        LIST_OF,
        ITEMS,
        4,
        USERS,
        9,
        features=np.arange(6, dtype=np.float32)[:, None],
        labels=np.arange(6),
        missed=np.array([0, 1, 2]),
        histories=Histories(np.array([0, 2, 2, 3]), np.array([0, 3, 1])),
    )
    chosen = lists.select(np.array([2, 0, 2]))
    assert chosen.list_of.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert chosen.labels is not None
    assert chosen.labels.tolist() == [3, 4, 5, 0, 1, 3, 4, 5]
    assert chosen.users.tolist() == [8, 7, 8]
    assert chosen.missed is not None
    assert chosen.missed.tolist() == [2, 0, 2]
    assert chosen.histories is not None
    assert chosen.histories.offsets.tolist() == [0, 1, 3, 4]
    assert chosen.histories.items.tolist() == [1, 0, 3, 1]
    assert lists.select(np.arange(3)).fingerprint() == lists.fingerprint()


def test_only_whole_orders_can_be_learned_from() -> None:
    def shown(*positions: int) -> Lists:
        return Lists(
            np.array([0, 0, 1, 1, 1]), np.arange(5), 5, np.zeros(2, np.int64), 1, positions=np.array(positions)
        )

    shown(1, 2, 3, 1, 2).require_orders()
    with pytest.raises(DataError, match=r"list 1 \(from 0\), of 3 rows, has the places 1, 1, 2"):
        shown(2, 1, 1, 2, 1).require_orders()
    with pytest.raises(DataError, match=r"list 0 .* has the places 1, 3"):
        shown(3, 1, 1, 2, 3).require_orders()
    with pytest.raises(DataError, match="without positions"):
        Lists(np.zeros(1, np.int64), np.zeros(1, np.int64), 1, np.zeros(1, np.int64), 1).require_orders()
