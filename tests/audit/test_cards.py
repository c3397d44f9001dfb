"""What the audit says of every card, and why that is true."""

from __future__ import annotations

import pytest

from mmrec_bench.audit import Audit
from mmrec_bench.data.cards import load_card
from mmrec_bench.experiments.auditing import audit_rule, rule_of
from mmrec_bench.experiments.prepare import Preparer

TIME = {"future-of-user", "future-of-others"}
WORLDS = ("synthetic", "synthetic-collaborative", "synthetic-image", "synthetic-text")


PREPARER = Preparer(None)  # makes each world once


def audits(card: str, rule: str, kind: str = "interactions") -> Audit:
    """Return the first audit of this kind; later ones are not made."""
    found = audit_rule(card, rule_of(rule, ()), PREPARER)
    return next(item.audited.audit for item in found if item.kind == kind)


def bad(audit: Audit) -> dict[str, str]:
    return {name: found.verdict for name, found in audit.findings.items() if found.verdict in ("warn", "fail")}


@pytest.mark.parametrize("card", WORLDS)
def test_synthetic_worlds_under_a_cut_in_time_pass(card: str) -> None:
    assert bad(audits(card, "global-time")) == {}


@pytest.mark.parametrize("card", WORLDS)
def test_synthetic_worlds_under_chance_train_on_the_future(card: str) -> None:
    assert bad(audits(card, "random-811")) == dict.fromkeys(TIME, "warn")


def test_leave_last_out_trains_on_the_future_of_others() -> None:
    assert bad(audits("synthetic", "leave-last-out")) == {"future-of-others": "warn"}


def test_lists_of_a_world() -> None:
    """Users come again, and may choose again what they have: candidates are drawn of the whole catalogue."""
    found = audits("synthetic-ranking", "by-user", "lists")
    assert bad(found) == {"future-of-others": "warn", "target-in-history": "warn"}
    found = audits("synthetic-ranking", "global-time", "lists")
    assert bad(found) == dict.fromkeys(("shared-queries", "repeated-pairs", "target-in-history"), "warn")


@pytest.mark.data
def test_movielens() -> None:
    """MovieLens kept users of 20 ratings and more; rows of a user share seconds; two films are called Cape Fear."""
    by_time = audits("movielens-100k", "global-time")
    assert bad(by_time) == {"filter-on-all": "warn", "identical-titles": "warn"}
    assert by_time.findings["filter-on-all"].counts["user_rows"] == 20
    assert "Cape Fear" in " ".join(by_time.findings["identical-titles"].examples)
    last = audits("movielens-100k", "leave-last-out")
    assert set(bad(last)) == {"filter-on-all", "identical-titles", "future-of-others", "tied-times"}
    assert last.findings["tied-times"].counts["users"] == 422


@pytest.mark.data
@pytest.mark.parametrize("card", ["amazon-baby", "amazon-sports"])
def test_amazon_is_a_core_of_five_of_all_rows(card: str) -> None:
    found = audits(card, "x-label")
    assert set(bad(found)) <= {"filter-on-all", "near-duplicates"}
    counts = found.findings["filter-on-all"].counts
    assert (counts["user_rows"], counts["item_rows"]) == (5, 5)
    assert counts["users_below"] > 0.5 * counts["users"]
    assert found.verdict == "warn"


@pytest.mark.data
def test_a_core_nobody_declares_shows_in_the_degrees() -> None:
    assert load_card("amazon-scientific").provenance.filter is None
    found = audits("amazon-scientific", "leave-last-out").findings
    assert found["filter-on-all"].counts["user_rows"] == 5
    assert found["future-of-others"].verdict == "not applicable"  # an order is no clock


@pytest.mark.data
def test_tiktok_has_videos_of_one_sound() -> None:
    found = audits("tiktok", "x-label")
    assert bad(found) == {"near-duplicates": "warn"}
    counts = found.findings["near-duplicates"].counts
    assert counts["audio/items"] > 100
    assert counts["image/items"] == 0


@pytest.mark.data
def test_learning_to_rank() -> None:
    """The example of LightGBM holds a query twice under two numbers; MQ2008 does not."""
    assert bad(audits("mq2008-fold1", "carved-valid", "lists")) == {}
    found = audits("lightgbm-rank", "carved-valid", "lists")
    assert bad(found) == {"repeated-lists": "fail", "repeated-rows": "warn"}
