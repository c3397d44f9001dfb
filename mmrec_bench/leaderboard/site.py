"""The static site of the boards: pages that hold all they need, and run nothing but their own script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from mmrec_bench.leaderboard.board import Board, Entry
from mmrec_bench.leaderboard.board_plots import plots_of
from mmrec_bench.leaderboard.board_tables import (
    ENDS,
    MARKS,
    STATUSES,
    TIERS,
    checks_of,
    hardware_words,
    metrics_of,
    slices_of,
    slices_of_entry,
    standing,
)
from mmrec_bench.leaderboard.record import Measured
from mmrec_bench.reports.cards.page import sections
from mmrec_bench.reports.page import SCRIPT, STYLE, shipped, templates
from mmrec_bench.reports.table import ABSENT, Table, number
from mmrec_bench.statistics.contrast import LEVEL

PACKAGE = "mmrec_bench.leaderboard"
GENERATOR = '<meta name="generator" content="mmrec-bench leaderboard">'
"""What all pages hold, so that those of entries that are gone are known."""


def pages(boards: Sequence[Board]) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each page, paths relative to the folder of the site."""
    made = _environment()
    table, links = tracks_table(boards), [f"{board.track.name}/index.html" for board in boards]
    choices = {"task": _distinct(board.track.task for board in boards)}
    yield "index.html", made.get_template("index.html.jinja").render(table=table, links=links, choices=choices)
    for board in boards:
        yield f"{board.track.name}/index.html", _board(made, board)
        titles = board.titles()
        for entry in board.entries:
            yield f"{board.track.name}/entries/{entry.name}.html", _entry(made, board, entry, titles[entry.name])


def tracks_table(boards: Sequence[Board]) -> Table:
    """Return the tracks, a row each."""
    rows = []
    for board in boards:
        first, titles, ranks = board.track.headline[0], board.titles(), board.ranks()
        best = next((titles[entry.name] for entry in board.entries if ranks.get(entry.name) == 1), ABSENT)
        rows.append((
            board.track.title, board.track.task, board.track.dataset.card, first,
            number(len(board.entries), "d"), best,
        ))  # fmt: skip
    header = ("track", "task", "data set", "ranked by", "entries", "first")
    note = "First: the highest of rank 1. Numbers of two tracks never mean the same."
    return Table("Tracks", note, header, tuple(rows))


def _environment() -> Environment:
    made = templates(PACKAGE)
    style, script = STYLE + shipped("board.css", PACKAGE), SCRIPT + shipped("board.js", PACKAGE)
    # Only what has these digests is run or styles: text of a submission could do neither, even if it were not escaped.
    policy = (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'"
    )
    made.globals |= {
        "style": Markup(style), "script": Markup(script), "policy": policy, "ends": ENDS, "statuses": STATUSES,
        "marks": MARKS, "tiers": TIERS,
    }  # fmt: skip
    return made


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _board(made: Environment, board: Board) -> str:
    choices = {
        "tier": _distinct(entry.submission.tier for entry in board.entries),
        "status": [name for name in STATUSES if any(entry.record.status == name for entry in board.entries)],
        "marks": [name for name in MARKS if any(name in board.marks(entry) for entry in board.entries)],
    }
    return made.get_template("board.html.jinja").render(
        board=board, titles=board.titles(), table=standing(board), slices=slices_of(board), plots=plots_of(board),
        links=[f"entries/{entry.name}.html" for entry in board.entries], values=values_of(board),
        choices={name: found for name, found in choices.items() if found},
    )  # fmt: skip


def values_of(board: Board) -> dict[str, Any]:
    """Return what two entries are compared by: headline metrics, and the first of them on slices."""
    first, titles = board.track.headline[0], board.titles()
    entries, metrics = [], dict.fromkeys(board.track.headline)
    for entry in board.entries:
        slices = {
            f"{first}, {name}": found[first] for name, found in entry.record.slices.items() if first in found
        }  # fmt: skip
        metrics |= dict.fromkeys(slices)
        tests: Mapping[str, Measured | None] = {name: entry.test(name) for name in board.track.headline} | slices
        entries.append({
            "title": titles[entry.name],
            "deterministic": entry.submission.deterministic and not entry.seeds_unchecked,
            "tests": {
                name: {"mean": found.mean, "seeds": list(found.per_seed)}
                for name, found in tests.items()
                if found is not None
            },
        })  # fmt: skip
    return {"level": LEVEL, "metrics": list(metrics), "entries": entries}


def _entry(made: Environment, board: Board, entry: Entry, title: str) -> str:
    tables = {"metrics": metrics_of(entry), "slices": slices_of_entry(entry), "checks": checks_of(entry.record)}
    return made.get_template("entry.html.jinja").render(
        board=board, entry=entry, title=title, sections=list(sections(entry.card)), marked_by=board.marks(entry),
        replaced_by=board.replaced.get(entry.name),
        stands=board.replaced.get(entry.submission.replaces or "") == entry.name,
        has_earlier=any(other.name == entry.submission.replaces for other in board.entries),
        hardware=hardware_words(entry.record.hardware),
        tables={name: table for name, table in tables.items() if table is not None},
    )  # fmt: skip


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
