"""Every kind of leak is caught by its check where it is planted, and by none where it is not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrec_bench.audit import CHECKS, Made, audit
from mmrec_bench.data.dataset import DataReport
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.data.provenance import Field, Filter, Provenance
from mmrec_bench.data.rules import GlobalTime, XLabel


def verdict(name: str, subject: Any) -> str:
    return CHECKS[name](subject).verdict


def test_clean_data_pass(plant: Any) -> None:
    made = audit(plant.subject())
    assert made.verdict == "pass", {name: found for name, found in made.findings.items() if found.verdict == "warn"}
    assert set(made.findings) == set(CHECKS)
    of_lists = audit(plant.subject(plant.dataset(plant.lists()), "by-user"))
    bad = {name for name, found in of_lists.findings.items() if found.verdict in ("warn", "fail")}
    assert bad == {"future-of-others"}  # whole users are drawn whenever they were there
    assert of_lists.findings["shared-queries"].verdict == of_lists.findings["repeated-rows"].verdict == "pass"


def test_the_documentation_names_every_check() -> None:
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    assert [name for name in CHECKS if f"| `{name}` |" not in page] == []


def test_checks_do_not_change_what_they_look_at(plant: Any) -> None:
    subject = plant.subject()
    before = [part.fingerprint() for part in (subject.dataset, subject.train, *subject.held_out)]
    first, second = audit(subject).as_json(), audit(subject).as_json()
    assert first == second
    assert [part.fingerprint() for part in (subject.dataset, subject.train, *subject.held_out)] == before


# --- time ---------------------------------------------------------------------------------------------------------


def test_one_training_row_of_the_future_breaks_a_promise(plant: Any) -> None:
    subject = plant.subject()
    user = int(subject.test.users[0])
    item = int(np.setdiff1d(np.arange(200), subject.train.items[subject.train.users == user])[0])
    late = plant.with_row(subject.train, user, item, int(subject.test.timestamps.max()) + 1)
    leaked = dataclasses.replace(subject, train=late)
    found = CHECKS["future-of-others"](leaked)
    assert (found.verdict, found.counts["rows"]) == ("fail", 1)
    found = CHECKS["future-of-user"](leaked)
    assert (found.verdict, found.counts["users"]) == ("fail", 1)
    assert f"user u{user}" in found.examples[0]
    assert "Title" in found.examples[0]


@pytest.mark.parametrize(("promised", "others"), [("global", "fail"), ("user", "warn")])
def test_a_rule_that_breaks_its_promise_fails(plant: Any, promised: str, others: str) -> None:
    from_conftest = type(plant).subject.__globals__["BrokenPromise"]
    subject = plant.subject(rule=from_conftest(promised=promised))
    assert verdict("future-of-user", subject) == "fail"
    assert verdict("future-of-others", subject) == others
    assert verdict("held-out-order", subject) == "fail"


def test_a_random_split_is_warned_of_with_its_true_share(plant: Any) -> None:
    subject = plant.subject(rule="random-811")
    found = CHECKS["future-of-user"](subject)
    first = {}
    for part in subject.held_out:
        for user, time in zip(part.users.tolist(), part.timestamps.tolist(), strict=True):
            first[user] = min(time, first.get(user, time))
    late = sum(
        time > first.get(user, 2**62)
        for user, time in zip(subject.train.users.tolist(), subject.train.timestamps.tolist(), strict=True)
    )
    assert found.verdict == "warn"
    assert found.counts["rows"] == late > 0
    assert verdict("tied-times", subject) == "not applicable"


def test_leave_last_out_keeps_users_and_not_others(plant: Any) -> None:
    subject = plant.subject(rule="leave-last-out")
    assert verdict("future-of-user", subject) == "pass"
    assert verdict("future-of-others", subject) == "warn"
    assert verdict("tied-times", subject) == "pass"


def test_order_without_a_clock_tells_of_users_alone(plant: Any) -> None:
    payload = plant.interactions()
    ordered = dataclasses.replace(payload, timestamps=None, order=payload.timestamps)
    subject = plant.subject(plant.dataset(ordered), "leave-last-out")
    assert verdict("future-of-user", subject) == "pass"
    assert verdict("future-of-others", subject) == "not applicable"
    assert (
        verdict(
            "future-of-user", plant.subject(plant.dataset(dataclasses.replace(payload, timestamps=None)), "random-811")
        )
        == "not applicable"
    )


def test_ties_at_the_cut(plant: Any) -> None:
    payload = plant.interactions()
    daily = dataclasses.replace(payload, timestamps=payload.timestamps // 7200 * 7200)
    found = CHECKS["tied-times"](plant.subject(plant.dataset(daily), "leave-last-out"))
    assert found.verdict == "warn"
    assert found.counts["rows"] > 10
    assert verdict("tied-times", plant.subject(plant.dataset(daily))) == "pass"  # a moment is never parted
    subject = plant.subject()
    user = int(subject.valid.users[0])
    free = np.setdiff1d(np.arange(200), subject.train.items[subject.train.users == user])
    tied = plant.with_row(subject.train, user, int(free[0]), int(subject.valid.timestamps[0]))
    assert verdict("tied-times", dataclasses.replace(subject, train=tied)) == "fail"


def test_a_delivered_split_is_held_to_what_the_card_says(plant: Any) -> None:
    payload = plant.interactions()
    labels = np.where(payload.timestamps > np.quantile(payload.timestamps, 0.9), 2, 0).astype(np.int8)
    labels[np.flatnonzero(labels == 0)[::9]] = 1
    dataset = plant.dataset(dataclasses.replace(payload, labels=labels))
    assert verdict("future-of-others", plant.subject(dataset, "x-label")) == "warn"
    declared = Provenance(split="global")
    assert verdict("future-of-others", plant.subject(dataset, "x-label", provenance=declared)) == "fail"


# --- pairs and graph ----------------------------------------------------------------------------------------------


def test_a_held_out_pair_in_train_fails_as_pair_and_as_edge(plant: Any) -> None:
    subject = plant.subject()
    user, item = int(subject.test.users[0]), int(subject.test.items[0])
    leaked = dataclasses.replace(subject, train=plant.with_row(subject.train, user, item, 0))
    for name in ("repeated-pairs", "graph-edges"):
        found = CHECKS[name](leaked)
        assert found.verdict == "fail"
        assert found.examples == (f"user u{user}, i{item} (Title {item})",)


def test_merged_duplicates_across_delivered_parts_are_told(plant: Any) -> None:
    payload = plant.interactions()
    labels = (np.arange(len(payload)) % 10 // 8 + (np.arange(len(payload)) % 10 == 9)).astype(np.int8)
    dataset = plant.dataset(dataclasses.replace(payload, labels=labels))
    dataset = dataclasses.replace(dataset, report=DataReport(n_duplicates=5, n_duplicates_across_parts=2))
    found = CHECKS["repeated-pairs"](plant.subject(dataset, "x-label"))
    assert (found.verdict, found.counts["merged_across_parts"]) == ("warn", 2)
    assert verdict("repeated-pairs", plant.subject(dataset, "random-811")) == "pass"  # which does not go by the parts


def test_made_features_with_a_leak_marker_fail(plant: Any) -> None:
    assert verdict("made-features", plant.subject()) == "not applicable"
    assert verdict("made-features", plant.subject(made=(Made("fused", "ica"),))) == "pass"
    marked = (Made("fused", "ica"), Made.of("future", "lis", {"kind": "next_item"}))
    found = CHECKS["made-features"](plant.subject(made=marked))
    assert found.verdict == "fail"
    assert "future" in found.message
    assert "fused" not in found.message


# --- items --------------------------------------------------------------------------------------------------------


def held_out_item(subject: Any) -> tuple[int, int, int]:
    """Return a held-out row's user and item, and another train item of that user."""
    for user, item in zip(subject.test.users.tolist(), subject.test.items.tolist(), strict=True):
        owned = subject.train.items[subject.train.users == user]
        if len(owned) and item != 7 and (owned := owned[(owned != item) & (owned != 7)]).size:
            return user, item, int(owned[0])
    raise AssertionError


def test_a_near_duplicate_across_the_split_is_found_under_both_ids(plant: Any) -> None:
    _, item, other = held_out_item(plant.subject())
    table = plant.table()
    values = table.values.copy()
    values[item] = 3.0 * values[other] + 1e-3
    copied = FeatureTable("image", values, table.present, "copied")
    found = CHECKS["near-duplicates"](plant.subject(plant.dataset(None, copied)))
    assert found.verdict in ("warn", "fail")
    assert found.counts["image/items"] in (1, 2)
    assert found.counts["image/rows"] >= 1
    assert f"i{item}" in " ".join(found.examples)
    assert f"i{other}" in " ".join(found.examples)


def test_vectors_that_stand_in_for_missing_ones_are_no_duplicates(plant: Any) -> None:
    table = plant.table()
    values = table.values.copy()
    values[20:60] = values[20]
    found = CHECKS["near-duplicates"](
        plant.subject(plant.dataset(None, FeatureTable("image", values, table.present, "")))
    )
    assert found.verdict == "warn"
    assert "stand-ins" in found.message
    assert found.counts["image/items"] == 0
    assert found.counts["image/crowded"] > 10


def test_near_duplicates_are_all_pairs_above_the_cosine(plant: Any) -> None:
    """Against a table of all cosines, on vectors of two numbers, where many are close."""
    values = np.random.default_rng(2).standard_normal((200, 2)).astype(np.float32)
    present = np.arange(200) % 10 > 0
    subject = plant.subject(plant.dataset(None, FeatureTable("image", values, present, "plane")))
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    alike = (unit @ unit.T > 0.999) & ~np.eye(200, dtype=bool) & present & present[:, None]
    alike &= np.isin(np.arange(200), subject.train.items)
    held_out = np.isin(np.arange(200), np.concatenate([part.items for part in subject.held_out]))
    n_alike = alike.sum(axis=1)
    found = CHECKS["near-duplicates"](subject).counts
    assert found["image/items"] == (held_out & (n_alike > 0) & (n_alike < 10)).sum() > 20
    assert found["image/crowded"] == (held_out & (n_alike >= 10)).sum()
    owned = {
        (user, item) for user, item in zip(subject.train.users.tolist(), subject.train.items.tolist(), strict=True)
    }
    given = [
        any((user, other) in owned for other in np.flatnonzero(alike[item])) and n_alike[item] < 10
        for part in subject.held_out
        for user, item in zip(part.users.tolist(), part.items.tolist(), strict=True)
    ]
    assert found["image/rows"] == sum(given) > 0


def test_a_cold_item_with_a_warm_twin_is_told(plant: Any) -> None:
    world = plant.subject(rule="cold-items")
    cold = np.setdiff1d(world.test.items, np.append(world.train.items, 7))[0]
    warm = np.setdiff1d(world.train.items, 7)[0]
    values = plant.table().values.copy()
    values[cold] = values[warm]
    table = FeatureTable("image", values, plant.table().present, "copied")
    found = CHECKS["near-duplicates"](plant.subject(plant.dataset(None, table), "cold-items"))
    assert found.counts["image/cold_items"] == 1
    assert "(1 of them cold)" in found.message


def test_a_budget_bounds_the_search_and_says_so(plant: Any) -> None:
    found = CHECKS["near-duplicates"](plant.subject(budget=200 * 16 * 5))
    assert 1 <= found.counts["image/searched"] <= 8
    assert CHECKS["near-duplicates"](plant.subject()).counts["image/searched"] > 50


def test_identical_titles_unless_features_tell_them_apart(plant: Any) -> None:
    _, item, other = held_out_item(plant.subject())
    titles = [f"Title {row}" for row in range(200)]
    titles[item], titles[other] = "The  Same Thing", "the same thing"
    found = CHECKS["identical-titles"](plant.subject(plant.dataset(titles=titles)))
    assert (found.verdict, found.counts["items"]) == ("pass", 0)
    assert found.counts["told_apart"] >= 1
    subject = plant.subject(dataclasses.replace(plant.dataset(titles=titles), features={}))
    found = CHECKS["identical-titles"](subject)
    assert found.verdict in ("warn", "fail")
    assert found.counts["rows"] >= 1
    assert "(The Same Thing)" in " ".join(found.examples)
    crowd = dataclasses.replace(plant.dataset(titles=["Book"] * 40 + titles[40:]), features={})
    assert CHECKS["identical-titles"](plant.subject(crowd)).counts["crowded"] > 10


# --- features that know -------------------------------------------------------------------------------------------


def propagated(rows: Interactions) -> FeatureTable:
    """Return items as sums of random vectors of the users of some rows: one hop on their graph."""
    users = np.random.default_rng(1).standard_normal((rows.n_users, 64)).astype(np.float32)
    vectors = rows.matrix().T @ users
    return FeatureTable("text", vectors, (vectors != 0).any(axis=1), "one hop")


def test_features_made_of_held_out_rows_bring_them_together(plant: Any) -> None:
    world = plant.dataset()
    subject = plant.subject(world, "random-811")
    whole = subject.dataset.payload
    held_out = np.isin(whole.keys(), np.concatenate([part.keys() for part in subject.held_out]))
    some = held_out | (np.random.default_rng(0).random(len(whole)) < 0.2)
    expected = {
        "held out": "fail",
        "held out and some of train": "fail",
        "train": "pass",
        "all": "pass",
        "chance": "pass",
    }
    tables = {
        "held out": propagated(whole.select(held_out)),
        "held out and some of train": propagated(whole.select(some)),
        "train": propagated(subject.train),
        "all": propagated(whole),  # what no look at the vectors can tell from content
        "chance": plant.table(),
    }
    for name, table in tables.items():
        asked = dataclasses.replace(subject, dataset=dataclasses.replace(world, features={"text": table}))
        found = CHECKS["features-know-held-out"](asked)
        assert found.verdict == expected[name], (name, found)
    delivered = dataclasses.replace(
        subject,
        rule=XLabel(),
        dataset=dataclasses.replace(world, features={"text": tables["held out and some of train"]}),
    )
    assert verdict("features-know-held-out", delivered) == "warn"  # whose held-out rows may follow one another
    few = dataclasses.replace(plant.interactions(), timestamps=None).select(np.arange(200))
    assert verdict("features-know-held-out", plant.subject(plant.dataset(few), "random-811")) == "not applicable"


def test_a_column_that_counts_held_out_rows(plant: Any) -> None:
    world = plant.dataset()
    total = world.payload.item_counts().astype(np.float32)
    for rule, column, expected in (
        ("random-811", total, "fail"),
        ("random-811", -np.log1p(total), "fail"),  # such as a sales rank
        ("global-time", total, "fail"),
        ("random-811", plant.subject(rule="random-811").train.item_counts().astype(np.float32), "pass"),
        ("random-811", np.random.default_rng(0).random(200).astype(np.float32), "pass"),
        ("random-811", 1 / (1 + np.arange(200, dtype=np.float32)), "pass"),  # what popularity truly hangs on
    ):
        values = np.stack((np.sin(np.arange(200, dtype=np.float32) ** 2), column), axis=1)
        table = FeatureTable("facts", values, np.ones(200, bool), "counted")
        found = CHECKS["counts-of-held-out"](plant.subject(plant.dataset(None, table), rule))
        assert found.verdict == expected, (rule, found)
        if expected == "fail":
            assert found.message.startswith("column 1 (from 0) of facts")
    wide = plant.dataset(None, plant.table(dim=65))
    assert verdict("counts-of-held-out", plant.subject(wide)) == "not applicable"


# --- filters ------------------------------------------------------------------------------------------------------


def core(interactions: Interactions, k: int) -> Interactions:
    """Return the k-core of users."""
    keep = interactions.user_counts() >= k
    return interactions.select(keep[interactions.users])


def test_a_filter_on_all_rows_shows_in_the_degrees(plant: Any) -> None:
    subject = plant.subject(plant.dataset(core(plant.interactions(), 3)), "leave-last-out")
    found = CHECKS["filter-on-all"](subject)
    assert (found.verdict, found.counts["user_rows"]) == ("warn", 3)
    assert (
        found.counts["users_below"]
        == (subject.train.user_counts()[subject.dataset.payload.user_counts() > 0] < 3).sum()
    )
    assert verdict("filter-on-all", plant.subject(rule="leave-last-out")) == "pass"


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("none", "pass"),
        (Filter(user_rows=3), "warn"),
        (Filter(user_rows=4), "warn"),  # which the data does not keep
        (Filter(user_rows=3, counted_on="train"), "warn"),  # on the delivered train part, which is parted anew
    ],
)
def test_a_declared_filter_is_held_against_the_data(plant: Any, declared: Any, expected: str) -> None:
    dataset = plant.dataset(core(plant.interactions(), 3))
    subject = plant.subject(dataset, "leave-last-out", provenance=Provenance(filter=declared))
    assert verdict("filter-on-all", subject) == expected


# --- fields -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "declared", "expected"),
    [
        ({"image": "image_feat.npy"}, {}, "pass"),
        ({"text": "review_feat.npy"}, {}, "warn"),
        ({"average_rating": "average_rating"}, {}, "warn"),
        ({"salesRank": ""}, {}, "warn"),
        ({"brand": "brand", "country": "country", "texture": ""}, {}, "pass"),
        ({"average_rating": ""}, {"average_rating": Field(made_of="interactions")}, "fail"),
        ({"average_rating": ""}, {"average_rating": Field(made_of="interactions", until="2000-01-01")}, "pass"),
        ({"average_rating": ""}, {"average_rating": Field(made_of="content")}, "pass"),
        ({"image": ""}, {"image": Field(until="2050-01-01")}, "fail"),
        ({"image": ""}, {"image": Field(made_of="train")}, "fail"),
    ],
)
def test_fields_made_after_the_cut(plant: Any, fields: Any, declared: Any, expected: str) -> None:
    subject = plant.subject(fields=fields, provenance=Provenance(fields=declared))
    assert verdict("late-fields", subject) == expected


def test_a_table_that_only_an_encoder_reads_is_judged_too(plant: Any) -> None:
    declared = Provenance(fields={"reviews": Field(made_of="interactions")})
    assert verdict("late-fields", plant.subject(fields={"image": ""}, provenance=declared)) == "pass"
    made = (Made("fused", "ica"),)
    assert verdict("late-fields", plant.subject(fields={"image": ""}, provenance=declared, made=made)) == "fail"


# --- lists --------------------------------------------------------------------------------------------------------


def test_queries_in_both_parts(plant: Any) -> None:
    lists = plant.lists()
    subject = plant.subject(plant.dataset(lists), "by-user")
    found = CHECKS["shared-queries"](subject)
    assert found.verdict == "pass"
    leaked = dataclasses.replace(subject, test=lists.select(np.arange(10)), train=lists.select(np.arange(10, 180)))
    assert verdict("shared-queries", leaked) == "fail"
    assert verdict("shared-queries", dataclasses.replace(leaked, rule=GlobalTime())) == "warn"


def test_rows_and_lists_that_occur_again(plant: Any) -> None:
    lists = plant.lists()
    subject = plant.subject(plant.dataset(lists), "by-user")
    assert subject.train.features is not None
    features, labels = subject.test.features.copy(), subject.test.labels.copy()
    features[3], labels[3] = subject.train.features[10], (subject.train.labels[10] + 1) % 3
    row = dataclasses.replace(subject, test=dataclasses.replace(subject.test, features=features, labels=labels))
    found = CHECKS["repeated-rows"](row)
    assert (found.verdict, found.counts["rows"], found.counts["other_label"]) == ("warn", 1, 1)
    assert verdict("repeated-lists", row) == "pass"
    features[:6] = subject.train.features[6:12][::-1]  # in another order, under another query
    query = dataclasses.replace(subject, test=dataclasses.replace(subject.test, features=features))
    found = CHECKS["repeated-lists"](query)
    assert (found.verdict, found.counts["lists"]) == ("fail", 1)
    assert verdict("repeated-rows", query) == "fail"


def test_rows_of_zeros_are_no_repetition(plant: Any) -> None:
    lists = plant.lists()
    empty = dataclasses.replace(lists, features=np.zeros_like(lists.features))
    subject = plant.subject(plant.dataset(empty), "by-user")
    assert verdict("repeated-rows", subject) == verdict("repeated-lists", subject) == "pass"


def test_a_training_list_of_the_future(plant: Any) -> None:
    lists = plant.lists()
    subject = plant.subject(plant.dataset(lists))
    assert verdict("future-of-others", subject) == verdict("future-of-user", subject) == "pass"
    late = dataclasses.replace(subject, train=lists.select(np.append(np.arange(140), 179)))
    assert verdict("future-of-others", late) == "fail"


def test_the_target_in_the_history(plant: Any) -> None:
    lists = plant.lists()
    wanted = np.flatnonzero(lists.labels > 0)
    first = wanted[np.unique(lists.list_of[wanted], return_index=True)[1]]
    offsets = np.searchsorted(lists.list_of[first], np.arange(lists.n_lists + 1))
    leaked = dataclasses.replace(lists, histories=Histories(offsets.astype(np.int64), lists.items[first]))
    subject = plant.subject(plant.dataset(leaked), "by-user")
    found = CHECKS["target-in-history"](subject)
    assert found.verdict == "warn"
    assert found.counts["share"] > 0.9
    none = Histories(np.zeros(lists.n_lists + 1, np.int64), np.zeros(0, np.int64))
    clean = plant.subject(plant.dataset(dataclasses.replace(lists, histories=none)), "by-user")
    assert verdict("target-in-history", clean) == "pass"
    assert isinstance(lists, Lists)
