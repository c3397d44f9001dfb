"""Sessions from the command line: a run on a small world, its transcripts, and whether these tell the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmrec_bench.data.cards import load_card
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.reports.sessions.transcript import session_list, transcript_of

from .test_cli import call, flags

ROUNDS = 4
SMALL = [
    "inputs.base={model: popularity}",
    f"protocol.cutoffs=[2, {ROUNDS}]",
    "protocol.select_by=success@2",
    "protocol.user={name: noisy, miss: 0.2, slip: 0.2}",
    "protocol.slots=2",
]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world") / "small.yaml"
    path.write_text(
        "schema_version: 1\nname: small\nformat: synthetic\n"
        "world: {n_users: 200, n_items: 150, max_interactions: 50, mean_interactions: 12.0, factor_dim: 4}\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def folder(card: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of CORE on words, with users who err."""
    out = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        settings = [f"dataset.card={card}", *SMALL]
        command = ["run", "configs/synthetic/core-lightgcn.yaml", *flags(settings), "--out", str(out)]
        assert call(patch, *command) == 0
    return next(path.parent for path in out.glob("small/core/*/seed-0/manifest.json"))


def dataset_of(card: Path) -> Dataset[Interactions]:
    return Preparer(None).dataset(str(card))


def all_transcripts(folder: Path) -> list[dict[str, Any]]:
    run = RunArtefact.load(folder)
    listed = session_list(run)
    return [transcript_of(run, row.user_id, row.part, row.session).as_json() for row in listed.itertuples(index=False)]


def test_transcripts_tell_what_users_did_and_metrics_can_be_recomputed(folder: Path, card: Path) -> None:
    assert load_card(str(card)).name == "small"
    items = dataset_of(card)
    assert items.items.words is not None
    row = {str(name): place for place, name in enumerate(items.item_ids)}
    words = {name: {f"{field}: {value}" for field, value in items.items.words.of_item(row[name])} for name in row}
    told = all_transcripts(folder)
    assert {one["part"] for one in told} == {"valid", "test"}
    overlooked = mistaken = 0
    for one in told:
        wanted = {item["item_id"] for item in one["wanted"]}
        assert len(one["candidates"]) == 30
        assert wanted == {item["item_id"] for item in one["candidates"] if item["wanted"]}
        for round_ in one["rounds"]:
            for slot in round_["shown"]:
                asked = set(slot["text"].split(" + "))
                fits = slot["item_id"] in wanted if slot["kind"] == "item" else any(asked <= words[i] for i in wanted)
                assert slot["wanted"] == fits
                overlooked += slot["wanted"] and not slot["clicked"]
                mistaken += slot["clicked"] and not slot["wanted"]
        found = [
            round_["number"] - 1
            for round_ in one["rounds"]
            if any(slot["kind"] == "item" and slot["clicked"] for slot in round_["shown"])
        ]
        guessed = one["last_guess"] is not None and one["last_guess"]["item_id"] in wanted
        assert (one["last_guess"] is None) == bool(found)
        turns = found[0] if found else ROUNDS if guessed else ROUNDS + 3
        assert one["metrics"][f"turns@{ROUNDS}"] == turns
        assert one["metrics"][f"success@{ROUNDS}"] == float(bool(found) or guessed)
        assert one["outcome"] == ("found" if found else "last guess" if guessed else "failed")
        assert len(one["rounds"]) == (found[0] + 1 if found else ROUNDS)
    assert overlooked > 0
    assert mistaken > 0


def test_words_of_fields_are_told_and_of_a_catalogue_the_wanted_items_alone(
    card: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = [*SMALL[:3], f"dataset.card={card}", "protocol.candidates=full", "model.ask=attributes"]
    settings.append("protocol.queries={name: mined, min_items: 1, max_share: 1.0}")  # all words are of use
    command = ["run", "configs/synthetic/core-lightgcn.yaml", *flags(settings), "--out", str(tmp_path)]
    assert call(monkeypatch, *command) == 0
    items = dataset_of(card)
    assert items.items.words is not None
    row = {str(name): place for place, name in enumerate(items.item_ids)}
    words = {name: items.items.words.of_item(row[name]) for name in row}
    named = 0
    for one in all_transcripts(next(path.parent for path in tmp_path.glob("small/core/*/seed-0/manifest.json"))):
        assert one["candidates"] == one["wanted"]
        wanted = {item["item_id"] for item in one["wanted"]}
        for slot in (slot for round_ in one["rounds"] for slot in round_["shown"] if slot["kind"] == "field"):
            told = {value for item in wanted for field, value in words[item] if field == slot["text"]}
            assert slot["clicked"]
            assert slot["answer"] == ", ".join(sorted(told))
            named += 1
        assert all(slot["answer"] is None for round_ in one["rounds"] for slot in round_["shown"] if slot["item_id"])
    assert named > 0


def test_show_and_list(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    listed = tmp_path / "list.json"
    assert call(monkeypatch, "sessions", "list", str(folder), "-n", "2", "--json", str(listed)) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[:3] == ["part", "session", "user"]
    sessions = json.loads(listed.read_text(encoding="utf-8"))
    assert printed[3] == f"2 of {len(sessions)} sessions"
    assert printed[1].split()[:3] == ["test", str(sessions[0]["session"]), sessions[0]["user_id"]]

    assert call(monkeypatch, "sessions", "list", str(folder), "--shortest", "--outcome", "found") == 0
    rounds = [int(line.split()[4]) for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert rounds == sorted(rounds)

    user, shown = sessions[0]["user_id"], tmp_path / "session.json"
    assert call(monkeypatch, "sessions", "show", str(folder), "--user", user, "--json", str(shown)) == 0
    printed_text = capsys.readouterr().out
    assert f"core on popularity on small, seed 0: session {sessions[0]['session']} of {user}" in printed_text
    assert "user: noisy (seed 0, miss 0.2, slip 0.2)" in printed_text
    assert "\x1b" not in printed_text, "plain where it is piped"
    assert json.loads(shown.read_text(encoding="utf-8"))["user_id"] == user


def test_what_cannot_be_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def error(*arguments: str) -> str:
        assert call(monkeypatch, "sessions", *arguments) == 2
        printed = capsys.readouterr().err
        assert "Traceback" not in printed
        return printed

    assert "has no session in this run" in error("show", str(folder), "--user", "nobody")
    assert "no such run folder" in error("show", str(tmp_path / "none"), "--user", "nobody")
    assert "cannot write" in error("list", str(folder), "--json", str(tmp_path / "none" / "x.json"))
    base = next(folder.parents[2].glob("popularity/*/seed-0"))
    assert "is a run of the task retrieval" in error("list", str(base))
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in folder.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes()[: 40 if path.suffix == ".parquet" else None])
    assert "was changed or cut short" in error("list", str(damaged))
