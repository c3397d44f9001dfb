"""Marks: who is best as far as intervals can tell, and words that say the same."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mmrec_bench.reports.findings import findings_of
from mmrec_bench.reports.standing import Standing, simultaneous, standing_of, verdict_of
from mmrec_bench.statistics.contrast import Contrast, contrast, over_users
from mmrec_bench.types import DoubleArray

N_USERS = 400


def rows(*means: float, seeds: int = 5, noise: float = 0.1, stream: int = 0) -> dict[str, DoubleArray]:
    """Rows a, b, c ... of these true means, whose users differ much and are the same in all rows."""
    rng = np.random.default_rng(stream)
    users = rng.random(N_USERS)
    return {
        chr(ord("a") + place): mean + users + noise * rng.standard_normal((seeds, N_USERS))
        for place, mean in enumerate(means)
    }


def test_the_best_stand_apart_from_the_second_best_and_share_their_mark() -> None:
    found = standing_of("ndcg@10", rows(0.5, 0.5001, 0.3, 0.1), {})
    assert set(found.best) == {"a", "b"}
    assert found.second == ("c",)
    assert [found.mark(label) for label in "abcd"] == ["best", "best", "second", None]


def test_where_nothing_is_told_apart_nothing_is_marked() -> None:
    found = standing_of("ndcg@10", rows(0.5, 0.5, 0.5, noise=1.0), {})
    assert set(found.best) == {"a", "b", "c"}
    assert found.second == ()
    assert {found.mark(label) for label in "abc"} == {None}


def test_marks_follow_from_the_intervals_that_are_printed() -> None:
    scores = rows(0.50, 0.50, 0.49, 0.47, 0.45, 0.40, noise=0.3, stream=3)
    found = standing_of("ndcg@10", scores, {})
    top = found.order[0]
    assert top == max(scores, key=lambda label: scores[label].mean())
    told_apart = set()
    for label in set(scores) - {top}:
        low = simultaneous(scores[top], scores[label], len(scores)).low
        assert low is not None
        if low > 0:
            told_apart.add(label)
    assert 0 < len(told_apart) < len(scores) - 1, "the example must hold both kinds"
    assert set(found.best) == set(scores) - told_apart


def test_intervals_that_hold_together_are_wider_and_single_seeds_are_over_users() -> None:
    scores = rows(0.5, 0.4)
    alone, together = contrast(scores["a"], scores["b"]), simultaneous(scores["a"], scores["b"], 2)
    assert together == alone, "of two rows there is one difference"
    wide = simultaneous(scores["a"], scores["b"], 10)
    assert wide.low is not None
    assert alone.low is not None
    assert wide.low < alone.low
    single = simultaneous(scores["a"][:1], scores["b"][:1], 2)
    assert (single.low, single.high) == pytest.approx(over_users(scores["a"][0] - scores["b"][0]))


def test_the_row_that_is_best_in_truth_keeps_its_mark() -> None:
    """Eight rows that are the same: each loses its mark in at most 5 % of repetitions, although the first is chosen."""
    repetitions, lost = 400, 0
    for repetition in range(repetitions):
        found = standing_of("m", rows(*[0.5] * 8, seeds=2, noise=0.5, stream=repetition), {})
        lost += "a" not in found.best
    assert lost / repetitions < 0.05 + 2 * np.sqrt(0.05 * 0.95 / repetitions)


def test_differences_that_are_there_are_found() -> None:
    found = [standing_of("m", rows(0.5, 0.45, 0.45, stream=stream), {}).best for stream in range(20)]
    assert sum(best == ("a",) for best in found) >= 18


@pytest.mark.parametrize(
    ("low", "high", "few", "verdict"),
    [
        (0.1, 0.2, False, "better"),
        (-0.2, -0.1, False, "worse"),
        (-0.1, 0.1, False, "unclear"),
        (0.1, 0.2, True, "needs more seeds"),
        (None, None, False, "needs more seeds"),
    ],
)
def test_verdicts(low: float | None, high: float | None, few: bool, verdict: str) -> None:
    assert verdict_of(Contrast(0.0, low, high), few) == verdict


def test_words_agree_with_intervals() -> None:
    """Whatever stands in a standing, the sentences name exactly that."""
    for stream in range(30):
        rng = np.random.default_rng(stream)
        scores = rows(*(0.5 + 0.01 * rng.standard_normal(rng.integers(2, 7))), stream=stream)
        found = standing_of("ndcg@10", scores, {})
        text = " ".join(findings_of(list(scores), found))
        rest = len(scores) - len(found.best)
        if not rest:
            assert "No row is told apart from the best test ndcg@10" in text
            assert "Second" not in text
            continue
        first = re.search(r"(?:^|\. )([^.]*best test ndcg@10|Best in test ndcg@10: [^.]*)", text)
        assert first is not None
        assert set(re.findall("`(.)`", first[1])) == set(found.best)
        second = re.search(r"Second: ([^.]*?)(?:\.|, which)", text)
        assert second is not None
        assert set(re.findall("`(.)`", second[1])) == set(found.second)
        said = re.search(r"every other row \((\d+)\)|the other (\d+) rows are worse|the other row is worse", text)
        assert said is not None
        assert int(said[1] or said[2] or 1) == rest
        assert ("first on validation, is worse than" in text) == ("a" not in found.best)
        assert ("first on validation, is among the best" in text) == ("a" in found.best and found.order[0] != "a")


def test_words_of_few_seeds_claim_nothing() -> None:
    def told(few: dict[str, int]) -> str:
        return " ".join(findings_of(list("abc"), Standing("m", ("a", "b", "c"), ("a",), ("b", "c"), few)))

    assert "claim" not in told({})
    assert told({"b": 3}).startswith("Nothing is claimed of `b` (3 seeds): claims need 5 a side.")
    assert "users alone" not in told({"b": 3})
    assert "Intervals of differences from a row with one seed are over users alone." in told({"b": 1})
    assert told({"a": 2}).startswith("Hints, and no claims: `a` has 2 seeds, and claims need 5 a side.")
    assert "All rows have one seed: intervals are over users alone" in told({"a": 1, "b": 1, "c": 1})


def test_a_single_row_is_compared_with_nothing() -> None:
    assert findings_of(["a"], None) == ["`a` stands alone: there is nothing to compare it with."]


def test_long_lists_are_cut() -> None:
    labels = tuple("abcdefghijkl")
    text = " ".join(findings_of(labels, Standing("m", labels, labels[:9], labels[9:], {})))
    assert "`f` and 3 more. They" in text
