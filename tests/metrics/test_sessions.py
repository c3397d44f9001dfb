"""Metrics of sessions: sessions worked out by hand, and a slow reference."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.metrics.sessions import SESSION_METRICS, Courses, SessionOptions

ROUNDS = 4


def courses(*sessions: tuple[int, list[int], int]) -> Courses:
    """Return sessions of 9 candidates as (found, ranks, left)."""
    found, ranks, left = (np.array(column) for column in zip(*sessions, strict=True))
    return Courses(found, ranks, left, np.full(len(found), 9))


EVERY_OUTCOME = courses(
    (0, [4, 1, 1, 1, 1], -1),  # in the first round, whatever its rank was: 0 rounds were over
    (2, [3, 2, 2, 1, 1], -1),  # in the third
    (-1, [5, 4, 3, 2, 1], -1),  # never, but it would have come next
    (-1, [5, 4, 3, 2, 2], -1),  # never
    (-1, [1, 1, 1, 1, 1], 2),  # left after two rounds
    (-1, [2, 0, 0, 0, 0], -1),  # overlooked, and nothing wanted is left
)


def values(name: str, k: int, **options: object) -> list[float]:
    return SESSION_METRICS[name].compute(EVERY_OUTCOME, k, SessionOptions(**options)).tolist()  # type: ignore[arg-type]


def test_sessions_worked_out_by_hand() -> None:
    assert values("success", 4) == [1, 1, 1, 0, 0, 0]
    assert values("turns", 4) == [0, 2, 4, 7, 7, 7]
    assert values("success", 3) == [1, 1, 0, 0, 0, 0]
    assert values("turns", 3) == [0, 2, 6, 6, 6, 6]
    assert values("success", 2) == [1, 0, 0, 0, 0, 0]  # the third round is the first after two, and rank 2 then
    assert values("turns", 2) == [0, 5, 5, 5, 5, 5]
    assert values("success", 1) == [1, 0, 0, 0, 1, 0]  # the fifth has not left yet
    assert values("turns", 1) == [0, 4, 4, 4, 1, 4]
    assert values("first-rank", 2) == [1, 2, 3, 3, 1, 9]
    assert values("mrr", 2) == [1, 1 / 2, 1 / 3, 1 / 3, 1, 0]


def test_the_last_guess_and_the_penalty_are_options() -> None:
    assert values("success", 4, last_guess=False) == [1, 1, 0, 0, 0, 0]
    assert values("turns", 4, last_guess=False) == [0, 2, 7, 7, 7, 7]
    assert values("turns", 4, penalty=0.0) == [0, 2, 4, 4, 4, 4]
    assert values("turns", 1, penalty=10.0) == [0, 11, 11, 11, 1, 11]


def slow(name: str, found: int, ranks: list[int], left: int, n: int, k: int, options: SessionOptions) -> float:
    """Return a metric of one session, as the protocol has it, step by step."""
    rank = ranks[k]
    if name == "first-rank":
        return n if rank == 0 else rank
    if name == "mrr":
        return 0 if rank == 0 else 1 / rank
    for turn in range(k):  # 0-based
        if found == turn:
            return 1 if name == "success" else turn
        if left == turn + 1:
            return 0 if name == "success" else k + options.penalty
    if options.last_guess and rank == 1:
        return 1 if name == "success" else k
    return 0 if name == "success" else k + options.penalty


@pytest.mark.parametrize("options", [SessionOptions(), SessionOptions(False, 1.5)])
@pytest.mark.parametrize("name", list(SESSION_METRICS))
def test_metrics_are_those_of_a_slow_reference(name: str, options: SessionOptions) -> None:
    rng, rows = np.random.default_rng(3), []
    for _ in range(400):
        ends = int(rng.integers(-1, ROUNDS))
        leaves = rng.random() < 0.3
        ranks = rng.integers(0, 6, ROUNDS + 1)
        if ends >= 0 and not leaves:
            ranks[ends + 1 :] = 1
        rows.append((ends if not leaves else -1, ranks.tolist(), ends + 1 if leaves and ends >= 0 else -1))
    found = courses(*rows)
    for k in range(1, ROUNDS + 1):
        computed = SESSION_METRICS[name].compute(found, k, options)
        assert computed.dtype == np.float64
        assert computed.tolist() == [slow(name, *row, 9, k, options) for row in rows]


@pytest.mark.parametrize("name", list(SESSION_METRICS))
def test_directions_say_which_way_is_better(name: str) -> None:
    """Whoever finds it at once is at least as well off as whoever never does, and better in each metric."""
    best, worst = courses((0, [1] * 5, -1)), courses((-1, [9] * 5, -1))
    metric = SESSION_METRICS[name]
    gain = metric.compute(best, 3, SessionOptions()) - metric.compute(worst, 3, SessionOptions())
    assert (gain > 0).all() == metric.higher_is_better
    assert gain.any()
