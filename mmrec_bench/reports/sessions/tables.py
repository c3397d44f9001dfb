"""Tables of sessions: what asking brings over showing items, what was shown, and how sessions go on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmrec_bench.reports.collect import Row, TableKey
from mmrec_bench.reports.sessions.facts import base_of, curve
from mmrec_bench.reports.table import Cell, Table, interval, number
from mmrec_bench.reports.user_scores import user_scores
from mmrec_bench.statistics.contrast import LEVEL, contrast, over_users
from mmrec_bench.types import DoubleArray

REFERENCE = "item-only"
MOST_ROUNDS = 12
"""Columns of a curve, about; longer sessions show some rounds alone."""


def session_tables(key: TableKey, rows: Sequence[Row]) -> list[Table]:
    """Return the tables of interactive runs; none for other tasks."""
    if key.task != "interactive":
        return []
    return [*_against(key, rows), _answers(key, rows), *_curves(key, rows)]


def _against(key: TableKey, rows: Sequence[Row]) -> list[Table]:
    """Return success and turns of each system minus those of item-only around the same base."""
    references = {base_of(row): row for row in reversed(rows) if row.runs[0].manifest["parts"][0] == REFERENCE}
    compared = [row for base in reversed(references) for row in _with_base(rows, base, references[base])]
    if len(compared) == len(references):
        return []
    lonely = sorted({row.label for row in rows} - {row.label for row in compared})
    level = f"{LEVEL:.0%}".replace("%", " %")
    tables = []
    for metric, meaning in (("success", "higher is better"), ("turns", "lower is better: fewer rounds")):
        names = [name for name in rows[0].metric_names() if name.startswith(f"{metric}@")]
        if not names:
            continue
        columns = [_differences(compared, references, name) for name in names]
        body = tuple(
            (row.label, number(len(row.seeds), "d"), *cells) for row, *cells in zip(compared, *columns, strict=True)
        )
        note = (
            f"Test {metric}, {meaning}. Of {REFERENCE} its own value; of others the difference from {REFERENCE} around "
            f"the same base, sessions paired, and its {level} interval by Student's t, over users as drawn from many "
            f"and over seeds where there are two or more. Not adjusted for the number of rows. Protocol "
            f"`{key.protocol_id}`, data `{key.data}`."
        )
        if lonely:
            note += f" No {REFERENCE} around the base of: {', '.join(lonely)}."
        tables.append(Table(f"{key.heading}: {metric} against {REFERENCE}", note, ("model", "n", *names), body))
    return tables


def _with_base(rows: Sequence[Row], base: tuple[str, int, str], reference: Row) -> list[Row]:
    """Return the rows around a base, the reference first."""
    return [reference, *(row for row in rows if base_of(row) == base and row is not reference)]


def _differences(rows: Sequence[Row], references: dict[tuple[str, int, str], Row], name: str) -> list[Cell]:
    scores = user_scores({row.fingerprint: row for row in rows}, name)
    cells = []
    for row in rows:
        own, reference = scores[row.fingerprint], references[base_of(row)]
        if row is reference:
            cells.append(number(float(own.mean()), ".4f"))
            continue
        difference, ends = _difference(own, scores[reference.fingerprint])
        low, high = ends or (None, None)
        told, between = number(difference, "+.4f"), interval(low, high, "+.4f")
        numbers = ("difference", difference), *between.numbers
        cells.append(told if ends is None else Cell(f"{told} {between}", numbers))
    return cells


def _difference(own: DoubleArray, reference: DoubleArray) -> tuple[float, tuple[float, float] | None]:
    """Return a difference and its interval; the reference is fitted in closed form, and no seed moves it."""
    if len(own) < 2:
        paired = own.mean(axis=0) - reference.mean(axis=0)
        return float(paired.mean()), over_users(paired)
    found = contrast(own, np.repeat(reference[:1], 2, axis=0))
    ends = None if found.low is None or found.high is None else (found.low, found.high)
    return found.difference, ends


def _answers(key: TableKey, rows: Sequence[Row]) -> Table:
    """Return what was shown, how much of it was clicked, and how often an answer was turned into its opposite."""

    def cells(row: Row) -> tuple[str, ...]:
        items, queries, fields, held, clicked, violations = (
            0.0 if (found := row.fact("sessions", "test", *path)) is None else found.mean
            for path in (
                ("shown", "item"), ("shown", "query"), ("shown", "field"), ("held",), ("clicked_queries",),
                ("violations",),
            )
        )  # fmt: skip
        shown = items + queries + fields
        return (
            row.label,
            *(number(count / held, ".2f") for count in (items, queries, fields)),
            _share(queries + fields, shown),
            _share(clicked, queries),
            number(violations, ",.0f"),
            _share(violations, clicked),
        )

    note = (
        "Test sessions, means over seeds. Items, queries and fields shown in a session; queries and fields as a share "
        "of all that was shown; queries clicked as a share of those shown. A violation: a query was clicked, and some "
        "item with all its words falls below one that contradicts it and was not above it before; as a share of the "
        f"clicked queries. Protocol `{key.protocol_id}`, data `{key.data}`."
    )
    header = ("model", "items", "queries", "fields", "share asked", "clicked", "violations", "of the clicked")
    return Table(f"{key.heading}: what was shown", note, header, tuple(cells(row) for row in rows))


def _share(part: float, whole: float) -> Cell:
    return number(part / whole if whole else None, ".1%")


CURVES = {
    "found": (
        "share found by round",
        "Share of the test sessions in which a wanted item was clicked when so many rounds were over; the last guess "
        "is not among them",
        3,
    ),
    "first_rank": (
        "place of the first wanted item by round",
        "Mean place among the candidates not shown when so many rounds were over: 1 once it was found, the number of "
        "candidates where none is left. Lower is better",
        2,
    ),
}
"""Title, meaning and digits of each curve of a manifest."""


def _curves(key: TableKey, rows: Sequence[Row]) -> list[Table]:
    tables = []
    for name, (title, meaning, digits) in CURVES.items():
        means = [[value.mean for value in curve(row, "test", name)] for row in rows]
        last = len(means[0]) - 1
        at = np.unique(np.linspace(0, last, min(last, MOST_ROUNDS) + 1).round().astype(int)).tolist()
        body = tuple(
            (row.label, *(number(values[place], f".{digits}f") for place in at))
            for row, values in zip(rows, means, strict=True)
        )
        note = f"{meaning}. Mean over seeds. Protocol `{key.protocol_id}`, data `{key.data}`."
        tables.append(Table(f"{key.heading}: {title}", note, ("model", *map(str, at)), body))
    return tables
