"""Checks of time: does train hold what happened after the rows that are judged?

A split by a user's own time still trains on the future of others: Ji, Sun, Zhang and Li, "A Critical Study on Data
Leakage in Recommender System Offline Evaluation", TOIS 2023, https://arxiv.org/abs/2010.11060.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from mmrec_bench.audit.base import N_EXAMPLES, Finding, Verdict, check
from mmrec_bench.audit.subject import Subject
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.moments import to_text
from mmrec_bench.types import IntArray

Events: TypeAlias = tuple[IntArray, IntArray]
"""User and time of each row (or list), int64 ``[E]`` each."""

LATEST = np.iinfo(np.int64).max


@check("future-of-user", "Are training rows later than held-out rows of the same user?")
def future_of_user(subject: Subject) -> Finding:
    """Compare each user's training rows with his first held-out row."""
    if (events := _events(subject)) is None:
        return Finding("not applicable", "the data has neither timestamps nor an order")
    (users, times), (held_users, held_times) = events
    first = _first_of_user(subject, held_users, held_times)
    late = times > first[users]
    counts = _shares(late, users)
    if not late.any():
        return Finding("pass", "no training row is later than a held-out row of its user", counts)
    promise = subject.rule.promise(subject.provenance.split)
    return Finding(
        _broken(promise in ("global", "user")),
        f"{late.mean():.1%} of the training rows are later than the first held-out row of their user"
        f"{_promise_in_words(subject)}",
        counts,
        tuple(_example(subject, int(row), users, times, first[users]) for row in np.flatnonzero(late)[:N_EXAMPLES]),
    )


@check("future-of-others", "Are training rows later than the first held-out row of anybody?")
def future_of_others(subject: Subject) -> Finding:
    """Compare all training rows with the first held-out row."""
    if not _has_clock(subject):
        return Finding("not applicable", "the data has no timestamps, so nothing is known of time across users")
    events = _events(subject)
    assert events is not None
    (users, times), (_, held_times) = events
    cut = int(held_times.min())
    late = times > cut
    counts = _shares(late, users)
    if not late.any():
        return Finding("pass", "no training row is later than the first held-out row", counts)
    return Finding(
        _broken(subject.rule.promise(subject.provenance.split) == "global"),
        f"{late.mean():.1%} of the training rows are later than the first held-out row, of {to_text(cut)}"
        f"{_promise_in_words(subject)}",
        counts,
    )


@check("held-out-order", "Are validation rows later than the test rows they select for?")
def held_out_order(subject: Subject) -> Finding:
    """Compare validation with the first test row, as far as the rule promises time."""
    promise = subject.rule.promise(subject.provenance.split)
    if promise == "none" or _events(subject) is None:
        return Finding("not applicable", f"split '{subject.rule.name}' promises nothing about time, or time is unknown")
    (users, times), (test_users, test_times) = _of(subject.valid), _of(subject.test)
    first = _first_of_user(subject, test_users, test_times)
    if promise == "global":
        first = np.full_like(first, test_times.min())
    late = times > first[users]
    if not late.any():
        return Finding("pass", "no validation row is later than the test rows it selects for", _shares(late, users))
    message = f"{int(late.sum()):,} validation rows are later than the first test row{_promise_in_words(subject)}"
    return Finding("fail", message, _shares(late, users))


@check("tied-times", "Do training and held-out rows of a user share a moment, so that their order is unknown?")
def tied_times(subject: Subject) -> Finding:
    """Count held-out rows whose time is that of a training row of the same user."""
    if (events := _events(subject)) is None:
        return Finding("not applicable", "the data has neither timestamps nor an order")
    promise = subject.rule.promise(subject.provenance.split)
    if promise == "none":
        return Finding("not applicable", f"split '{subject.rule.name}' does not go by time, so no cut can tie")
    (users, times), (held_users, held_times) = events
    # Both columns become one key by the rank of the moment.
    moments, ranks = np.unique(np.concatenate((times, held_times)), return_inverse=True)
    ranks = ranks.reshape(-1).astype(np.int64)
    train_keys = users * np.int64(len(moments)) + ranks[: len(users)]
    held_keys = held_users * np.int64(len(moments)) + ranks[len(users) :]
    tied = np.isin(held_keys, train_keys)
    counts = {"rows": int(tied.sum()), "share": float(tied.mean()), "users": len(np.unique(held_users[tied]))}
    counts["moments"] = len(moments)
    if not tied.any():
        return Finding("pass", "no held-out row shares its moment with a training row of its user", counts)
    return Finding(
        _broken(promise == "global"),
        f"{tied.mean():.1%} of the held-out rows share their moment with a training row of their user: which of the "
        f"two came first is not known, and {'the cut parts one moment' if promise == 'global' else 'a hash decides'}",
        counts,
        tuple(
            f"user {subject.user(held_users[row])} at {_when(subject, held_times[row])}"
            for row in np.flatnonzero(tied)[:N_EXAMPLES]
        ),
    )


def first_held_out(subject: Subject) -> int | None:
    """Return the time of the first held-out row, seconds UTC; None where there is no clock."""
    return min(int(_of(part)[1].min()) for part in subject.held_out) if _has_clock(subject) else None


def _has_clock(subject: Subject) -> bool:
    return subject.train.timestamps is not None


def _events(subject: Subject) -> tuple[Events, Events] | None:
    """Return the events of train and of both held-out parts, or None where time is unknown."""
    if not _has_clock(subject) and getattr(subject.train, "order", None) is None:
        return None
    held_out = [_of(part) for part in subject.held_out]
    users, times = (np.concatenate(columns) for columns in zip(*held_out, strict=True))
    return _of(subject.train), (users, times)


def _of(part: Any) -> Events:
    return part.users, part.timestamps if part.timestamps is not None else part.order


def _first_of_user(subject: Subject, users: IntArray, times: IntArray) -> IntArray:
    first = np.full(subject.train.n_users, LATEST, np.int64)
    np.minimum.at(first, users, times)
    return first


def _shares(late: np.ndarray, users: IntArray) -> dict[str, float]:
    return {"rows": int(late.sum()), "share": float(late.mean()), "users": len(np.unique(users[late]))}


def _broken(promised: bool) -> Verdict:
    return "fail" if promised else "warn"


def _promise_in_words(subject: Subject) -> str:
    promise = subject.rule.promise(subject.provenance.split)
    name = subject.rule.name
    words = {
        "global": f"; split '{name}' promises that none is",
        "user": f"; split '{name}' keeps the time of each user alone",
        "none": f"; split '{name}' promises nothing about time",
    }
    return words[promise]


def _example(subject: Subject, row: int, users: IntArray, times: IntArray, first: IntArray) -> str:
    items = "" if isinstance(subject.train, Lists) else f" has {subject.item(subject.train.items[row])}"
    return (
        f"user {subject.user(users[row])}{items} in train at {_when(subject, times[row])}; "
        f"first held out at {_when(subject, first[row])}"
    )


def _when(subject: Subject, time: int | np.integer) -> str:
    return to_text(int(time)) if _has_clock(subject) else f"place {int(time)}"
