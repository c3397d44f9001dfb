"""Seconds of a board with 500 made-up submissions on one track.

Usage: python -m tests.perf.board [ENTRIES]
"""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

from mmrec_bench.leaderboard.board import Board, Entry, read_boards
from mmrec_bench.leaderboard.board_files import contents, stale, write
from mmrec_bench.leaderboard.track import load_tracks
from tests.leaderboard.entries import entry_of
from tests.leaderboard.entries import write as write_entry
from tests.perf.setup import seconds

ENTRIES = 500
METRICS = ("recall", "precision", "ndcg", "map", "mrr", "hit-rate", "coverage", "gini", "novelty", "average-popularity")


def print_board(n_entries: int = ENTRIES) -> None:
    """Print how long it takes to read entries, to make pages of them, to write these, and to check them."""
    tracks = load_tracks()
    track = tracks["synthetic-retrieval"]
    boards: list[Board] = []
    files: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(n_entries):
            cost = 1.0 + 7919 * number % 1000
            entry = entry_of(
                track, f"system-{number}", 0.1 + 0.0002 * number, parameters=int(1000 * cost), seconds=cost / 10
            )
            write_entry(root, _whole(entry))
        steps = {
            "reading and checking submissions, cards and records": lambda: boards.extend(
                read_boards(root / "submissions", tracks)
            ),
            "making table, pages and plots": lambda: files.update(contents(boards)),
            "writing": lambda: write(root, files),
            "comparing with what is there": lambda: stale(root, files),
        }
        took = {name: seconds(step) for name, step in steps.items()}
    print(f"\n### A board with {n_entries} entries on one track\n\n| what | s |\n| :-- | --: |")
    for name, found in took.items():
        print(f"| {name} | {found:.1f} |")
    reading, making, writing, _ = took.values()
    print(f"| `leaderboard build`, all | {reading + making + writing:.1f} |")
    page, whole = files[f"site/{track.name}/index.html"], sum(map(len, files.values()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\nThe page of the track has {len(page) / 2**20:.1f} MiB, all files {whole / 2**20:.1f}; peak {peak:,.0f} MiB."
    )


def _whole(entry: Entry) -> Entry:
    """Return an entry whose record holds as much as that of a real one: all metrics, on all slices."""
    names = [f"{name}@{k}" for name in METRICS for k in (5, 10, 20, 50)]
    found = entry.record.metrics["test"]["recall@20"]
    test = entry.record.metrics["test"] | {name: found for name in names if name not in entry.record.metrics["test"]}
    record = entry.record.model_copy(
        update={
            "metrics": {"valid": test, "test": test},
            "slices": {f"users:slice-{place}": dict.fromkeys(names, found) for place in range(9)},
        }
    )
    return Entry(entry.submission, record.sealed(), entry.card)


if __name__ == "__main__":
    print_board(*map(int, sys.argv[1:]))
