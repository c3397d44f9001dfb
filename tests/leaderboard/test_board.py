"""Boards: who stands where, what is refused, and that files are a function of what lies beside the entries."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmrec_bench.errors import ArtefactError
from mmrec_bench.leaderboard.board import Board, read_boards
from mmrec_bench.leaderboard.board_files import MARKDOWN, contents, stale, write
from mmrec_bench.leaderboard.board_plots import plots_of
from mmrec_bench.leaderboard.board_tables import MARKS, standing
from mmrec_bench.leaderboard.record import Check, VerificationRecord
from mmrec_bench.leaderboard.site import values_of
from mmrec_bench.leaderboard.track import Track, load_tracks
from tests.leaderboard import entries
from tests.leaderboard.entries import entry_of

TRACKS = load_tracks()
RETRIEVAL = TRACKS["synthetic-retrieval"]


def board_of(*found: entries.Entry | VerificationRecord, track: Track = RETRIEVAL) -> Board:
    return Board.of(track, found)


def test_the_best_stand_first_and_are_ranked_within_their_tier() -> None:
    board = board_of(
        entry_of(RETRIEVAL, "low", 0.1),
        entry_of(RETRIEVAL, "high", 0.3),
        entry_of(RETRIEVAL, "free", 0.2, tier="open"),
        entry_of(RETRIEVAL, "young", 0.25, n_seeds=3),
        entry_of(RETRIEVAL, "fixed", 0.15, n_seeds=1, deterministic=True),
        entry_of(RETRIEVAL, "claimed", 0.9, status="self-reported"),
    )
    assert [entry.name for entry in board.entries] == ["high", "young", "free", "fixed", "low", "claimed"]
    assert board.ranks() == {"high": 1, "fixed": 2, "low": 3, "free": 1}
    assert [board.marks(entry) for entry in board.entries] == [[], ["provisional"], [], [], [], []]


def test_equal_means_share_a_rank_and_stand_by_name() -> None:
    same = [entry_of(RETRIEVAL, name, 0.2) for name in ("b", "a")]
    board = board_of(*same, entry_of(RETRIEVAL, "c", 0.1))
    assert [entry.name for entry in board.entries] == ["a", "b", "c"]
    assert board.ranks() == {"a": 1, "b": 1, "c": 3}


def test_less_is_better_where_the_metric_says_so() -> None:
    track = TRACKS["synthetic-ctr"].model_copy(update={"headline": ("log-loss", "auc")})
    board = board_of(entry_of(track, "a", 0.6), entry_of(track, "b", 0.4), track=track)
    assert [entry.name for entry in board.entries] == ["b", "a"]
    assert "Lower is better: log-loss" in standing(board).note
    assert "Nearest to 1 is best: calibration." in standing(board_of(track=TRACKS["synthetic-ctr"])).note


def test_numbers_by_older_metrics_have_no_rank() -> None:
    old, new = (entry_of(RETRIEVAL, name, 0.2) for name in ("old", "new"))
    versions = {**new.record.metric_versions, "recall": 2}
    new = entries.Entry(new.submission, new.record.model_copy(update={"metric_versions": versions}), new.card)
    board = board_of(old, new)
    assert board.ranks() == {"new": 1}
    assert {entry.name: board.marks(entry) for entry in board.entries} == {"new": [], "old": ["older metrics"]}
    assert board.metric_versions == {"ndcg": 1, "recall": 2}


def test_one_without_the_metric_stands_behind_and_is_not_ranked() -> None:
    entry = entry_of(RETRIEVAL, "lacks", 0.9)
    tests = {name: value for name, value in entry.record.metrics["test"].items() if name != "recall@20"}
    record = entry.record.model_copy(update={"metrics": {"valid": {}, "test": tests}})
    board = board_of(entries.Entry(entry.submission, record, entry.card), entry_of(RETRIEVAL, "has", 0.1))
    assert [found.name for found in board.entries] == ["has", "lacks"]
    assert board.ranks() == {"has": 1}


def test_entries_of_one_title_are_told_apart() -> None:
    board = board_of(
        *(entry_of(RETRIEVAL, name, 0.2, title="MF") for name in ("a", "b")), entry_of(RETRIEVAL, "c", 0.1)
    )
    assert board.titles() == {"a": "MF (a)", "b": "MF (b)", "c": "c"}
    assert [entry["title"] for entry in values_of(board)["entries"]] == ["MF (a)", "MF (b)", "c"]


@pytest.mark.parametrize(
    ("name", "title", "told"),
    [
        ("mine", "MF", "MF (mine)"),
        ("mine", "mf (plain)", "mf (plain)"),
        ("mine", "m f", "m f (mine)"),
        ("mine", "m\u0444", "m\u0444 (mine)"),  # a letter of another script
        ("mf-plain", "mf-plain", "mf-plain"),
    ],
)
def test_titles_that_could_be_taken_for_others_have_their_name(name: str, title: str, told: str) -> None:
    board = board_of(entry_of(RETRIEVAL, "mf", 0.2, title="mf (base)"), entry_of(RETRIEVAL, name, 0.1, title=title))
    assert board.titles()[name] == told


def test_a_title_that_says_what_another_is_called_with_its_name_has_its_own() -> None:
    board = board_of(
        entry_of(RETRIEVAL, "plain", 0.3, title="mf"),
        entry_of(RETRIEVAL, "mf", 0.2),
        entry_of(RETRIEVAL, "mine", 0.1, title="mf (plain)"),
    )
    assert board.titles() == {"plain": "mf (plain)", "mf": "mf (mf)", "mine": "mf (plain) (mine)"}


def test_who_is_replaced_by_one_of_its_authors_keeps_its_place_without_a_rank() -> None:
    old = entry_of(RETRIEVAL, "old", 0.3, title="MF", n_seeds=3)
    others = [entry_of(RETRIEVAL, name, level) for name, level in (("low", 0.1), ("lower", 0.05))]
    board = board_of(old, entry_of(RETRIEVAL, "new", 0.2, title="MF", replaces="old"), *others)
    assert board.ranks() == {"new": 1, "low": 2, "lower": 3}
    assert {entry.name: board.marks(entry) for entry in board.entries}["old"] == ["replaced", "provisional"]
    assert board.titles() == {"old": "MF (old)", "new": "MF", "low": "low", "lower": "lower"}
    assert all("Mean test recall@20 of 3 entries" in plot.note for plot in plots_of(board))


def test_nobody_replaces_what_others_have_made() -> None:
    board = board_of(
        entry_of(RETRIEVAL, "old", 0.3),
        entry_of(RETRIEVAL, "new", 0.2, authors=("Somebody",), replaces="old"),
        entry_of(RETRIEVAL, "lost", 0.1, replaces="gone"),
    )
    assert board.replaced == {}
    assert board.ranks() == {"old": 1, "new": 2, "lost": 3}


@pytest.mark.parametrize(
    "told",
    [
        {"status": "self-reported"},
        {"n_seeds": 3},
        {"n_seeds": 5},
        {"tier": "open"},
        {"replaces": "old", "mutual": True},
    ],
    ids=["by a claim", "by few seeds", "by fewer seeds", "from another tier", "by each other"],
)
def test_nobody_takes_a_rank_away_that_it_could_not_have(told: dict[str, Any]) -> None:
    mutual = told.pop("mutual", False)
    old = entry_of(RETRIEVAL, "old", 0.3, n_seeds=6, **({"replaces": "new"} if mutual else {}))
    board = board_of(old, entry_of(RETRIEVAL, "new", 0.2, **{"replaces": "old", "n_seeds": 6, **told}))
    assert board.replaced == {}
    assert board.ranks()["old"] == 1


def _by(entry: entries.Entry, versions: dict[str, int]) -> entries.Entry:
    """Return an entry that metrics of these versions have judged."""
    return dataclasses.replace(entry, record=entry.record.model_copy(update={"metric_versions": versions}))


def test_who_is_judged_by_older_metrics_takes_no_rank_away() -> None:
    newest = {"recall": 2, "ndcg": 1}
    old, other = (_by(entry_of(RETRIEVAL, name, level), newest) for name, level in (("old", 0.3), ("other", 0.1)))
    board = board_of(old, other, entry_of(RETRIEVAL, "new", 0.2, replaces="old"))
    assert board.replaced == {}
    assert board.ranks() == {"old": 1, "other": 2}


def test_a_claim_makes_no_metric_older() -> None:
    claim = _by(entry_of(RETRIEVAL, "claim", 0.3, status="self-reported"), {"recall": 9, "luck": 1})
    board = board_of(claim, entry_of(RETRIEVAL, "a", 0.2), entry_of(RETRIEVAL, "b", 0.1))
    assert board.ranks() == {"a": 1, "b": 2}
    assert board.metric_versions == {"recall": 1, "ndcg": 1}
    assert board_of(claim).metric_versions == {"luck": 1, "recall": 9}


@pytest.mark.parametrize("n", [2, 3, 5])
def test_entries_that_replace_one_another_in_a_ring_replace_nothing(n: int) -> None:
    ring = [entry_of(RETRIEVAL, f"e{k}", 0.1 * k, replaces=f"e{(k + 1) % n}") for k in range(n)]
    assert board_of(*ring).replaced == {}
    for mean in (0.0, 0.9):
        other = entry_of(RETRIEVAL, "other", mean, replaces="e0")
        assert board_of(*ring, other).replaced == {"e0": "other"}, "the ring is its own alone"
    board = board_of(*(entry_of(RETRIEVAL, f"e{k}", 0.1 * k, replaces=f"e{k + 1}") for k in range(n)))
    assert board.replaced == {f"e{k + 1}": f"e{k}" for k in range(n - 1)}, "a row of them does"


@pytest.mark.parametrize(("status", "ranked"), [("list-verified", False), ("rerun-verified", True), ("audited", True)])
def test_one_seed_by_the_word_of_its_authors_has_no_rank(status: str, ranked: bool) -> None:
    told = entry_of(RETRIEVAL, "told", 0.3, n_seeds=1, deterministic=True, status=status)
    known = entry_of(RETRIEVAL, "known", 0.2, n_seeds=1, deterministic=True, flags=("looks odd",))
    unknown = Check(name="model", verdict="flag", message="config.yaml: the model 'mine' is not installed here")
    record = told.record.model_copy(update={"checks": (*told.record.checks, unknown)})
    seeds = entry_of(RETRIEVAL, "seeds", 0.1)
    board = board_of(
        entries.Entry(told.submission, record, told.card),
        entries.Entry(seeds.submission, seeds.record.model_copy(update={"checks": record.checks}), seeds.card),
        known,
    )
    assert ("told" in board.ranks()) == ranked
    assert {"known", "seeds"} < {*board.ranks(), "told"}
    assert ("seeds unchecked" in board.marks(board.entries[0])) != ranked
    assert all(set(board.marks(entry)) <= set(MARKS) for entry in board.entries)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, level in (("a", 0.2), ("b", 0.1)):
        entries.write(tmp_path, entry_of(RETRIEVAL, name, level, parameters=int(level * 1e6)))
    return tmp_path


def made(root: Path) -> dict[str, str]:
    return contents(read_boards(root / "submissions", TRACKS))


def test_two_makings_are_the_same_bytes_and_an_up_to_date_board_is_not_stale(root: Path) -> None:
    files = made(root)
    assert files == made(root)
    write(root, files)
    assert stale(root, made(root)) == []
    assert {path.relative_to(root).as_posix() for path in (root / "site").rglob("*.*")} | {MARKDOWN} == set(files)


def test_a_stale_board_is_told_file_by_file(root: Path) -> None:
    write(root, made(root))
    entries.write(root, entry_of(RETRIEVAL, "c", 0.3))
    shutil.rmtree(root / "submissions" / RETRIEVAL.name / "b")
    (root / "site" / "index.html").unlink()
    (root / "site" / "mine.html").write_text("not of ours", encoding="utf-8")
    pages = root / "site" / RETRIEVAL.name
    assert stale(root, made(root)) == [
        f"{root / MARKDOWN}: is not what the entries make",
        f"{root / 'site' / 'index.html'}: is missing",
        f"{pages / 'index.html'}: is not what the entries make",
        f"{pages / 'entries' / 'c.html'}: is missing",
        f"{pages / 'entries' / 'b.html'}: is of an entry that is gone",
    ]
    write(root, made(root))
    assert stale(root, made(root)) == []
    assert not (pages / "entries" / "b.html").exists()
    assert (root / "site" / "mine.html").exists(), "what no build made is left alone"


def test_all_that_is_wrong_is_told_at_once(root: Path) -> None:
    submissions = root / "submissions"
    (submissions / RETRIEVAL.name / "a" / "verification.json").unlink()
    path = submissions / RETRIEVAL.name / "b" / "submission.json"
    path.write_text(path.read_text(encoding="utf-8").replace("A. Author", "B. Author"), encoding="utf-8")
    (submissions / "other-track").mkdir()
    (submissions / RETRIEVAL.name / "notes.txt").write_text("", encoding="utf-8")
    (submissions / RETRIEVAL.name / ".c.partial").mkdir()
    (submissions / RETRIEVAL.name / "link").symlink_to(submissions)
    with pytest.raises(ArtefactError) as raised:
        read_boards(submissions, TRACKS)
    told = str(raised.value).splitlines()
    assert len(told) == 6
    for words in ("leaderboard verify", "submission.json was changed", "after no track", "notes.txt", "link to one"):
        assert sum(words in line for line in told[1:]) >= 1, words


def test_a_record_that_was_edited_or_moved_is_refused(root: Path) -> None:
    folder = root / "submissions" / RETRIEVAL.name
    record = json.loads((folder / "a" / "verification.json").read_text(encoding="utf-8"))
    record["metrics"]["test"]["recall@20"]["mean"] = 0.99
    (folder / "a" / "verification.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "b").rename(folder / "c")
    with pytest.raises(ArtefactError) as raised:
        read_boards(root / "submissions", TRACKS)
    assert "a/verification.json: was changed since it was written" in str(raised.value)
    assert f"c: holds {RETRIEVAL.name}/b" in str(raised.value)


def test_another_card_than_the_one_that_was_packed_is_refused(root: Path) -> None:
    path = root / "submissions" / RETRIEVAL.name / "a" / "card.json"
    path.write_text(path.read_text(encoding="utf-8").replace("a model", "our model"), encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"card\.json is not the one"):
        read_boards(root / "submissions", TRACKS)


def test_another_config_than_the_one_that_was_packed_is_refused(root: Path) -> None:
    path = root / "submissions" / RETRIEVAL.name / "a" / "config.yaml"
    path.write_text("schema_version: 2\n", encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"config\.yaml is not the one"):
        read_boards(root / "submissions", TRACKS)


def test_a_refused_entry_is_named_and_not_listed(root: Path) -> None:
    folder = root / "submissions" / RETRIEVAL.name / "a"
    entry = entry_of(RETRIEVAL, "a", 0.2)
    check = entry.record.checks[0].model_copy(update={"verdict": "fail", "message": "lists/seed-0.parquet: is short"})
    refused = entry.record.model_copy(update={"status": "refused", "checks": (check,)}).sealed()
    (folder / "verification.json").write_text(refused.text(), encoding="utf-8")
    (folder / "card.json").write_text("no card", encoding="utf-8")
    files = made(root)
    page = files[f"site/{RETRIEVAL.name}/index.html"]
    assert "lists/seed-0.parquet: is short" in page
    assert f"site/{RETRIEVAL.name}/entries/a.html" not in files
    assert "- Refused: a: lists/seed-0.parquet: is short" in files[MARKDOWN].replace("\\", "")


def test_an_empty_leaderboard_has_a_board_of_every_track(tmp_path: Path) -> None:
    files = made(tmp_path)
    assert all(f"site/{name}/index.html" in files for name in TRACKS)
    assert files[MARKDOWN].count("No entry yet.") == len(TRACKS)


def test_names_are_text_in_markdown() -> None:
    entry = entry_of(RETRIEVAL, "evil", 0.1, title="[x](https://example.org) | `code` *b*", device=entries.MARKUP)
    text = contents([board_of(entry)])[MARKDOWN]
    (row,) = (line for line in text.splitlines() if "submissions/" in line)
    link = r"[\[x\](https:<!-- -->//example.org) \| \`code\` \*b\*](submissions/synthetic-retrieval/evil)"
    assert link in row
    assert "<script" not in text
    assert row.replace(r"\|", "").count("|") == len(standing(board_of(entry)).header) + 1


def test_addresses_names_and_formulas_stay_text_in_markdown() -> None:
    authors = ("A http://evil.example/x", "WWW.evil.example", "me@evil.example", "costs $5$")
    text = contents([board_of(entry_of(RETRIEVAL, "evil", 0.1, authors=authors))])[MARKDOWN]
    (row,) = (line for line in text.splitlines() if "submissions/" in line)
    assert row.count("evil.example") == 3
    for alive in ("://evil", "www.", "@evil", "$5$"):
        assert alive not in row.lower()


@pytest.mark.parametrize(("told", "stands"), [({}, True), ({"tier": "open"}, False), ({"n_seeds": 5}, False)])
def test_a_page_says_that_an_entry_replaces_another_where_it_does(told: dict[str, Any], stands: bool) -> None:
    old = entry_of(RETRIEVAL, "old", 0.3, n_seeds=6)
    files = contents([board_of(old, entry_of(RETRIEVAL, "new", 0.2, **{"replaces": "old", "n_seeds": 6, **told}))])
    page = files[f"site/{RETRIEVAL.name}/entries/new.html"]
    assert ("<dt>Replaces</dt>" in page) is stands
    assert ("it does not stand in the place of that entry" in page) is not stands
    assert ("<dt>Replaced by</dt>" in files[f"site/{RETRIEVAL.name}/entries/old.html"]) is stands
