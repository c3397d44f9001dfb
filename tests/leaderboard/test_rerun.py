from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mmrec_bench.errors import ArtefactError, ConfigError
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.leaderboard import verify
from mmrec_bench.leaderboard.audit import audit
from mmrec_bench.leaderboard.folder import write_record
from mmrec_bench.leaderboard.record import read_record
from mmrec_bench.leaderboard.rerun import rerun
from mmrec_bench.leaderboard.rescore import rescore
from mmrec_bench.leaderboard.verify import Verified
from tests.leaderboard.packed import Board, edit_card, edit_json, edit_lists, make_board, small_world


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("rerun")
    with small_world(folder):
        yield make_board(folder)


SETTINGS = RunSettings(Path("not-read"), torch.device("cpu"), torch.get_num_threads())


@pytest.mark.parametrize("name", ["retrieval", "ranking", "ctr", "interactive", "trained"])
def test_honest_entries_run_again_as_they_were(board: Board, name: str) -> None:
    folder = board.root / ("retrieval" if name == "trained" else name) / name
    made = rerun(folder, board.verification, SETTINGS, seed=2 if name == "trained" else None)
    assert made.differing == ()
    assert made.record.status == "rerun-verified"
    assert made.record.intact
    assert made.record.rerun is not None
    assert set(made.record.rerun.differences.values()) == {0.0}  # same machine, same threads: the same bits


def _forged(board: Board, tmp_path: Path) -> Path:
    """Put an item that is wanted at the top of every list, and make all numbers and digests fit."""
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)
    judge = board.verification.judge_of(board.tracks["retrieval"])
    assert not isinstance(judge, str)
    truth = judge[0]
    wanted = {
        (part, truth.users[user]): truth.items[item]
        for part, held_out in truth.parts.items()
        for user, item in zip(held_out.users, held_out.items, strict=True)
    }

    def improve(table: pd.DataFrame) -> pd.DataFrame:
        top = table[table["rank"] == 1]
        best = {key: wanted[key] for key in zip(top["part"], top["user_id"], strict=True)}
        for row, rank, key, item in zip(
            table.index, table["rank"], zip(table["part"], table["user_id"], strict=True), table["item_id"], strict=True
        ):
            if rank == 1:
                first = item
                table.loc[row, "item_id"] = best[key]
            elif item == best[key]:
                table.loc[row, "item_id"] = first
        return table.assign(score=(100 - table["rank"]).astype(np.float32))

    edit_lists(folder, improve)
    refused = board.verification(folder)
    assert refused.record is not None
    found = refused.record.metrics

    def raised(content: dict[str, dict[str, dict[str, dict[str, float]]]], key: str) -> None:
        for part in ("valid", "test"):
            for name, told in content[key][part].items():
                told["mean"] = found[part][name].mean
                told |= dict.fromkeys({"low", "high", "over"} & set(told))

    edit_card(folder, lambda content: raised(content, "metrics"))
    edit_json(folder / "submission.json", lambda content: raised(content, "claimed"))
    return folder


def test_a_consistent_forgery_passes_the_lists_and_is_caught_by_a_rerun(board: Board, tmp_path: Path) -> None:
    folder = _forged(board, tmp_path)
    verified = board.verification(folder)
    assert verified.record is not None
    assert verified.record.status == "list-verified"  # every file agrees with every other
    made = rerun(folder, board.verification, SETTINGS)
    assert made.record.status == "refused"
    assert any("recall@10" in line for line in made.differing)
    write_record(folder, made.record.text())
    later = board.verification(folder)
    assert later.refused
    assert later.record is not None
    assert later.record.status == "refused"  # a later look at the lists alone does not clear it
    assert [check.name for check in later.failures] == ["rerun"]
    (again,) = rescore(folder.parents[1], board.verification, everything=True)
    assert again.outcome == "failed"
    assert "when run again" in again.reason


def test_what_was_refused_is_not_run(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)
    (folder / "config.yaml").write_text("model: evil")
    with pytest.raises(ArtefactError, match="Nothing was run"):
        rerun(folder, board.verification, SETTINGS)
    with pytest.raises(ArtefactError, match="has no seed 9"):
        rerun(board.root / "retrieval" / "trained", board.verification, SETTINGS, seed=9)


@pytest.mark.parametrize("tolerance", [float("inf"), float("nan"), -0.1])
def test_a_tolerance_that_nothing_could_exceed_is_refused_before_anything_is_run(
    board: Board, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmrec_bench.leaderboard.rerun.run", lambda *_: pytest.fail("was run"))
    with pytest.raises(ConfigError, match="--tolerance: needs a finite number from 0 on"):
        rerun(board.root / "retrieval" / "retrieval", board.verification, SETTINGS, tolerance=tolerance)


def test_reruns_and_audits_are_kept_by_later_verifications(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)
    write_record(folder, rerun(folder, board.verification, SETTINGS).record.text())
    again = board.verification(folder).record
    assert again is not None
    assert again.status == "rerun-verified"
    assert again.rerun is not None
    edit_json(folder / "submission.json", lambda content: content.update(title="Another"))
    changed = board.verification(folder).record
    assert changed is not None
    assert changed.status == "list-verified"  # it is another submission now
    assert changed.rerun is None


@pytest.mark.parametrize("name", ["lists/seed-0.parquet", "config.yaml", "card.json"])
def test_a_file_that_is_damaged_for_a_while_takes_nothing_from_what_is_known(
    board: Board, tmp_path: Path, name: str
) -> None:
    """Neither a rerun that failed nor one that agreed is cleared by half a download."""
    for made, status in ((_forged(board, tmp_path), "refused"), (None, "rerun-verified")):
        folder = made or tmp_path / "retrieval" / "honest"
        if made is None:
            shutil.copytree(board.root / "retrieval" / "retrieval", folder)
            edit_json(folder / "submission.json", lambda told: told.update(entry="honest"))
        write_record(folder, rerun(folder, board.verification, SETTINGS).record.text())
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
        damaged = board.verification(folder)
        assert damaged.refused
        assert damaged.record is None, "the older one stays"
        assert damaged.kept == ("all of it",)
        (folder / name).write_bytes(whole)
        again = board.verification(folder).record
        assert again is not None
        assert again.status == status
        assert again.rerun is not None


def test_code_is_signed_for_after_a_rerun_and_the_word_is_kept(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)
    with pytest.raises(ArtefactError, match=r"is list-verified.*leaderboard rerun"):
        audit(folder, board.verification, "A. Reader")
    write_record(folder, rerun(folder, board.verification, SETTINGS).record.text())
    for wrong in ("", "  ", "two\nlines", "<b>me</b>", "x" * 201):
        with pytest.raises(ConfigError, match="--by"):
            audit(folder, board.verification, wrong)
    write_record(folder, audit(folder, board.verification, "A. Reader, 2026-11-21, commit 0123abc").text())
    later = board.verification(folder).record
    assert later is not None
    assert (later.status, later.audit) == ("audited", "A. Reader, 2026-11-21, commit 0123abc")
    assert later.intact
    (folder / "config.yaml").write_text("model: evil")
    with pytest.raises(ArtefactError, match="Nothing was signed"):
        audit(folder, board.verification, "A. Reader")


def test_what_is_not_the_fault_of_the_files_takes_nothing_from_what_is_known(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Little memory refuses for a while; a config that is no experiment any more refuses, and forgets no rerun."""

    def greedy(*_: object) -> None:
        raise MemoryError

    for made, status in ((_forged(board, tmp_path), "refused"), (None, "rerun-verified")):
        folder = made or tmp_path / "retrieval" / "honest"
        if made is None:
            shutil.copytree(board.root / "retrieval" / "retrieval", folder)
            edit_json(folder / "submission.json", lambda told: told.update(entry="honest"))
        write_record(folder, rerun(folder, board.verification, SETTINGS).record.text())
        with monkeypatch.context() as patch:
            patch.setattr(verify, "read_lists", greedy)
            little = board.verification(folder)
            assert (little.refused, little.record, little.kept) == (True, None, ("all of it",))
        with monkeypatch.context() as patch:
            patch.setattr(verify, "check_claims", lambda *told: told[-1].fail("claims", "submission.json", "another"))
            other = board.verification(folder).record
            assert other is not None
            assert (other.status, other.rerun is None) == ("refused", False)
            write_record(folder, other.text())
        again = board.verification(folder).record
        assert again is not None
        assert (again.status, again.rerun is None) == (status, False)
        assert [check.name for check in again.failures] == (["rerun"] if status == "refused" else [])


def test_numbers_of_older_metrics_are_held_against_no_run(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that is kept where lists are not there may be of other versions than those of today."""
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)
    record = board.verification(folder).record
    assert record is not None
    older = record.model_copy(update={"metric_versions": {**record.metric_versions, "recall": 0}})
    monkeypatch.setattr("mmrec_bench.leaderboard.rerun.run", lambda *_: pytest.fail("was run"))
    monkeypatch.setattr(
        "mmrec_bench.leaderboard.rerun.Verification.__call__",
        lambda self, path: Verified(path, (), older.sealed(), writable=True),
    )
    with pytest.raises(ArtefactError, match=r"of other versions of metrics \(recall\).*leaderboard rescore"):
        rerun(folder, board.verification, SETTINGS)


def test_a_rerun_of_an_older_headline_is_no_rerun_of_this_one(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)
    write_record(folder, rerun(folder, board.verification, SETTINGS).record.text())
    write_record(folder, audit(folder, board.verification, "A. Reader").text())
    old = read_record(folder / "verification.json")
    for name, status in (("mrr", "audited"), ("recall", "list-verified")):
        older = old.model_copy(update={"metric_versions": {**old.metric_versions, name: 0}})
        write_record(folder, older.sealed().text())
        now = board.verification(folder).record
        assert now is not None
        assert (now.status, now.audit) == (status, "A. Reader")
        assert (now.rerun is None) is (name == "recall")
