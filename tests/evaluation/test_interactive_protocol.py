"""The section ``protocol`` of sessions: every key is read, and what cannot be is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mmrec_bench.errors import ConfigError
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.settings import Document


def protocol(**keys: Any) -> InteractiveProtocol:
    return InteractiveProtocol.model_validate(keys)


def test_the_id_tells_candidates_and_users_and_changes_with_every_key() -> None:
    plain = protocol()
    assert plain.id.startswith("interactive/sampled-30/noise-free/")
    assert protocol(candidates="full", user="no-click").id.startswith("interactive/full/no-click/")
    changes: list[dict[str, Any]] = [
        {"split": {"name": "online-users", "seed": 1}},
        {"split": {"name": "online-users", "held_out": 2}},
        {"candidates": {"name": "sampled", "n": 31}},
        {"candidates": {"name": "sampled", "seed": 2}},
        {"candidates": "full"},
        {"queries": {"name": "mined", "max_words": 1}},
        {"queries": {"name": "mined", "min_items": 4}},
        {"queries": {"name": "mined", "max_share": 0.4}},
        {"queries": {"name": "mined", "title_min_items": 4}},
        {"queries": {"name": "mined", "fields": ["brand"]}},
        {"queries": {"name": "logged", "file": "queries.jsonl"}},
        {"queries": {"name": "logged", "file": "queries.jsonl", "min_count": 2}},
        {"user": "impatient"},
        {"user": {"name": "noisy", "seed": 1}},
        {"user": {"name": "noisy", "miss": 0.2}},
        {"user": {"name": "noisy", "slip": 0.2}},
        {"sessions_per_user": 2},
        {"slots": 2},
        {"cutoffs": [3, 5]},
        {"metrics": ["success", "turns"]},
        {"select_by": "success@10"},
        {"last_guess": False},
        {"penalty": 2.0},
        {"tie_seed": 5},
    ]
    ids = [plain.id, *(protocol(**change).id for change in changes)]
    assert len(set(ids)) == len(ids)


def test_it_is_written_and_read_again() -> None:
    given = protocol(user={"name": "noisy", "miss": 0.3}, candidates={"name": "sampled", "n": 12}, slots=3)
    assert protocol(**yaml.safe_load(yaml.safe_dump(given.model_dump(mode="json")))) == given


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"split": "random-811"}, r"protocol\.split is online-users; got random-811"),
        ({"split": {"name": "online-users", "valid_users": 0.6, "test_users": 0.5}}, "must leave users offline"),
        ({"cutoffs": [5, 3]}, r"cutoffs must rise without repeats; got \[5, 3\]"),
        ({"cutoffs": [5, 5]}, "must rise without repeats"),
        ({"cutoffs": []}, "at least 1 item"),
        ({"metrics": ["success", "success"]}, "must not repeat"),
        ({"metrics": ["succes"]}, "did you mean 'success'"),
        ({"select_by": "success@7"}, "select_by metric.*success@7"),
        ({"select_by": "turns@5"}, "select_by metric"),
        ({"user": "nosy"}, "did you mean 'noisy'"),
        ({"user": {"name": "noise-free", "miss": 0.1}}, "miss"),
        ({"user": {"name": "noisy", "miss": 2}}, "less than or equal to 1"),
        ({"candidates": {"name": "sampled", "n": 3}}, "n must exceed wanted"),
        ({"candidates": {"name": "full", "n": 30}}, "n"),
        ({"candidates": "sample"}, "did you mean 'sampled'"),
        ({"queries": "minded"}, "did you mean 'mined'"),
        ({"queries": "logged"}, "file"),
        ({"queries": {"name": "mined", "max_words": 3}}, "max_words"),
        ({"queries": {"name": "mined", "file": "queries.jsonl"}}, "file"),
        ({"queries": {"name": "mined", "fields": []}}, "fields.*at least 1 item"),
        ({"slots": 31}, "slots must not exceed candidates.n.* got 31 and 30"),
        ({"penalty": -1}, "greater than or equal to 0"),
        ({"cold_users": "keep"}, "cold_users"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Document("protocol.yaml", keys).parse(InteractiveProtocol)
    with pytest.raises(ValidationError):
        protocol(**keys)
