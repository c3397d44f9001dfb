"""Split rules against their definitions, and the split against its report."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mmrec_bench.data.folds import WithoutFold
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.rules import SPLITS, ColdUsers, Random811, SplitConfig, SplitRule
from mmrec_bench.data.split import Split, VaultLedger
from mmrec_bench.data.splitting import make_split
from mmrec_bench.errors import ConfigError, ProtocolError
from mmrec_bench.settings import BaseConfig, parse_yaml


class Protocol(BaseConfig):
    split: SplitRule


def rule(text: str) -> SplitConfig:
    return parse_yaml(f"split: {text}", "test").parse(Protocol).split


def facts_of(counts: list[int], n_items: int = 60, seed: int = 0, span: int | None = None) -> Interactions:
    """Users with so many interactions each, at random times (within ``span`` seconds, so that times repeat)."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(len(counts)), counts)
    items = np.concatenate([rng.permutation(n_items)[:n] for n in counts]).astype(np.int64)
    times = rng.integers(0, span or 10**9, len(users))
    rows = rng.permutation(len(users))
    return Interactions(users[rows], items[rows], len(counts), n_items, timestamps=times[rows])


def parts_of(split: Split[Interactions]) -> dict[str, Interactions]:
    return {"train": split.train, "valid": split.valid, "test": split.test.open("test of the split", VaultLedger())}


def pairs_of(part: Interactions) -> set[tuple[int, int]]:
    return set(zip(part.users.tolist(), part.items.tolist(), strict=True))


WHOLE = sorted(name for name in SPLITS if SPLITS[name] is not WithoutFold)
"""Rules that leave out no row of users who are known."""
COUNTS = [0, 1, 2, 3, 4, 5, 9, 10, 11, 14, 15, 19, 20, 37, 60]


def test_random_811_holds_out_as_many_rows_as_mmrec() -> None:
    split = make_split(facts_of(COUNTS), rule("random-811"))
    parts = {name: part.user_counts().tolist() for name, part in parts_of(split).items()}
    for user, n in enumerate(COUNTS):
        held_out = 0 if n < 3 else 2 if n < 10 else math.floor(0.2 * n)
        n_valid = math.floor(held_out / 2)
        expected = (n - held_out, n_valid, held_out - n_valid)
        assert (parts["train"][user], parts["valid"][user], parts["test"][user]) == expected, n
    assert split.report.notes == ("2 users have fewer than 3 rows and are for training alone",)


def test_random_811_is_uniform_over_a_users_rows() -> None:
    facts = facts_of([10])
    tested = np.zeros(facts.n_items)
    for seed in range(2000):
        labels = Random811(seed=seed).assign(facts).labels
        tested[facts.items[labels == 2]] += 1
    of_user = tested[facts.items]
    # 2,000 draws of one row in ten: mean 200, standard deviation 13.4
    assert of_user.sum() == 2000
    assert (np.abs(of_user - 200) < 5 * 13.4).all()


def test_random_811_does_not_change_with_other_users_or_a_larger_catalogue() -> None:
    facts = facts_of([20, 20])
    alone = facts.select(facts.users == 0)
    larger = Interactions(alone.users, alone.items, 5, 1000)
    of_all = {
        name: {pair for pair in pairs_of(part) if pair[0] == 0}
        for name, part in parts_of(make_split(facts, rule("random-811"))).items()
    }
    of_one = {name: pairs_of(part) for name, part in parts_of(make_split(larger, rule("random-811"))).items()}
    assert of_all == of_one


def test_random_811_depends_on_its_seed() -> None:
    facts = facts_of([20] * 5)
    splits = [make_split(facts, rule(f"{{name: random-811, seed: {seed}}}")).fingerprint() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def test_leave_last_out_takes_the_last_two_in_time() -> None:
    facts = facts_of([2, 3, 10, 40])
    parts = parts_of(make_split(facts, rule("leave-last-out")))
    for user in (1, 2, 3):
        rows = np.flatnonzero(facts.users == user)
        by_time = facts.items[rows[np.argsort(facts.timestamps[rows])]].tolist()  # type: ignore[index]
        of_user = {name: part.items[part.users == user].tolist() for name, part in parts.items()}
        assert of_user["test"] == by_time[-1:]
        assert of_user["valid"] == by_time[-2:-1]
        assert sorted(of_user["train"]) == sorted(by_time[:-2])
    assert parts["train"].user_counts()[0] == 2


def test_cold_items_are_withheld_whole_and_the_others_parted_as_ever() -> None:
    facts = facts_of([20] * 40)
    parts = parts_of(make_split(facts, rule("{name: cold-items, seed: 3, valid_items: 0.2, test_items: 0.1}")))
    train, valid, test = (set(parts[name].items.tolist()) for name in ("train", "valid", "test"))
    cold_valid, cold_test = valid - train, test - train
    assert len(cold_valid) == round(0.2 * facts.n_items)
    assert len(cold_test) == round(0.1 * facts.n_items)
    assert not cold_valid & test
    assert not cold_test & valid
    warm = facts.select(np.isin(facts.items, list(train)))
    others = parts_of(make_split(warm, rule("{name: random-811, seed: 3}")))
    for name in ("train", "valid", "test"):
        rows = parts[name].select(np.isin(parts[name].items, list(train)))
        assert pairs_of(rows) == pairs_of(others[name])


def test_the_seed_draws_the_cold_items() -> None:
    facts = facts_of([20] * 40)
    drawn = {
        seed: frozenset(
            parts_of(make_split(facts, rule(f"{{name: cold-items, seed: {seed}}}")))["train"].items.tolist()
        )
        for seed in range(3)
    }
    assert len(set(drawn.values())) == 3


def test_leave_last_out_takes_an_order_where_there_is_no_clock() -> None:
    items = np.array([3, 1, 0, 2])
    facts = Interactions(np.zeros(4, int), items, 1, 4, order=np.array([2, 0, 3, 1]))
    parts = parts_of(make_split(facts, rule("leave-last-out")))
    assert [parts[name].items.tolist() for name in ("train", "valid", "test")] == [[1, 2], [3], [0]]


def test_leave_last_out_reports_ties_and_breaks_them_by_seed() -> None:
    # user 0: the last two are tied; users 1 and 2: only the first two are, which decides nothing
    users, times = np.repeat([0, 1, 2], 4), np.array([1, 2, 9, 9, 1, 1, 2, 3, 1, 1, 3, 4])
    facts = Interactions(users, np.tile(np.arange(4), 3), 3, 4, timestamps=times)
    split = make_split(facts, rule("leave-last-out"))
    assert split.report.notes == (
        "50.00% of the rows share their time with another row of the user; for 1 of 3 users a seeded hash decides what "
        "is held out",
    )
    tested = {
        seed: parts_of(make_split(facts, rule(f"{{name: leave-last-out, seed: {seed}}}")))["test"].items.tolist()
        for seed in range(20)
    }
    assert {items[0] for items in tested.values()} == {2, 3}
    assert {tuple(items[1:]) for items in tested.values()} == {(3, 3)}


@given(
    st.sampled_from(["random-811", "leave-last-out", "global-time", "cold-items"]), st.randoms(use_true_random=False)
)
def test_the_order_of_rows_does_not_change_a_split(name: str, random: Any) -> None:
    facts = facts_of([3, 5, 12, 30], span=20)  # times repeat within and across users
    rows = list(range(len(facts)))
    random.shuffle(rows)
    shuffled = facts.select(np.array(rows))
    one, two = make_split(facts, rule(name)), make_split(shuffled, rule(name))
    assert one.fingerprint() == two.fingerprint()
    assert one.report == two.report
    assert one.train.users.tolist() == two.train.users.tolist(), "the rows of a part have one order"


@given(st.lists(st.integers(0, 25), min_size=1, max_size=12), st.integers(0, 3), st.sampled_from(WHOLE))
def test_parts_are_disjoint_and_nothing_is_lost(counts: list[int], seed: int, name: str) -> None:
    facts = facts_of([*counts, 12], seed=seed, span=50)
    labels = np.random.default_rng(seed).integers(0, 3, len(facts)).astype(np.int8)
    facts = Interactions(
        facts.users, facts.items, facts.n_users, facts.n_items, timestamps=facts.timestamps, labels=labels
    )
    for cold_users in ("drop", "keep"):
        try:
            split = make_split(facts, rule(name), cold_users)  # type: ignore[arg-type]
        except ProtocolError:
            continue
        pairs = {part: pairs_of(rows) for part, rows in parts_of(split).items()}
        together = pairs["train"] | pairs["valid"] | pairs["test"]
        assert len(together) == sum(map(len, pairs.values())), "disjoint"
        dropped = sum(split.report.cold_users_dropped.values())
        assert len(together) + dropped == len(facts)
        assert together <= pairs_of(facts)
        assert cold_users == "drop" or dropped == 0


def test_delivered_labels_are_taken_and_leave_the_parts() -> None:
    facts = facts_of([6, 6])
    labels = np.where(np.arange(12) % 3 == 0, 2, np.where(np.arange(12) % 3 == 1, 1, 0)).astype(np.int8)
    labelled = Interactions(facts.users, facts.items, 2, 60, timestamps=facts.timestamps, labels=labels)
    parts = parts_of(make_split(labelled, rule("x-label"), "keep"))
    for label, name in enumerate(("train", "valid", "test")):
        assert pairs_of(parts[name]) == pairs_of(labelled.select(labels == label))
        assert parts[name].labels is None
        assert parts[name].timestamps is not None


def test_global_time_by_fractions() -> None:
    facts = Interactions(np.zeros(20, int), np.arange(20), 1, 20, timestamps=np.arange(20)[::-1] * 10)
    parts = parts_of(make_split(facts, rule("{name: global-time, valid_fraction: 0.2, test_fraction: 0.1}")))
    times = {name: sorted(part.timestamps.tolist()) for name, part in parts.items()}  # type: ignore[union-attr]
    assert times == {"train": list(range(0, 140, 10)), "valid": [140, 150, 160, 170], "test": [180, 190]}


def test_global_time_never_parts_one_second() -> None:
    times = np.array([1] * 5 + [2] * 6 + [3] * 9)
    facts = Interactions(np.zeros(20, int), np.arange(20), 1, 20, timestamps=times)
    split = make_split(facts, rule("{name: global-time, valid_fraction: 0.4, test_fraction: 0.2}"))
    assert split.report.counts == {"train": 5, "valid": 6, "test": 9}
    assert split.report.notes == (
        "validation starts at 1970-01-01T00:00:02+00:00, the test at 1970-01-01T00:00:03+00:00",
    )


@pytest.mark.parametrize(
    "moments",
    [
        "valid_from: 2014-01-02, test_from: 2014-01-03",
        "valid_from: 1388620800, test_from: 2014-01-03T00:00:00Z",
        "valid_from: '2014-01-02T02:00:00+02:00', test_from: '2014-01-03 00:00:00'",
    ],
)
def test_global_time_by_moments(moments: str) -> None:
    start = 1388534400  # 2014-01-01 UTC
    facts = Interactions(np.zeros(6, int), np.arange(6), 1, 6, timestamps=start + 43_200 * np.arange(6))
    split = make_split(facts, rule(f"{{name: global-time, {moments}}}"))
    assert split.report.counts == {"train": 2, "valid": 2, "test": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x-labels", "unknown split rule 'x-labels'; did you mean 'x-label'"),
        ("{seed: 3}", "needs a name"),
        ("7", "needs a name"),
        ("{name: random-811, sed: 3}", "unknown key; did you mean 'seed'"),
        ("{name: random-811, seed: -1}", "greater than or equal to 0; got -1"),
        ("{name: cold-items, valid_items: 0.5, test_items: 0.5}", "must leave items for training; got 0.5 \\+ 0.5"),
        ("{name: x-label, seed: 1}", "split.seed: unknown key"),
        ("{name: global-time, valid_fraction: 0}", "split.valid_fraction: .*greater than 0; got 0"),
        ("{name: global-time, valid_fraction: 0.5, test_fraction: 0.5}", "must leave rows for training"),
        ("{name: global-time, valid_from: 2014-01-01}", "needs both"),
        ("{name: global-time, valid_from: 1, test_from: 2, test_fraction: 0.1}", "either moments or fractions"),
        (
            "{name: global-time, valid_from: 2014-02-30, test_from: 2015-01-01}",
            "a moment is ISO 8601.*got '2014-02-30'",
        ),
        ("{name: global-time, valid_from: 2015-01-01, test_from: 2014-01-01}", "valid_from must be before test_from"),
    ],
)
def test_bad_rules_are_explained(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rule(text)


@pytest.mark.parametrize(
    "text",
    [
        *WHOLE,
        "{name: random-811, seed: 3}",
        "{name: global-time, valid_from: 2014-01-01, test_from: 2014-02-01}",
        "{name: without-fold, of: {name: leave-last-out}, share: 0.1}",
    ],
)
def test_a_resolved_rule_loads_again(text: str) -> None:
    protocol = Protocol.model_validate({"split": rule(text)})
    again = Protocol.model_validate(protocol.model_dump())
    assert again == protocol
    assert Protocol.model_validate_json(protocol.model_dump_json()) == protocol
    assert type(again.split) is SPLITS[again.split.name]


def test_every_rule_is_hashable_config() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        rule("random-811").name = "other"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x-label", "needs labels delivered with the data"),
        ("leave-last-out", "needs timestamps or an order"),
        ("global-time", "needs timestamps"),
    ],
)
def test_missing_facts_are_no_reason_to_fall_back(name: str, message: str) -> None:
    bare = Interactions(np.repeat([0, 1], 5), np.tile(np.arange(5), 2), 2, 5)
    with pytest.raises(ProtocolError, match=message):
        make_split(bare, rule(name))


def test_an_order_is_no_clock() -> None:
    facts = Interactions(np.zeros(5, int), np.arange(5), 1, 5, order=np.arange(5))
    with pytest.raises(ProtocolError, match="needs timestamps"):
        make_split(facts, rule("global-time"))


@pytest.mark.parametrize(("missing", "label"), [("train", 0), ("valid", 1), ("test", 2)])
def test_an_empty_part_is_an_error(missing: str, label: int) -> None:
    labels = np.array([0, 1, 2, 0, 1, 2], np.int8)
    labels[labels == label] = (label + 1) % 3
    facts = Interactions(np.zeros(6, int), np.arange(6), 1, 6, labels=labels)
    with pytest.raises(ProtocolError, match=f"leaves the part '{missing}' empty.*there is no fall-back"):
        make_split(facts, rule("x-label"), "keep")


def test_a_part_that_only_cold_users_have_is_an_error_that_says_so() -> None:
    facts = Interactions(np.array([0, 0, 1, 1]), np.arange(4), 2, 4, labels=np.array([0, 1, 2, 2], np.int8))
    with pytest.raises(ProtocolError, match="2 of 'test' belong to users without a training row"):
        make_split(facts, rule("x-label"))
    assert make_split(facts, rule("x-label"), "keep").report.cold_users == {"valid": 0, "test": 1}


@pytest.mark.parametrize("cold_users", ["drop", "keep"])
def test_cold_users_and_items_are_counted(cold_users: ColdUsers) -> None:
    #         train         valid           test
    users = [*[0, 0, 1], *[0, 2, 2, 3], *[1, 2, 4]]
    items = [*[0, 1, 2], *[3, 0, 4, 4], *[3, 1, 5]]
    labels = np.array([0] * 3 + [1] * 4 + [2] * 3, np.int8)
    split = make_split(Interactions(np.array(users), np.array(items), 6, 7, labels=labels), rule("x-label"), cold_users)
    report = split.report
    assert report.cold_users == {"valid": 2, "test": 2}
    if cold_users == "keep":
        assert report.cold_users_dropped == {"valid": 0, "test": 0}
        assert report.counts == {"train": 3, "valid": 4, "test": 3}
        assert report.users == {"train": 2, "valid": 3, "test": 3}
        assert report.cold_items == {"valid": 2, "test": 2}
    else:
        assert report.cold_users_dropped == {"valid": 3, "test": 2}
        assert report.counts == {"train": 3, "valid": 1, "test": 1}
        assert report.users == {"train": 2, "valid": 1, "test": 1}
        assert report.cold_items == {"valid": 1, "test": 1}
    assert (split.train.n_users, split.train.n_items) == (6, 7)


@pytest.mark.parametrize("choose", ["latest", "random"])
def test_a_fold_is_a_share_of_every_users_training_rows_and_of_nothing_else(choose: str) -> None:
    facts = facts_of([3, 10, 40])
    whole = parts_of(make_split(facts, rule("{name: random-811, seed: 1}")))
    less = parts_of(
        make_split(
            facts, rule(f"{{name: without-fold, of: {{name: random-811, seed: 1}}, share: 0.2, choose: {choose}}}")
        )
    )
    assert pairs_of(less["valid"]) == pairs_of(whole["valid"])
    assert pairs_of(less["test"]) == pairs_of(whole["test"])
    fold = pairs_of(whole["train"]) - pairs_of(less["train"])
    assert pairs_of(less["train"]) < pairs_of(whole["train"])
    # training rows are 1, 8 and 32: a user with one row keeps it
    assert [sum(user == held for held, _ in fold) for user in range(3)] == [0, 1, 6]
    if choose == "latest":
        clock = {
            (user, item): time for user, item, time in zip(facts.users, facts.items, facts.timestamps, strict=True)
        }  # type: ignore[arg-type]
        for user in (1, 2):
            kept = [clock[pair] for pair in pairs_of(less["train"]) if pair[0] == user]
            assert max(kept) <= min(clock[pair] for pair in fold if pair[0] == user)
