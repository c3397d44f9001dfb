"""Spoiled submissions of the other tasks are refused, too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.leaderboard.packed import Board, make_board, repack, small_world
from tests.leaderboard.spoils import LISTS, Spoil, cell, column, copied, reasons, reversed, rows, with_nan


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("tampered")
    with small_world(folder):
        made = make_board(folder)
        for name in ("retrieval", "ranking", "ctr", "interactive"):
            assert not made.verification(made.root / name / name).refused
        yield made


OTHERS: dict[str, tuple[str, Spoil, str, str]] = {
    "ranking-list-missing": ("ranking", rows(lambda t: t[t["list"] != 0]), LISTS, "rows; the track has"),
    "ranking-unknown-list": ("ranking", column("list", lambda t: t["list"] + 9999), LISTS, "lists that are not there"),
    "ranking-negative-list": ("ranking", column("list", lambda t: t["list"] - 1), LISTS, "lists that are not there"),
    "ranking-other-item": ("ranking", cell("item_id", 0, "item-00"), LISTS, "hold other items"),
    "ranking-labels": ("ranking", column("label", lambda t: t["label"].max() - t["label"]), LISTS, "labels of"),
    "ranking-rank-twice": ("ranking", cell("rank", 1, 1), LISTS, "given twice"),
    "ranking-rank-beyond": ("ranking", cell("rank", 0, 99), LISTS, "are not in 1..length"),
    "ranking-ascending": ("ranking", column("score", lambda t: t["rank"].astype(np.float32)), LISTS, "rising scores"),
    "ranking-nan": ("ranking", with_nan("score"), LISTS, "no finite numbers"),
    "ranking-order": (
        "ranking", rows(reversed),
        "submission.json", "the lists give",
    ),
    "ranking-user": ("ranking", column("user_id", lambda t: t["user_id"].iloc[0]), LISTS, "another user's list"),
    "lists-of-another-task": ("ranking", None, LISTS, "needs the columns"),
    "ctr-probability-above-one": ("ctr", cell("probability", 0, 1.5), LISTS, "are not in [0, 1]"),
    "ctr-probability-nan": ("ctr", with_nan("probability"), LISTS, "are not in [0, 1]"),
    "ctr-labels": ("ctr", column("label", lambda t: 1 - t["label"]), LISTS, "other labels than the data"),
    "ctr-time": ("ctr", column("timestamp", lambda t: t["timestamp"] + 1), LISTS, "other timestamps"),
    "ctr-order": ("ctr", rows(lambda t: t.iloc[::-1]), LISTS, "than the data, in their order"),
    "ctr-impression-missing": ("ctr", rows(lambda t: t.iloc[1:]), LISTS, "rows; the track has"),
    "ctr-probabilities": (
        "ctr", column("probability", lambda t: t["label"].astype(np.float32)), "submission.json", "the lists give"
    ),
    "sessions-without-end": (
        "interactive", rows(lambda t: pd.concat([t] * 20)), LISTS, "rows; the track has at most"
    ),
    "sessions-missing": ("interactive", rows(lambda t: t[t["session"] != t["session"].iloc[0]]), LISTS, "are missing"),
    "sessions-unknown": ("interactive", column("session", lambda t: t["session"] + 999), LISTS, "are not there"),
    "sessions-of-others": (
        "interactive", column("user_id", lambda t: t["user_id"].iloc[0]), LISTS, "another user's session"
    ),
    "sessions-answers": (
        "interactive", column("clicked", lambda t: t["clicked"] ^ (t["round"] == 1)), LISTS, "another 'clicked'"
    ),
    "sessions-wanted": (
        "interactive", column("wanted", lambda t: t["wanted"] | (t["round"] == 0)), LISTS, "what is wanted in"
    ),
    "sessions-candidates": (
        "interactive", rows(lambda t: t.drop(t.index[t["round"] == 0][0]).reset_index(drop=True)), LISTS, "candidates"
    ),
    "sessions-shown-again": (
        "interactive",
        rows(lambda t: pd.concat([t, t[(t["round"] == 1)].assign(round=2)]).drop_duplicates(
            ["part", "session", "round", "slot"], keep="last")),
        LISTS, "was shown before",
    ),
    "sessions-round-twice": ("interactive", rows(lambda t: pd.concat([t, t[t["round"] == 1]])), LISTS, "told twice"),
    "sessions-without-last-guess": ("interactive", rows(lambda t: t[t["round"] <= 4]), LISTS, "last guesses of"),
    "sessions-round-beyond": ("interactive", column("round", lambda t: t["round"] + 9), LISTS, "rounds of"),
    "sessions-ranks": (
        "interactive", column("rank", lambda t: t["rank"].where(t["round"] != 2, 99)), LISTS, "a rank that cannot be"
    ),
    "sessions-unknown-kind": ("interactive", column("kind", lambda t: "dream"), LISTS, "kinds are item, query, field"),
    "sessions-unknown-query": (
        "interactive", column("text", lambda t: t["text"].where(t["kind"] == "item", "no query")), LISTS, "name no item"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(OTHERS))
def test_tampered_lists_of_other_tasks_are_refused(board: Board, tmp_path: Path, name: str) -> None:
    task, spoil, file, reason = OTHERS[name]
    folder = copied(board, tmp_path, task)
    if name == "lists-of-another-task":
        shutil.copy(board.root / "ctr" / "ctr" / LISTS, folder / LISTS)
        repack(folder)
    else:
        spoil(folder)
    assert reason in reasons(board.verification(folder), file)
