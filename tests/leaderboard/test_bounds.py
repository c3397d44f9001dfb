"""Numbers of strangers: what a card may hold can be drawn and printed."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from mmrec_bench.errors import ArtefactError
from mmrec_bench.leaderboard.board import read_boards
from mmrec_bench.leaderboard.board_files import contents
from mmrec_bench.leaderboard.documents import parse_object
from mmrec_bench.leaderboard.flags import agreement
from mmrec_bench.leaderboard.track import load_tracks
from mmrec_bench.reports.cards.schema import LEAST, MOST, MOST_COUNTED
from tests.leaderboard.entries import entry_of, write

TRACK = load_tracks()["synthetic-retrieval"]


@pytest.mark.parametrize("seconds", [0.0, LEAST, MOST])
@pytest.mark.parametrize("parameters", [0, 1, MOST_COUNTED])
def test_a_board_is_built_of_numbers_at_the_ends(tmp_path: Path, seconds: float, parameters: int) -> None:
    write(tmp_path, entry_of(TRACK, "usual", 0.3))
    write(tmp_path, entry_of(TRACK, "odd", 0.2, seconds=seconds, parameters=parameters))
    files = contents(read_boards(tmp_path / "submissions", {TRACK.name: TRACK}))
    assert "odd" in files["LEADERBOARD.md"]
    assert f"{parameters:,}" in files["LEADERBOARD.md"]


@pytest.mark.parametrize(
    "seconds", [-1.0, -math.ulp(0.0), math.ulp(0.0), LEAST / 2, math.nextafter(MOST, math.inf), math.inf, math.nan]
)
def test_times_beyond_are_none(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"mean"):
        entry_of(TRACK, "odd", 0.2, seconds=seconds)


@pytest.mark.parametrize("parameters", [-1, MOST_COUNTED + 1, 10**400])
def test_sizes_beyond_are_none(parameters: int) -> None:
    with pytest.raises(ValueError, match=r"total"):
        entry_of(TRACK, "odd", 0.2, parameters=parameters)


def test_any_seed_is_held_against_any_other() -> None:
    assert agreement([[1, 2, 3, -1], [4, 5, 6, -1]], [[7, 8, 9, -1], [4, 5, 0, -1]]) == pytest.approx(2 / 3)
    assert agreement([[1, 2]], [[1, 2, 3]]) == 0.0
    assert agreement([[1, 2]], [[1, 2, 3], [1, 2]]) == 1.0
    assert agreement([[-1, -1]], [[-1, -1]]) == 0.0
    assert agreement([[]], [[]]) == 0.0


def test_a_key_given_twice_among_many_is_found_in_one_pass() -> None:
    keys = [*range(40_000), 39_999]
    content = ("{" + ",".join(f'"{key}":1' for key in keys) + "}").encode()
    start = time.process_time()
    with pytest.raises(ArtefactError, match="holds the key '39999' twice"):
        parse_object(content, Path("x.json"))
    assert time.process_time() - start < 2.0
