from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mmrec_bench.errors import ArtefactError, ConfigError, DataError
from mmrec_bench.experiments.artefact import RunArtefact, find_runs
from mmrec_bench.leaderboard import verify
from mmrec_bench.leaderboard.board import Entry, read_entry
from mmrec_bench.leaderboard.findings import Findings
from mmrec_bench.leaderboard.flags import flag_numbers
from mmrec_bench.leaderboard.folder import write_record
from mmrec_bench.leaderboard.pack import pack
from mmrec_bench.leaderboard.record import VerificationRecord, read_record
from mmrec_bench.leaderboard.verify import Verification, Verified
from mmrec_bench.leaderboard.versions import metric_names
from mmrec_bench.reports.cards.schema import digest_of_json
from tests.leaderboard import packed
from tests.leaderboard.entries import entry_of, measured
from tests.leaderboard.packed import CODE, Board, edit_card, edit_config, edit_json, edit_lists, make_board, small_world


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("board")
    with small_world(folder):
        yield make_board(folder)


HONEST = {
    "fields": ("{name: core, ask: attributes}", {}),
    "nothing left": (
        "item-only",
        {"user": "{name: noisy, miss: 0.3}", "candidates": "{name: sampled, n: 20}", "slots": "8"},
    ),
}


@pytest.mark.parametrize("case", HONEST)
def test_honest_sessions_that_ask_for_fields_or_run_out_of_items_are_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    model, changes = HONEST[case]
    body = f"inputs: {{base: {{model: popularity}}}}\nmodel: {model}\n"
    told = packed.PROTOCOLS["interactive"].removesuffix("}") + "".join(f", {k}: {v}" for k, v in changes.items()) + "}"
    monkeypatch.setattr(packed, "MODELS", {"interactive": body})
    monkeypatch.setattr(packed, "PROTOCOLS", {**packed.PROTOCOLS, "interactive": told})
    with small_world(tmp_path):
        board = make_board(tmp_path)
        folder = board.root / "interactive" / "interactive"
        sessions = pd.read_parquet(folder / "lists" / "seed-0.parquet")
        if case == "fields":
            assert (sessions["kind"] == "field").any()
        else:
            last = sessions[sessions["round"] <= 4].groupby(["part", "session"])["round"].max()
            found = sessions[sessions["clicked"]].groupby(["part", "session"]).size()
            assert (last.drop(found.index) < 4).any(), "some session has ended before its rounds, without a click"
        assert not board.verification(folder).failures
        edit_lists(folder, lambda table: table.assign(rank=table["rank"].where(table["round"] != 1, -1)))
        told = "".join(check.message for check in board.verification(folder).failures)
        assert "a rank that cannot be" in told or "the lists give" in told


def nothing_there(*_: object) -> None:
    raise DataError("data set 'small': was not found")


def _record(verified: Verified) -> VerificationRecord:
    assert verified.record is not None
    return verified.record


@pytest.mark.parametrize("name", ["retrieval", "ranking", "ctr", "interactive", "trained"])
def test_numbers_are_recomputed_from_the_lists(board: Board, name: str) -> None:
    track = "retrieval" if name == "trained" else name
    verified = board.verification(board.root / track / name)
    assert [check.message for check in verified.checks if check.verdict == "fail"] == []
    record = _record(verified)
    assert record.status == "list-verified"
    assert record.intact
    runs = find_runs([board.runs[name]])
    runs = [run for run in runs if run.manifest["protocol_id"] == board.tracks[track].protocol.id]
    for part, found in record.metrics.items():
        for metric, told in found.items():
            assert told.per_seed == tuple(run.metrics[part][metric] for run in runs)
    assert set(record.metrics["test"]) == set(runs[0].metrics["test"])
    assert set(record.metrics["test"]) == metric_names(board.tracks[track])
    assert record.metrics["test"][board.tracks[track].headline[0]].low is not None
    assert record.provisional == (name == "trained")


def test_verification_is_a_function_of_files_and_data(board: Board, tmp_path: Path) -> None:
    folder = board.root / "retrieval" / "trained"
    moved = tmp_path / "retrieval" / "trained"
    shutil.copytree(folder, moved)
    record = _record(board.verification(moved))
    assert record.text() == _record(board.verification(folder)).text()
    write_record(moved, record.text())
    assert _record(board.verification(moved)).text() == record.text(), "a record that is there moves nothing"


def test_fields_that_come_later_leave_older_records_intact(board: Board, tmp_path: Path) -> None:
    """A record that was written before `sketches` and `audit` were thought of states neither."""
    record = _record(board.verification(board.root / "retrieval" / "retrieval"))
    told = json.loads(record.text())
    assert (told["schema_version"], told["kind"]) == (1, "verification")
    older = {key: value for key, value in told.items() if key not in ("sketches", "audit", "record_digest")}
    path = tmp_path / "verification.json"
    path.write_text(VerificationRecord.model_validate_json(json.dumps(older)).sealed().text(), encoding="utf-8")
    assert "sketches" not in json.loads(path.read_text(encoding="utf-8"))
    assert read_record(path).intact
    path.write_text(path.read_text(encoding="utf-8").replace("list-verified", "audited"), encoding="utf-8")
    with pytest.raises(ArtefactError, match="was changed since it was written"):
        read_record(path)


def test_near_copies_are_flagged(board: Board, tmp_path: Path) -> None:
    mine, copy = (tmp_path / "retrieval" / name for name in ("mine", "copy"))
    shutil.copytree(board.root / "retrieval" / "retrieval", mine)
    shutil.copytree(mine, copy)
    for folder in (mine, copy):
        text = (folder / "submission.json").read_text().replace('"entry": "retrieval"', f'"entry": "{folder.name}"')
        (folder / "submission.json").write_text(text)
    write_record(mine, _record(board.verification(mine)).text())
    flags = _record(board.verification(copy)).flags
    assert [check.name for check in flags if check.name == "copies"] == ["copies"]
    assert "entry mine" in next(check.message for check in flags if check.name == "copies")


def _upside_down(table: pd.DataFrame) -> pd.DataFrame:
    """Turn every list over: the same items, and so the same recall at its full length, at almost no place of before."""
    lists = table.groupby(["part", "user_id"], sort=False)["item_id"]
    turned = lists.transform(lambda items: items.to_numpy()[::-1])
    return table.assign(item_id=turned, score=(-table["rank"]).astype("float32"))


def test_copies_in_another_order_are_flagged_by_what_they_are_worth(board: Board, tmp_path: Path) -> None:
    mine, copy = (tmp_path / "retrieval" / name for name in ("retrieval", "copy"))
    shutil.copytree(board.root / "retrieval" / "retrieval", mine)
    write_record(mine, _record(board.verification(mine)).text())
    shutil.copytree(board.root / "retrieval" / "retrieval", copy)
    edit_json(copy / "submission.json", lambda content: content.update(entry="copy"))
    edit_lists(copy, _upside_down)
    flags = board.verification(copy).checks
    (told,) = (check.message for check in flags if check.name == "copies")
    assert told == "lists: a seed gives the recall@10 of one of entry retrieval, to the last digit"


def test_one_run_in_several_orders_is_flagged(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "retrieval" / "trained"
    shutil.copytree(board.root / "retrieval" / "trained", folder)
    shutil.copy(folder / "lists" / "seed-0.parquet", folder / "lists" / "seed-2.parquet")
    edit_lists(folder, _upside_down, seed=2)
    checks = board.verification(folder).checks
    flags = [check.message for check in checks if (check.name, check.verdict) == ("seeds", "flag")]
    told = "gives the recall@10 of seed 0, to the last digit; look whether it is a run of its own"
    assert flags == [f"lists/seed-2.parquet: {told}"]


def test_a_folder_of_entries_is_told_as_such(board: Board) -> None:
    (check,) = board.verification(board.root / "retrieval").checks
    assert check.message == "'retrieval': is no submission, and holds 2; name one of its folders, or give --all"


def test_an_entry_of_another_track_is_refused(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "ranking" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)
    told = "track is retrieval, and the folder lies in 'ranking'; its place is retrieval/retrieval"
    assert [check.message for check in board.verification(folder).failures] == [f"submission.json: {told}"]


@pytest.mark.parametrize(
    ("replaces", "author", "message"),
    [
        ("mine", "A. Author", None),
        ("mine", "Somebody", "replaces mine, which is by 'A. Author'; only one of its authors may do that"),
        ("gone", "A. Author", "replaces gone, and there is no such submission in retrieval"),
        ("copy", "A. Author", "cannot stand in its own place"),
        ("../mine", "A. Author", "replaces"),
    ],
)
def test_an_author_may_replace_an_entry_that_is_there_and_may_be_alike(
    board: Board, tmp_path: Path, replaces: str, author: str, message: str | None
) -> None:
    mine, copy = (tmp_path / "retrieval" / name for name in ("mine", "copy"))
    shutil.copytree(board.root / "retrieval" / "retrieval", mine)
    told = json.loads((mine / "submission.json").read_text())
    (mine / "submission.json").write_text(json.dumps({**told, "entry": "mine", "authors": ["A. Author"]}))
    shutil.copytree(mine, copy)
    changed = {**told, "entry": "copy", "authors": [author], "replaces": replaces}
    (copy / "submission.json").write_text(json.dumps(changed))
    write_record(mine, _record(board.verification(mine)).text())
    verified = board.verification(copy)
    assert verified.refused == (message is not None)
    if message is None:
        assert [check.name for check in verified.checks if check.verdict == "flag"] == ["replaces"]
    else:
        assert message in "".join(check.message for check in verified.failures)


def test_without_data_only_the_form_is_checked(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "load_truth", nothing_there)
    record = _record(Verification(None, tracks=board.tracks)(board.root / "retrieval" / "retrieval"))
    assert record.status == "self-reported"
    assert record.form_only.value
    assert "was not found" in record.form_only.reason
    assert record.metrics["test"]["recall@10"].per_seed == ()


@pytest.mark.parametrize("name", ["luck@10", "recall@7", "recall", "<b>", "x" * 180])
def test_without_data_only_metrics_of_the_track_are_claimed(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)
    number = {"mean": 0.9, "sd": None, "n": 1}
    edit_card(folder, lambda card: card["metrics"]["test"].update({name: {**number, "over": None}}), seal=False)
    edit_json(folder / "submission.json", lambda told: told["claimed"]["test"].update({name: number}))
    monkeypatch.setattr(verify, "load_truth", nothing_there)
    verified = Verification(None, tracks=board.tracks)(folder)
    assert f"test '{name[:60]}" in "".join(check.message for check in verified.failures if check.name == "claims")
    assert "is no metric of the track" in "".join(check.message for check in verified.failures)


UNJUDGED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "sd of one seed": (lambda told: told["claimed"]["test"]["recall@10"].update(sd=0.5), "with sd 0.5, n 1"),
    "n of one seed": (lambda told: told["claimed"]["test"]["recall@10"].update(n=50, sd=0.1), "n 50; there are 1"),
    "no headline": (lambda told: told["claimed"]["test"].pop("recall@10"), "test lacks recall@10"),
    "size": (lambda told: told["files"]["lists/seed-0.parquet"].update(bytes=10**15), "bytes; 1 to"),
    "one file for two seeds": (
        lambda told: told["files"].update({"lists/seed-1.parquet": told["files"]["lists/seed-0.parquet"]}),
        "lists/seed-1.parquet: is the very file of seed 0",
    ),
}


@pytest.mark.parametrize("name", UNJUDGED)
def test_without_data_numbers_that_contradict_themselves_are_refused(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    entry, (change, told) = "trained" if "two seeds" in name else "retrieval", UNJUDGED[name]
    folder = shutil.copytree(board.root / "retrieval" / entry, tmp_path / "retrieval" / entry)
    edit_json(folder / "submission.json", change)
    monkeypatch.setattr(verify, "load_truth", nothing_there)
    verified = Verification(None, tracks=board.tracks)(folder)
    assert told in "".join(check.message for check in verified.failures)


@pytest.mark.parametrize("ends", [{"low": 0.9}, {"low": None}])
def test_without_data_intervals_have_two_ends_in_order(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: dict[str, Any]
) -> None:
    folder = shutil.copytree(board.root / "retrieval" / "retrieval", tmp_path / "retrieval" / "retrieval")
    edit_card(folder, lambda card: card["metrics"]["test"]["recall@10"].update(ends))
    monkeypatch.setattr(verify, "load_truth", nothing_there)
    verified = Verification(None, tracks=board.tracks)(folder)
    told = "".join(check.message for check in verified.failures)
    assert f"card.json: test 'recall@10' has the interval [{ends['low']}, " in told
    assert "which is none" in told


def test_without_data_copies_are_flagged_by_what_they_claim(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("retrieval", "copy"):
        shutil.copytree(board.root / "retrieval" / "retrieval", tmp_path / "retrieval" / name)
    edit_json(tmp_path / "retrieval" / "copy" / "submission.json", lambda told: told.update(entry="copy"))
    monkeypatch.setattr(verify, "load_truth", nothing_there)
    verification = Verification(None, tracks=board.tracks)
    first = verification(tmp_path / "retrieval" / "retrieval")
    assert first.record is not None
    write_record(tmp_path / "retrieval" / "retrieval", first.record.text())
    assert not [check for check in first.record.flags if check.name == "copies"]
    record = verification(tmp_path / "retrieval" / "copy").record
    assert record is not None
    (flag,) = (check for check in record.flags if check.name == "copies")
    assert "that it claims are those of entry retrieval, to nine digits" in flag.message


def test_what_was_judged_elsewhere_is_kept_unless_it_is_not_trusted(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)
    write_record(folder, _record(board.verification(folder)).text())

    assert board.verification(folder).kept == ()
    monkeypatch.setattr(verify, "load_truth", nothing_there)
    kept = Verification(None, tracks=board.tracks)(folder)
    assert _record(kept) == read_record(folder / "verification.json")
    assert kept.kept == ("numbers",)
    forgotten = Verification(None, fresh=True, tracks=board.tracks)(folder)
    assert _record(forgotten).status == "self-reported"
    assert forgotten.kept == ()


def test_one_seed_of_a_model_that_is_not_known_here_is_unchecked(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)

    def entry() -> Entry:
        write_record(folder, _record(board.verification(folder)).text())
        found = read_entry(folder)
        assert isinstance(found, Entry), "it is not refused"
        assert found.submission.deterministic
        return found

    assert not entry().seeds_unchecked
    edit_config(folder, "popularity", "somebodys")

    def renamed(card: dict[str, Any]) -> None:
        card["config"].update(model={**card["config"]["model"], "name": "somebodys"})
        card["config_digest"] = digest_of_json(card["config"])

    edit_card(folder, renamed)
    assert entry().seeds_unchecked


def test_all_problems_are_told_at_once(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)

    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["part"] == "valid", "score"] *= -1
        return table[~((table["part"] == "test") & (table["user_id"] == table["user_id"].iloc[-1]))]

    edit_lists(folder, spoil)
    (folder / "notes.txt").write_text("hello")
    names = {check.name for check in board.verification(folder).checks if check.verdict == "fail"}
    assert {"folder", "lists"} <= names


def _runs(board: Board, name: str) -> list[RunArtefact]:
    return find_runs([board.runs[name]])


def test_packing_refuses_what_is_no_entry(board: Board, tmp_path: Path) -> None:
    track, trained = board.tracks["retrieval"], _runs(board, "trained")
    with pytest.raises(ArtefactError, match="three to be listed"):
        pack(trained[:2], track, "two", ["A"], tmp_path, code=CODE)
    with pytest.raises(ArtefactError, match=r"dataset.impressions|protocol.split.name"):
        pack(_runs(board, "ctr"), track, "other", ["A"], tmp_path, code=CODE)
    with pytest.raises(ArtefactError, match="these runs are of 2"):
        pack([*trained, *_runs(board, "retrieval")], track, "both", ["A"], tmp_path, code=CODE)
    with pytest.raises(ArtefactError, match="is there already"):
        pack(trained, track, "trained", ["A"], board.root, code=CODE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"vault_openings": []}, "opened the test part 0 times"),
        ({"leak": {"name": "window"}}, "behind the cut"),
        ({"altered": {"alterations": []}}, "altered features"),
        ({"protocol_id": "retrieval/other"}, "a metric has another version"),
    ],
)
def test_packing_looks_at_manifests(board: Board, tmp_path: Path, changes: dict[str, object], reason: str) -> None:
    run = _runs(board, "retrieval")[0]
    changed = RunArtefact(run.folder, {**run.manifest, **changes}, run.metrics)
    with pytest.raises(ArtefactError, match=reason):
        pack([changed], board.tracks["retrieval"], "x", ["A"], tmp_path, code=CODE)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("base: null", "base: {run: mine}", "inputs.base.run names a folder of runs"),
        (
            "features: {}\n  alter",
            "features: {text: mine}\n  alter",
            "dataset.features.text names a folder of features",
        ),
        ("preset: clean", "preset: clean\n  file: /home/me/x", "model.file names a path, '/home/me/x'"),
    ],
)
def test_packing_tells_what_can_be_found_on_one_machine_alone(
    board: Board, tmp_path: Path, old: str, new: str, reason: str
) -> None:
    run = _runs(board, "retrieval")[0]
    shutil.copytree(run.folder, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    assert old in text
    config.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ArtefactError, match=f"cannot be read elsewhere: {reason}"):
        moved = [RunArtefact(tmp_path / "run", run.manifest, run.metrics)]
        pack(moved, board.tracks["retrieval"], "x", ["A"], tmp_path, code=CODE)
    assert not (tmp_path / "retrieval").exists()


def test_lists_hold_no_metric(board: Board) -> None:
    for folder in board.root.glob("*/*"):
        names = json.loads((folder / "submission.json").read_text())["files"]
        assert all((folder / name).is_file() for name in names)
        table = pd.read_parquet(next((folder / "lists").iterdir()))
        assert not [column for column in table if "@" in column]


def test_lists_of_data_that_may_not_be_shipped_are_kept_outside(board: Board, tmp_path: Path) -> None:
    track = board.tracks["retrieval"].model_copy(update={"lists_in_git": False})
    verification = Verification(None, tracks={**board.tracks, "retrieval": track})
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)
    (failure,) = verification(folder).failures
    assert "lists.stored is git; lists of retrieval stay outside git. Set it to outside" in failure.message
    outside = {"stored": "outside", "url": None, "command": "mmrec-bench run config.yaml"}
    edit_json(folder / "submission.json", lambda told: told.update(lists=outside))
    assert _record(verification(folder)).status == "list-verified", "whoever has them may judge them"


def test_an_open_entry_is_packed_with_what_it_has_seen_in_the_place_of_an_earlier_one(
    board: Board, tmp_path: Path
) -> None:
    track, runs = board.tracks["retrieval"], _runs(board, "trained")
    told: dict[str, Any] = {"code": CODE, "tier": "open", "external_data": ["a language model"], "title": "MF, again"}
    pack(runs, track, "first", ["A. Author"], tmp_path, **told)
    folder = pack(runs, track, "second", ["A. Author"], tmp_path, replaces="first", **told)
    submission = json.loads((folder / "submission.json").read_text())
    assert (submission["tier"], submission["external_data"]) == ("open", ["a language model"])
    assert (submission["title"], submission["replaces"]) == ("MF, again", "first")
    verified = board.verification(folder)
    assert not verified.refused
    assert "asks to stand in the place of first" in "".join(check.message for check in verified.checks)
    with pytest.raises(ConfigError, match="a closed system has seen none; declare tier open"):
        pack(runs, track, "closed", ["A. Author"], tmp_path, **{**told, "tier": "closed"})


@pytest.mark.parametrize(
    ("valid", "test", "best", "flagged"),
    [
        (0.2, 0.2, 0.2, set()),
        (0.2, 0.251, 0.21, {"gap"}),
        (0.2, 0.149, 0.2, {"gap"}),
        (0.25, 0.251, 0.2, {"too-good"}),
        (0.25, 0.249, 0.2, set()),
        (0.996, 0.996, 0.99, {"too-good"}),
        (0.3, 0.3, None, set()),
    ],
)
def test_gaps_and_leaps_are_flagged(
    board: Board, valid: float, test: float, best: float | None, flagged: set[str]
) -> None:
    track = board.tracks["retrieval"]
    numbers = {"valid": {"recall@10": measured([valid])}, "test": {"recall@10": measured([test])}}
    others = [] if best is None else [entry_of(track, "other", best).record]
    if others:
        others[0].metrics["test"]["recall@10"] = measured([best or 0.0])
    findings = Findings()
    flag_numbers(track, numbers, 0.0, others, findings)
    assert {check.name for check in findings.checks if check.verdict == "flag"} == flagged


def test_claims_are_flagged_as_numbers_are_and_set_no_mark_for_others(board: Board) -> None:
    track = board.tracks["retrieval"]
    other = entry_of(track, "other", 0.9, status="self-reported").record
    other.metrics["test"]["recall@10"] = measured([0.9])
    honest = entry_of(track, "honest", 0.2).record
    honest.metrics["test"]["recall@10"] = measured([0.2])
    findings = Findings()
    numbers = {"valid": {"recall@10": measured([0.05])}, "test": {"recall@10": measured([0.4])}}
    flag_numbers(track, numbers, None, [other, honest], findings)
    assert {check.name for check in findings.checks if check.verdict == "flag"} == {"gap", "too-good"}
    flag_numbers(track, {"valid": {}, "test": {}}, None, [], Findings())  # what lacks is told elsewhere


def test_what_was_only_claimed_is_flagged_too(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "retrieval" / "retrieval"
    shutil.copytree(board.root / "retrieval" / "retrieval", folder)

    def claim(told: Any) -> None:
        told["claimed"]["test"]["recall@10"]["mean"] = 0.999

    edit_json(folder / "submission.json", claim)
    monkeypatch.setattr(verify, "load_truth", nothing_there)
    checks = Verification(None, tracks=board.tracks)(folder).checks
    assert {"gap", "too-good"} <= {check.name for check in checks if check.verdict == "flag"}


def test_two_seeds_are_too_few_whoever_packs_them(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "retrieval" / "trained"
    shutil.copytree(board.root / "retrieval" / "trained", folder)
    (folder / "lists" / "seed-2.parquet").unlink()

    def two(told: Any) -> None:
        told.update(seeds=[0, 1])
        del told["files"]["lists/seed-2.parquet"]

    edit_json(folder / "submission.json", two)
    told = "".join(check.message for check in board.verification(folder).failures)
    assert "has 2 seeds; at least 3 are needed" in told
