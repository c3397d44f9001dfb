"""The tables of one data set and protocol: accuracy, slices, beyond accuracy, cost; and what a reader must know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from mmrec_bench.metrics.catalogue import CATALOGUE_METRICS
from mmrec_bench.reports.audit import audit_facts
from mmrec_bench.reports.collect import Estimate, Row, TableKey, machines_of, n_of
from mmrec_bench.reports.directions import direction_notes
from mmrec_bench.reports.ranking_facts import of_candidates, ranking_facts
from mmrec_bench.reports.sessions.facts import session_facts, session_headline, session_numbers
from mmrec_bench.reports.standing import Standing
from mmrec_bench.reports.table import ABSENT, Cell, Table, number

HEADLINE = {
    "retrieval": ("recall@10", "recall@20", "ndcg@10", "ndcg@20"),
    "ranking": (
        "ndcg@1",
        "ndcg@5",
        "ndcg@10",
        "map@10",
        "mrr@10",
        "recall@10",
        "recall@50",
        "nsim-pbm@10",
        "nsim-ubm@10",
    ),
    "ctr": ("auc", "gauc", "log-loss", "calibration"),
}
"""What the field prints, by task; shown where the protocol has it. Of sessions see `session_headline`."""


def headline(key: TableKey, rows: Sequence[Row]) -> list[str]:
    """Return the test metrics that the table of accuracy shows."""
    names = rows[0].metric_names()
    sessions = key.task == "interactive"
    shown = session_headline(names, key.select_by) if sessions else [n for n in HEADLINE[key.task] if n in names]
    return shown if key.select_by in shown else [key.select_by, *shown]


def tables_of(key: TableKey, rows: Sequence[Row], standings: Mapping[str, Standing]) -> list[Table]:
    """Return the tables of one data set and protocol: accuracy, slices, beyond accuracy, cost."""
    names = rows[0].metric_names()
    return [_accuracy(key, rows, standings), *_slices(key, rows), *_catalogue(key, rows, names), _cost(key, rows)]


def facts_of(key: TableKey, rows: Sequence[Row]) -> list[str]:
    """Return what a reader must know of the data, the split and the code behind a table, one sentence each."""
    first = rows[0].runs[0].manifest
    data, split = first.get("data_report") or {}, first.get("split_report") or {}
    facts = ranking_facts(rows) if key.task == "ranking" else []
    facts += session_facts(rows) if key.task == "interactive" else []
    if counts := split.get("counts"):
        parts = " / ".join(f"{counts[part]:,}" for part in ("train", "valid", "test"))
        edition = f", edition '{data['edition']}'" if data.get("edition") else ""
        what = "Lists" if key.task == "ranking" and not of_candidates(rows) else "Rows"
        what = "Impressions" if key.task == "ctr" else what
        facts.append(f"{what} for train / valid / test: {parts}{edition}.")
    for name, what in (
        ("cold_users", "users without a training row"),
        ("cold_items", "items that never occur in train"),
    ):
        found = split.get(name) or {}
        if any(found.values()):
            facts.append(f"Held-out {what}: {found.get('valid', 0):,} in valid, {found.get('test', 0):,} in test.")
    if any((dropped := split.get("cold_users_dropped") or {}).values()):
        facts.append(f"Rows of cold users left out: {dropped['valid']:,} of valid, {dropped['test']:,} of test.")
    if data.get("n_duplicates"):
        across = (
            f", {data['n_duplicates_across_parts']:,} across parts" if data.get("n_duplicates_across_parts") else ""
        )
        facts.append(f"Repeated user-item pairs merged when the run was made: {data['n_duplicates']:,}{across}.")
    missing = [f"{name} {count:,}" for name, count in (data.get("missing") or {}).items() if count]
    if missing:
        facts.append(f"Items without features: {', '.join(missing)}.")
    facts += audit_facts(rows)
    facts += [
        f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in (*data.get("notes", ()), *split.get("notes", ()))
    ]
    return facts + code_facts(rows)


def code_facts(rows: Sequence[Row]) -> list[str]:
    """Return a warning where runs of one table were made by different code, and one where what they stand on was."""
    runs = [run.manifest for row in rows for run in row.runs]
    codes = Counter(run["fingerprints"].get("code") for run in runs)
    inputs = Counter(
        (each["kind"], each.get("name", each.get("model")), each["code"])
        for run in runs
        for each in run.get("inputs", ())
        if "code" in each and each["code"] != run["fingerprints"].get("code")
    )
    facts = []
    if len(codes) > 1:
        made = ", ".join(f"{code} ({n} runs)" for code, n in codes.items())
        facts.append(f"Careful: the runs were made by different versions of the code: {made}.")
    if inputs:
        made = ", ".join(f"{kind} {name} by {code} ({n} runs)" for (kind, name, code), n in inputs.items())
        facts.append(f"Careful: what runs stand on was made by another version of the code than they were: {made}.")
    return facts


def _which(key: TableKey) -> str:
    return f"Protocol `{key.protocol_id}`, data `{key.data}`"


def estimate_cell(estimate: Estimate | None, digits: int = 4) -> Cell:
    """Return the cell of a mean over seeds; None is absent."""
    if estimate is None:
        return Cell(ABSENT)
    spread = [] if estimate.sd is None else [("sd", estimate.sd)]
    return Cell(estimate.text(digits), [("mean", estimate.mean), *spread])


def _accuracy(key: TableKey, rows: Sequence[Row], standings: Mapping[str, Standing]) -> Table:
    def scores(row: Row) -> Iterator[Cell]:
        for name in shown:
            standing = standings.get(name)
            cell = estimate_cell(row.metric("test", name))
            yield cell.marked(standing.mark(row.label)) if standing else cell

    shown = headline(key, rows)
    ceilings = [row.fact("lists", "test", "ceiling") for row in rows]
    retrieved = any(ceilings)
    body = tuple(
        (
            row.label,
            number(len(row.seeds), "d"),
            *scores(row),
            estimate_cell(row.metric("valid", key.select_by)),
            *([estimate_cell(ceiling)] if retrieved else ()),
        )
        for row, ceiling in zip(rows, ceilings, strict=True)
    )
    note = (
        f"{_which(key)}. Test metrics, mean ± unbiased standard deviation over seeds ({n_of(rows)}); "
        f"weights chosen by validation {key.select_by}, rows sorted by it."
    )
    note += direction_notes(shown)
    if retrieved:
        note += " Ceiling: the recall of all candidates, mean over users; no order of them can recall more."
    header = ("model", "n", *shown, f"valid {key.select_by}", *(["ceiling"] if retrieved else ()))
    return Table(f"{key.heading}: accuracy", note, header, body)


def _slices(key: TableKey, rows: Sequence[Row]) -> list[Table]:
    names = list(dict.fromkeys(name for row in rows for name in row.runs[0].metrics["test_slices"]))
    shown = [name for name in names if any(row.slice(name, key.select_by) for row in rows)]
    if not shown:
        return []
    sizes = {name: rows[0].slice(name, "n_users") for name in shown}
    header = ("model", *(f"{name} ({'?' if size is None else int(size.mean)})" for name, size in sizes.items()))
    body = tuple((row.label, *(estimate_cell(row.slice(name, key.select_by)) for name in shown)) for row in rows)
    note = f"Test {key.select_by} on slices (users in brackets). {_which(key)}, {n_of(rows)}."
    return [Table(f"{key.heading}: slices", note, header, body)]


def _catalogue(key: TableKey, rows: Sequence[Row], names: Sequence[str]) -> list[Table]:
    k = key.select_by.partition("@")[2]
    shown = [name for name in names if name.partition("@")[0] in CATALOGUE_METRICS and name.endswith(f"@{k}")]
    if not shown:
        return []
    body = tuple((row.label, *(estimate_cell(row.metric("test", name)) for name in shown)) for row in rows)
    note = f"What is recommended, whoever likes it. {_which(key)}, test lists, {n_of(rows)}."
    return [Table(f"{key.heading}: beyond accuracy", note, ("model", *shown), body)]


def _cost(key: TableKey, rows: Sequence[Row]) -> Table:
    def cells(row: Row) -> tuple[str, ...]:
        parameters = [row.fact("n_parameters", kind) for kind in ("total", "item_representation")]
        seconds = [row.fact("seconds", phase) for phase in ("prepare", "train", "validate", "test")]
        return (
            row.label,
            *(number(None if count is None else int(count.mean), ",d") for count in parameters),
            estimate_cell(row.fact("training", "epochs_run"), 0),
            *(estimate_cell(value, 1) for value in seconds),
            estimate_cell(row.fact("peak_memory_mib"), 0),
        )

    note = f"Mean over seeds ({n_of(rows)}) on {'; '.join(machines_of(rows))}. Peak memory is of the whole process. "
    note += "Item parameters stand for the identities of items; projections of their features are counted in the total."
    seconds = ("prepare s", "train s", "validate s", "test s")
    header = ("model", "parameters", "item parameters", "epochs", *seconds, "peak MiB")
    return Table(f"{key.heading}: cost", note, header, tuple(cells(row) for row in rows))


FRAME_COLUMNS = (
    "task",
    "dataset",
    "protocol_id",
    "data",
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
            ("run", "n_parameters_item_representation", row.fact("n_parameters", "item_representation")),
            *(("run", name, row.fact("model_facts", name)) for name in first.manifest.get("model_facts", {})),
            ("run", "epochs_run", row.fact("training", "epochs_run")),
        ]
        facts += session_numbers(row) if key.task == "interactive" else []
        base = (key.task, key.dataset, key.protocol_id, key.data, first.manifest["model"], row.label, row.fingerprint)
        seeds = " ".join(map(str, row.seeds))
        lines += [
            (*base, seeds, part, metric, estimate.mean, estimate.sd, estimate.n)
            for part, metric, estimate in (*parts, *slices, *facts)
            if estimate is not None
        ]
    return pd.DataFrame(lines, columns=list(FRAME_COLUMNS))
