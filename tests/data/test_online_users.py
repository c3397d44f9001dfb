"""Who comes online, and which of their rows are held out."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.online_users import OnlineUsers
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.data.split_rule import TEST, TRAIN, VALID
from mmrec_bench.data.splitting import make_split
from mmrec_bench.errors import ProtocolError

N_USERS, N_ITEMS = 200, 80


@pytest.fixture
def rows() -> Interactions:
    """Users with 1 to 12 rows in no order, with times that tie."""
    rng = np.random.default_rng(2)
    items = [rng.choice(N_ITEMS, size=rng.integers(1, 13), replace=False) for _ in range(N_USERS)]
    users = np.repeat(np.arange(N_USERS), [len(row) for row in items])
    order = rng.permutation(len(users))
    return Interactions(
        users[order], np.concatenate(items)[order], N_USERS, N_ITEMS, timestamps=rng.integers(0, 30, len(users))
    )


def parts(rows: Interactions, rule: OnlineUsers) -> dict[str, Interactions]:
    split = make_split(rows, rule)
    return {"train": split.train, "valid": split.valid, "test": split.test.open("a test", VaultLedger())}


@pytest.mark.parametrize("choose", ["latest", "random"])
def test_parts_are_disjoint_and_whole(rows: Interactions, choose: str) -> None:
    found = parts(rows, OnlineUsers(choose=choose))  # type: ignore[arg-type]
    keys = np.concatenate([part.keys() for part in found.values()])
    assert sorted(keys.tolist()) == sorted(rows.keys().tolist())
    assert not set(found["valid"].users) & set(found["test"].users)


@pytest.mark.parametrize("choose", ["latest", "random"])
def test_three_rows_of_each_online_user_are_held_out_and_none_of_others(rows: Interactions, choose: str) -> None:
    rule = OnlineUsers(choose=choose)  # type: ignore[arg-type]
    who, labels, counts = rule.parts_of_users(rows), rule.assign(rows).labels, rows.user_counts()
    for user in range(N_USERS):
        mine = labels[rows.users == user]
        if who[user] == TRAIN:
            assert (mine == TRAIN).all()
        else:
            assert counts[user] >= 5
            assert (mine == who[user]).sum() == 3
            assert (mine == TRAIN).sum() == counts[user] - 3
    enough = (counts >= 5).sum()
    assert (who == TEST).sum() == round(0.2 * enough)
    assert (who == VALID).sum() == round(0.1 * enough)


def test_the_latest_rows_are_held_out(rows: Interactions) -> None:
    labels = OnlineUsers().assign(rows).labels
    assert rows.timestamps is not None
    ties = 0
    for user in np.unique(rows.users[labels != TRAIN]):
        mine = rows.users == user
        held, kept = rows.timestamps[mine & (labels != TRAIN)], rows.timestamps[mine & (labels == TRAIN)]
        assert held.min() >= kept.max()
        ties += held.min() == kept.max()
    assert ties, "a hash decides among rows of one moment, so that the order of the file does not"


def test_random_rows_are_not_the_latest_and_hang_on_the_seed(rows: Interactions) -> None:
    latest, chosen, again, other = (
        OnlineUsers(seed=seed, choose=choose).assign(rows).labels  # type: ignore[arg-type]
        for seed, choose in ((0, "latest"), (0, "random"), (0, "random"), (1, "random"))
    )
    assert (chosen == again).all()
    assert (chosen != latest).any()
    online = [set(rows.users[labels != TRAIN]) for labels in (latest, chosen, other)]
    assert online[0] == online[1]
    assert online[0] != online[2]


@pytest.mark.parametrize("choose", ["latest", "random"])
def test_neither_the_order_of_rows_nor_other_rows_change_anything(rows: Interactions, choose: str) -> None:
    rule = OnlineUsers(choose=choose)  # type: ignore[arg-type]
    labels = rule.assign(rows).labels
    order = np.random.default_rng(0).permutation(len(rows))
    assert (rule.assign(rows.select(order)).labels == labels[order]).all()
    short = rows.user_counts() < 5
    longer = rows.select(~short[rows.users])
    assert (rule.assign(longer).labels == labels[~short[rows.users]]).all()


def test_an_order_without_a_clock_will_do(rows: Interactions) -> None:
    plain = Interactions(rows.users, rows.items, N_USERS, N_ITEMS, order=np.arange(len(rows)))
    labels = OnlineUsers().assign(plain).labels
    user = plain.users[labels == TEST][0]
    mine = np.flatnonzero(plain.users == user)
    assert np.flatnonzero((plain.users == user) & (labels == TEST)).tolist() == mine[-3:].tolist()


def test_without_time_the_latest_are_unknown(rows: Interactions) -> None:
    plain = Interactions(rows.users, rows.items, N_USERS, N_ITEMS)
    with pytest.raises(ProtocolError, match=r"neither; set protocol\.split\.choose: random"):
        OnlineUsers().assign(plain)
    assert (OnlineUsers(choose="random").assign(plain).labels != TRAIN).any()


def test_notes_count_who_is_online_and_who_has_too_little(rows: Interactions) -> None:
    rule, counts = OnlineUsers(held_out=2, min_known=4), rows.user_counts()
    who, notes = rule.parts_of_users(rows), rule.assign(rows).notes
    short = int(((counts > 0) & (counts < 6)).sum())
    assert f"{(who == VALID).sum()} users are online in validation" in notes
    assert f"{(who == TEST).sum()} users are online in the test" in notes
    assert f"{short} users have fewer than 6 rows and stay offline" in notes


def test_data_of_short_users_alone_are_refused() -> None:
    rows = Interactions(np.repeat(np.arange(20), 4), np.tile(np.arange(4), 20), 20, 4, order=np.arange(80))
    with pytest.raises(ProtocolError, match="valid"):
        make_split(rows, OnlineUsers())


def test_somebody_must_stay_offline() -> None:
    with pytest.raises(ValueError, match=r"must leave users offline; got 0\.5"):
        OnlineUsers(valid_users=0.5, test_users=0.5)
