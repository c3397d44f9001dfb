"""Data without any difference: how often tests find one all the same, and that the wrong ones are caught at it."""

from __future__ import annotations

import pytest

from tests.perf.sizes import SCENES, sizes

FAST = 300
"""Trials; of 5 % the standard error is 1.3 points."""


def test_the_verdicts_test_holds_its_level_where_tests_of_users_do_not() -> None:
    found = sizes(SCENES["seeds move the mean"], 5, FAST)
    assert found["contrast"] <= 0.09
    assert found["not worse"] <= 0.09
    assert found["bootstrap"] <= 0.12
    assert min(found["t"], found["randomisation"], found["Wilcoxon"]) > 0.15, "seeds are in none of them"


def test_skew_differences_deceive_wilcoxon_alone() -> None:
    found = sizes(SCENES["users, differences skew"], 5, FAST)
    assert found["Wilcoxon"] > 0.4
    assert max(found["contrast"], found["t"], found["randomisation"], found["bootstrap"], found["not worse"]) <= 0.10


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_the_verdicts_test_holds_its_level_in_every_scene(scene: str) -> None:
    found = sizes(SCENES[scene], 5, 1500)
    few = SCENES[scene].n_users < 100
    assert 0.025 <= found["contrast"] <= (0.085 if few else 0.072)
    assert found["not worse"] <= 0.072
    assert found["equivalent"] <= found["not worse"] + 1e-9
    if scene in ("nothing but users", "users, few of whom differ"):
        assert all(0.03 <= size <= 0.072 for size in found.values())
