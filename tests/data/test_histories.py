"""Histories hold what came before a list, and nothing of the same second or later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec_bench.data.cards import load_card, load_dataset, load_lists
from mmrec_bench.data.histories import histories_before
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import DataError


def lists_at(users: list[int], times: list[int] | None, n_users: int = 4) -> Lists:
    """Lists of one row for these users at these seconds."""
    n = len(users)
    return Lists(
        list_of=np.arange(n),
        items=np.zeros(n, np.int64),
        n_items=30,
        users=np.array(users, np.int64),
        n_users=n_users,
        timestamps=None if times is None else np.array(times, np.int64),
    )


@given(data=st.data(), n=st.integers(0, 40), n_lists=st.integers(1, 8), start=st.sampled_from([-(10**10), 0, 10**9]))
def test_histories_against_a_slow_reference(data: st.DataObject, n: int, n_lists: int, start: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    pairs = rng.choice(4 * 30, size=n, replace=False)
    times = rng.integers(start, start + 12, n)
    facts = Interactions(pairs // 30, pairs % 30, 4, 30, timestamps=times)
    users, moments = rng.integers(0, 4, n_lists), rng.integers(start - 2, start + 15, n_lists)
    found = histories_before(facts, lists_at(users.tolist(), moments.tolist()))
    for place, (user, moment) in enumerate(zip(users, moments, strict=True)):
        before = sorted(
            (time, item)
            for owner, item, time in zip(facts.users, facts.items, times, strict=True)
            if owner == user and time < moment
        )
        history = found.items[found.offsets[place] : found.offsets[place + 1]]
        assert history.tolist() == [item for _, item in before]


@pytest.mark.parametrize(
    ("lists", "times", "message"),
    [
        (lists_at([0], None), [1], "histories need timestamps of the lists and of the interactions"),
        (lists_at([0], [1]), None, "histories need timestamps"),
        (lists_at([0], [1], n_users=5), [1], "lists are for 5 users, interactions of 4; must be the same"),
    ],
)
def test_what_histories_lack_is_explained(lists: Lists, times: list[int] | None, message: str) -> None:
    timestamps = None if times is None else np.array(times)
    with pytest.raises(DataError, match=message):
        histories_before(
            Interactions(np.zeros(1, np.int64), np.zeros(1, np.int64), 4, 30, timestamps=timestamps), lists
        )


def test_the_synthetic_card_gives_interactions_and_lists_of_one_world() -> None:
    card = load_card("synthetic")
    assert card.payloads == ("interactions", "lists")
    facts, lists = load_dataset(card), load_lists(card, modalities=("text",))
    np.testing.assert_array_equal(facts.user_ids, lists.user_ids)
    np.testing.assert_array_equal(facts.item_ids, lists.item_ids)
    assert set(lists.features) == {"text"}
    assert set(lists.report.missing) == {"text"}
    assert lists.payload.propensities is not None
    histories = lists.payload.histories
    assert histories is not None
    assert lists.payload.timestamps is not None
    assert facts.payload.timestamps is not None
    when = dict(zip(facts.payload.keys().tolist(), facts.payload.timestamps.tolist(), strict=True))
    owners = np.repeat(lists.payload.users, np.diff(histories.offsets))
    times = np.array([when[key] for key in (owners * facts.payload.n_items + histories.items).tolist()])
    place = np.repeat(np.arange(lists.payload.n_lists), np.diff(histories.offsets))
    assert (times < lists.payload.timestamps[place]).all()
    assert (np.diff(times)[np.diff(place) == 0] >= 0).all(), "oldest first"
    assert len(times) > lists.payload.n_lists, "they are not empty"
