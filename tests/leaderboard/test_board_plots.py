"""Pictures of a board: who is shown, and who is on the front."""

from __future__ import annotations

import re

from mmrec_bench.leaderboard.board import Board
from mmrec_bench.leaderboard.board_plots import MAX_LABEL, MOST, plots_of
from mmrec_bench.leaderboard.track import load_tracks
from tests.leaderboard.entries import Entry, entry_of

TRACKS = load_tracks()
TRACK = TRACKS["synthetic-retrieval"]


def shown(*entries: Entry) -> dict[str, set[str]]:
    """Return the names in each picture."""
    names = {entry.submission.title for entry in entries}
    return {
        plot.name.removeprefix(f"{TRACK.name}-"): names & set(re.findall(r">([^<>]+)</text>", plot.svg))
        for plot in plots_of(Board.of(TRACK, entries))
    }


def test_accuracy_is_drawn_against_both_costs_of_recomputed_entries() -> None:
    found = shown(
        entry_of(TRACK, "one", 0.3, parameters=1000),
        entry_of(TRACK, "two", 0.2, parameters=10),
        entry_of(TRACK, "claimed", 0.9, status="self-reported"),
    )
    assert found == {"seconds": {"one", "two"}, "parameters": {"one", "two"}}


def test_long_titles_are_cut_beside_their_points() -> None:
    plots = plots_of(Board.of(TRACK, [entry_of(TRACK, "one", 0.3, title="W" * 200), entry_of(TRACK, "two", 0.2)]))
    for plot in plots:
        named = {text for text in re.findall(r">([^<>]+)</text>", plot.svg) if "W" in text}
        assert named == {"W" * (MAX_LABEL - 1) + "…"}


def test_the_best_are_shown_and_all_that_nobody_beats_for_less() -> None:
    many = [entry_of(TRACK, f"good-{place}", 0.2 + 0.01 * place, parameters=1000) for place in range(MOST + 4)]
    small = entry_of(TRACK, "small", 0.01, parameters=1)
    dear = [entry_of(TRACK, f"dear-{place}", 0.02, parameters=10**6 + place) for place in range(3)]
    found = shown(*many, small, *dear)["parameters"]
    assert len(found) == MOST
    assert "small" in found
    assert not any(name.startswith("dear") for name in found)
    (note,) = (plot.note for plot in plots_of(Board.of(TRACK, [*many, small, *dear])) if "parameters" in plot.name)
    assert f"the next best of {len(many) + 4}" in note


def test_nobody_on_the_front_is_left_out() -> None:
    front = [entry_of(TRACK, f"good-{place}", 0.2 + 0.01 * place, parameters=1000 + place) for place in range(MOST + 4)]
    assert len(shown(*front, entry_of(TRACK, "dear", 0.1, parameters=10**6))["parameters"]) == len(front)


def test_seconds_of_several_machines_are_told_apart() -> None:
    found = plots_of(Board.of(TRACK, [entry_of(TRACK, name, 0.2, device=name) for name in ("a", "b")]))
    notes = {plot.name.rpartition("-")[2]: plot.note for plot in found}
    assert "2 kinds of hardware" in notes["seconds"]
    assert "hardware" not in notes["parameters"]


def test_one_entry_and_metrics_of_which_less_is_better_have_no_picture() -> None:
    assert plots_of(Board.of(TRACK, [entry_of(TRACK, "only", 0.2)])) == []
    falling = TRACKS["synthetic-ctr"].model_copy(update={"headline": ("log-loss",)})
    assert plots_of(Board.of(falling, [entry_of(falling, name, 0.2) for name in ("a", "b")])) == []
