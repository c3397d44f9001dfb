"""Tables as plain text cells, made once and shown on the terminal, in Markdown and in CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mmrec_bench.metrics.ranking import METRICS
from mmrec_bench.reports.collect import Estimate, Row, TableKey

ABSENT = "-"
HEADLINE = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
"""What the field prints; shown where the protocol has all of them."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of text.

    Attributes:
        title: Heading.
        note: One line under it that says what the numbers are.
        header: Column names; the first column is text, the others are numbers.
        rows: Cells.
    """

    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return the table in Markdown, numbers aligned right."""
        lines = [
            "| " + " | ".join(self.header) + " |",
            "|" + "|".join([" :-- "] + [" --: "] * (len(self.header) - 1)) + "|",
            *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows),
        ]
        return f"### {self.title}\n\n{self.note}\n\n" + "\n".join(lines) + "\n"


def tables_of(key: TableKey, rows: Sequence[Row]) -> list[Table]:
    """Return the tables of one data set and protocol: accuracy, slices, beyond accuracy, cost."""
    names = rows[0].metric_names()
    return [_accuracy(key, rows, names), *_slices(key, rows), *_catalogue(key, rows, names), _cost(key, rows)]


def _seeds(rows: Sequence[Row]) -> str:
    counts = sorted({len(row.seeds) for row in rows})
    return f"n = {'/'.join(map(str, counts))} seed{'s' if counts != [1] else ''}"


def _cell(estimate: Estimate | None, digits: int = 4) -> str:
    return ABSENT if estimate is None else estimate.text(digits)


def _accuracy(key: TableKey, rows: Sequence[Row], names: Sequence[str]) -> Table:
    ranking = [name for name in names if name.partition("@")[0] in METRICS]
    shown = [name for name in HEADLINE if name in ranking]
    if key.select_by not in shown:
        shown = [key.select_by, *shown]
    body = tuple(
        (
            row.label,
            str(len(row.seeds)),
            *(_cell(row.metric("test", name)) for name in shown),
            _cell(row.metric("valid", key.select_by)),
        )
        for row in rows
    )
    note = (
        f"Protocol `{key.protocol_id}`. Test metrics, mean ± unbiased standard deviation over seeds ({_seeds(rows)}); "
        f"weights chosen by validation {key.select_by}, rows sorted by it."
    )
    return Table(f"{key.dataset}: accuracy", note, ("model", "n", *shown, f"valid {key.select_by}"), body)


def _slices(key: TableKey, rows: Sequence[Row]) -> list[Table]:
    names = list(dict.fromkeys(name for row in rows for name in row.runs[0].metrics["test_slices"]))
    shown = [name for name in names if any(row.slice(name, key.select_by) for row in rows)]
    if not shown:
        return []
    sizes = {name: rows[0].slice(name, "n_users") for name in shown}
    header = ("model", *(f"{name} ({'?' if size is None else int(size.mean)})" for name, size in sizes.items()))
    body = tuple((row.label, *(_cell(row.slice(name, key.select_by)) for name in shown)) for row in rows)
    note = f"Test {key.select_by} on slices (users in brackets). Protocol `{key.protocol_id}`, {_seeds(rows)}."
    return [Table(f"{key.dataset}: slices", note, header, body)]


def _catalogue(key: TableKey, rows: Sequence[Row], names: Sequence[str]) -> list[Table]:
    k = key.select_by.partition("@")[2]
    shown = [name for name in names if name.partition("@")[0] not in METRICS and name.endswith(f"@{k}")]
    if not shown:
        return []
    body = tuple((row.label, *(_cell(row.metric("test", name)) for name in shown)) for row in rows)
    note = f"What is recommended, whoever likes it. Protocol `{key.protocol_id}`, test lists, {_seeds(rows)}."
    return [Table(f"{key.dataset}: beyond accuracy", note, ("model", *shown), body)]


def _cost(key: TableKey, rows: Sequence[Row]) -> Table:
    def cells(row: Row) -> tuple[str, ...]:
        parameters = row.fact("n_parameters", "total")
        seconds = [row.fact("seconds", phase) for phase in ("prepare", "train", "validate", "test")]
        return (
            row.label,
            ABSENT if parameters is None else f"{int(parameters.mean):,}",
            _cell(row.fact("training", "epochs_run"), 0),
            *(_cell(value, 1) for value in seconds),
            _cell(row.fact("peak_memory_mib"), 0),
        )

    manifests = [run.manifest for row in rows for run in row.runs]
    devices = sorted({f"{facts['device']['name']}, {facts['threads']} threads" for facts in manifests})
    note = f"Mean over seeds ({_seeds(rows)}) on {'; '.join(devices)}. Peak memory is of the whole process."
    header = ("model", "parameters", "epochs", "prepare s", "train s", "validate s", "test s", "peak MiB")
    return Table(f"{key.dataset}: cost", note, header, tuple(cells(row) for row in rows))


FRAME_COLUMNS = (
    "task",
    "dataset",
    "protocol_id",
    "model",
    "label",
    "fingerprint",
    "seeds",
    "part",
    "metric",
    "mean",
    "sd",
    "n",
)


def frame_of(key: TableKey, rows: Sequence[Row]) -> pd.DataFrame:
    """Return everything known of the rows, unrounded: one line a row, part (or slice) and metric.

    Columns: `FRAME_COLUMNS`; facts of the run (seconds, memory, parameters) stand under the part ``run``.
    """
    lines = []
    for row in rows:
        first = row.runs[0]
        parts = [(part, name, row.metric(part, name)) for part in ("valid", "test") for name in first.metrics[part]]
        slices = [
            (f"test {name}", metric, row.slice(name, metric))
            for name, values in first.metrics["test_slices"].items()
            for metric in values
        ]
        facts = [
            *(("run", f"seconds_{phase}", row.fact("seconds", phase)) for phase in first.manifest["seconds"]),
            ("run", "peak_memory_mib", row.fact("peak_memory_mib")),
            ("run", "n_parameters", row.fact("n_parameters", "total")),
            ("run", "epochs_run", row.fact("training", "epochs_run")),
        ]
        base = (key.task, key.dataset, key.protocol_id, first.manifest["model"], row.label, row.fingerprint)
        seeds = " ".join(map(str, row.seeds))
        lines += [
            (*base, seeds, part, metric, estimate.mean, estimate.sd, estimate.n)
            for part, metric, estimate in (*parts, *slices, *facts)
            if estimate is not None
        ]
    return pd.DataFrame(lines, columns=list(FRAME_COLUMNS))
