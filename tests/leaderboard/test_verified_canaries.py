"""Canaries handed in as submissions, with numbers that fit: verification says of each what is known of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmrec_bench.leaderboard.canaries import CANARIES
from mmrec_bench.leaderboard.canary_lists import canary_lists
from mmrec_bench.leaderboard.scoring import score_lists
from mmrec_bench.leaderboard.verify import Verified
from tests.leaderboard.packed import Board, edit_card, edit_json, edit_lists, make_board, small_world

TASKS = ("retrieval", "ranking", "ctr", "interactive")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("canaries")
    with small_world(folder):
        yield make_board(folder)


def _verified(name: str, task: str, board: Board, tmp_path: Path) -> Verified:
    """Put the lists of a canary in the place of an entry's, with the numbers and digests that fit."""
    folder, track = tmp_path / task / task, board.tracks[task]
    shutil.copytree(board.root / task / task, folder)
    judge = board.verification.judge_of(track)
    assert not isinstance(judge, str)
    prepared = judge[0].prepared
    table = canary_lists(name, track, prepared)
    edit_lists(folder, lambda _: table)
    if name != "train-copy":
        metrics = score_lists(track, prepared, table).metrics

        def claim(content: Any) -> None:
            for part, claims in content.get("claimed", content.get("metrics")).items():
                for metric, told in claims.items():
                    told["mean"] = metrics[part][metric]
                    told |= dict.fromkeys({"low", "high", "over"} & set(told))

        edit_json(folder / "submission.json", claim)
        edit_card(folder, claim)
    return board.verification(folder)


def _names(verified: Verified, verdict: str) -> set[str]:
    return {check.name for check in verified.checks if check.verdict == verdict}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", sorted(set(CANARIES) - {"train-copy"}))
def test_canaries_that_may_be_handed_in_are_list_verified(name: str, task: str, board: Board, tmp_path: Path) -> None:
    verified = _verified(name, task, board, tmp_path)
    assert [check.message for check in verified.checks if check.verdict == "fail"] == []
    assert verified.record is not None
    assert verified.record.status == "list-verified"
    flags = _names(verified, "flag")
    assert ("too-good" in flags) == (name == "oracle")
    if task in ("retrieval", "ranking"):
        assert ("tie-share" in flags) >= (name == "constant")
        assert "tie-share" not in flags or name != "random"


def test_who_copies_the_training_items_is_refused(board: Board, tmp_path: Path) -> None:
    verified = _verified("train-copy", "retrieval", board, tmp_path)
    assert verified.refused
    failed = [check.message for check in verified.checks if check.verdict == "fail"]
    held = "hold items that the user is known to have, first"
    assert len(failed) == 2
    for part, message in zip(("valid", "test"), failed, strict=True):
        assert message.startswith(f"lists/seed-0.parquet: 120 lists of {part} {held}")
