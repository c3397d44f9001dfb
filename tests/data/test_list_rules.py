"""Split rules of lists: whole users stay together, delivered parts are respected, nothing falls back."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.data.rules import SplitConfig, SplitRule
from mmrec_bench.data.split import Split, VaultLedger
from mmrec_bench.data.splitting import make_list_split, make_split
from mmrec_bench.errors import ConfigError, ProtocolError
from mmrec_bench.settings import BaseConfig, parse_yaml


class Protocol(BaseConfig):
    split: SplitRule


def rule(text: str) -> SplitConfig:
    return parse_yaml(f"split: {text}", "test").parse(Protocol).split


def lists_of(users: list[int], seed: int = 0, **facts: Any) -> Lists:
    """One list of 1 to 4 rows for each of these users; the label of a row tells its list."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 5, len(users))
    list_of = np.repeat(np.arange(len(users)), lengths)
    offsets = np.concatenate([[0], np.cumsum(np.arange(len(users)) % 3)])
    return Lists(
        list_of=list_of,
        items=rng.integers(0, 50, len(list_of)),
        n_items=50,
        users=np.array(users, np.int64),
        n_users=max(users) + 1,
        labels=list_of % 32,
        histories=Histories(offsets, np.zeros(offsets[-1], np.int64)),
        **{name: np.array(values) for name, values in facts.items()},
    )


def parts_of(split: Split[Lists]) -> dict[str, Lists]:
    return {"train": split.train, "valid": split.valid, "test": split.test.open("test of the split", VaultLedger())}


def parts(values: list[int]) -> np.ndarray:
    return np.array(values, np.int8)


@given(users=st.lists(st.integers(0, 30), min_size=40, max_size=80), seed=st.integers(0, 5))
def test_by_user_keeps_users_whole_and_loses_nothing(users: list[int], seed: int) -> None:
    lists = lists_of(users)
    if len(set(users)) < 10:
        return
    split = make_list_split(lists, rule(f"{{name: by-user, seed: {seed}, valid_users: 0.2, test_users: 0.3}}"))
    found = {name: set(part.users.tolist()) for name, part in parts_of(split).items()}
    n = len(set(users))
    assert (len(found["valid"]), len(found["test"])) == (round(0.2 * n), round(0.3 * n))
    assert sum(map(len, found.values())) == n, "no user is in two parts"
    for name, part in parts_of(split).items():
        expected = lists.select(np.flatnonzero(np.isin(lists.users, list(found[name]))))
        assert part.fingerprint() == expected.fingerprint(), "with features, labels and histories, in the same order"
        assert (split.report.counts[name], split.report.users[name]) == (part.n_lists, len(found[name]))
    assert split.report.cold_users == {"valid": len(found["valid"]), "test": len(found["test"])}


def test_by_user_depends_on_its_seed_and_not_on_the_order_of_lists() -> None:
    users = np.random.default_rng(0).integers(0, 40, 200).tolist()

    def users_of_test(users: list[int], seed: int = 0) -> set[int]:
        split = make_list_split(lists_of(users), rule(f"{{name: by-user, seed: {seed}}}"))
        return set(parts_of(split)["test"].users.tolist())

    assert users_of_test(users) == users_of_test(users[::-1])
    assert len({frozenset(users_of_test(users, seed)) for seed in range(5)}) > 1


def test_delivered_parts_are_taken_and_leave_the_parts() -> None:
    lists = lists_of([0, 1, 2, 0], parts=parts([0, 2, 1, 0]))
    split = make_list_split(lists, rule("x-label"))
    assert [part.users.tolist() for part in parts_of(split).values()] == [[0, 0], [2], [1]]
    assert all(part.parts is None for part in parts_of(split).values())


def test_carved_valid_moves_whole_train_users_and_no_test_list() -> None:
    users = [*range(20), *range(20), *range(15, 30)]
    lists = lists_of(users, parts=parts([0] * 40 + [2] * 15))
    split = make_list_split(lists, rule("{name: carved-valid, valid_users: 0.25}"))
    found = parts_of(split)
    assert found["test"].users.tolist() == list(range(15, 30)), "the delivered test, untouched"
    valid, train = set(found["valid"].users.tolist()), set(found["train"].users.tolist())
    assert (len(valid), len(train), valid & train) == (5, 15, set())
    assert split.report.counts == {"train": 30, "valid": 10, "test": 15}
    assert split.report.notes == ("5 of 20 train users (or queries) are for validation",)
    again = make_list_split(lists, rule("{name: carved-valid, valid_users: 0.25, seed: 1}"))
    assert again.test.fingerprint() == split.test.fingerprint()
    assert again.fingerprint() != split.fingerprint()


def test_what_carved_valid_draws_does_not_hang_on_the_test_lists() -> None:
    train = list(range(20))
    few = make_list_split(lists_of([*train, 25], parts=parts([0] * 20 + [2])), rule("carved-valid"))
    many = make_list_split(lists_of([*train, *range(20, 40)], parts=parts([0] * 20 + [2] * 20)), rule("carved-valid"))
    assert few.valid.users.tolist() == many.valid.users.tolist()


def test_global_time_parts_lists_by_their_second() -> None:
    lists = lists_of([0, 1, 2, 3, 4], timestamps=[50, 10, 40, 30, 20])
    split = make_list_split(lists, rule("{name: global-time, valid_fraction: 0.2, test_fraction: 0.2}"))
    assert [part.users.tolist() for part in parts_of(split).values()] == [[1, 3, 4], [2], [0]]


def test_cold_items_are_counted_and_no_cold_user_is_dropped() -> None:
    lists = lists_of([0, 1, 2], parts=parts([0, 1, 2]))
    lists = dataclasses.replace(lists, items=lists.list_of)
    split = make_list_split(lists, rule("x-label"))
    assert split.report.cold_users_dropped == {"valid": 0, "test": 0}
    assert split.report.cold_items == {"valid": 1, "test": 1}


@pytest.mark.parametrize(
    ("text", "delivered", "message"),
    [
        (
            "x-label",
            None,
            "needs lists that were delivered in parts, and these were not. Choose by-user under",
        ),
        ("carved-valid", None, "needs lists that were delivered as train and test, and these were not"),
        ("carved-valid", [0, 0, 1, 2], "1 lists were delivered as valid. Choose x-label"),
        ("carved-valid", [0, 0, 0, 0], r"leaves the part 'test' empty \(train / valid / test have 3 / 1 / 0 lists\)"),
        ("carved-valid", [0, 2, 2, 2], r"leaves the part 'train' empty \(train / valid / test have 0 / 1 / 3 lists\)"),
        ("x-label", [0, 0, 2, 2], "leaves the part 'valid' empty .*; there is no fall-back.* carved-valid takes"),
        ("global-time", None, "needs timestamps, and the data has none. Choose by-user under"),
        ("random-811", None, "'random-811' does not part lists; those that do: by-user, carved-valid, global-time, x-"),
        ("leave-last-out", None, "'leave-last-out' does not part lists"),
        ("cold-items", None, "'cold-items' does not part lists"),
    ],
)
def test_what_a_rule_lacks_is_explained(text: str, delivered: list[int] | None, message: str) -> None:
    facts = {} if delivered is None else {"parts": parts(delivered)}
    with pytest.raises(ProtocolError, match=message):
        make_list_split(lists_of([0, 1, 2, 3], **facts), rule(text))


@pytest.mark.parametrize("name", ["by-user", "carved-valid"])
def test_rules_of_lists_do_not_part_interactions(name: str) -> None:
    facts = Interactions(np.arange(5), np.arange(5), 5, 5)
    with pytest.raises(ProtocolError, match=f"'{name}' does not part interactions; those that do: .*random-811"):
        make_split(facts, rule(name), "drop")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{name: by-user, valid_users: 0}", "valid_users"),
        ("{name: by-user, valid_users: 0.5, test_users: 0.5}", "must leave users for training; got 0.5"),
        ("{name: carved-valid, valid_users: 1}", "valid_users"),
        ("{name: carved-valid, valid_user: 0.1}", "did you mean 'valid_users'"),
    ],
)
def test_bad_rules_are_explained(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rule(text)
