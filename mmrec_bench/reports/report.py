"""The written report of a suite or of any run folders: a page, Markdown, LaTeX and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import pandas as pd

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.knockout import DEFAULT_MARGIN
from mmrec_bench.experiments.suite import Failure
from mmrec_bench.reports.collect import Row, TableKey, collect
from mmrec_bench.reports.family import told_apart
from mmrec_bench.reports.files import write_all
from mmrec_bench.reports.findings import RULE, findings_of
from mmrec_bench.reports.group import Group, anchor
from mmrec_bench.reports.intervals import intervals_of
from mmrec_bench.reports.knockout import Knockout, knockouts_of
from mmrec_bench.reports.knockout_tables import knockout_facts, knockout_frame, knockout_table
from mmrec_bench.reports.latex import latex
from mmrec_bench.reports.lis import LisReport
from mmrec_bench.reports.page import page_of
from mmrec_bench.reports.sessions import session_tables
from mmrec_bench.reports.standing import standings_of
from mmrec_bench.reports.table import Table
from mmrec_bench.reports.tables import facts_of, frame_of, headline, tables_of

TASK_TITLES = {
    "retrieval": "Retrieval: which k of all items?",
    "ranking": "Ranking: in which order are given items?",
    "ctr": "CTR: will this user click this item now?",
    "lis": "LIS: what would the future bring a CTR model?",
    "interactive": "Interactive: which query or item to show next, round after round?",
    "forecast": "Forecast: what was said before, and what came",
}


@dataclass(frozen=True, slots=True)
class Report:
    """A report before it is written.

    Attributes:
        title: Heading.
        command: The command that makes it again.
        description: What it shows.
        scope: How many runs, rows and seeds it is of, a sentence.
        groups: By task, one group a data set and protocol.
        frame: All numbers, unrounded.
        failures: What failed, with its message.
    """

    title: str
    command: str
    description: str
    scope: str
    groups: Mapping[str, Sequence[Group]]
    frame: pd.DataFrame
    failures: Sequence[Failure]

    def markdown(self) -> str:
        """Return the whole report in Markdown."""
        parts = [f"# {self.title}\n"]
        if self.description:
            parts.append(self.description.strip() + "\n")
        parts.append(
            f"{self.scope} Made by `{self.command}`. Unrounded numbers, all metrics and all slices: `report.csv`; the "
            "same tables as a page: `report.html`.\n"
        )
        told = [group for groups in self.groups.values() for group in groups if group.findings]
        if told:
            parts.append("## What this shows\n")
            parts += [f"**{group.title}**\n\n{_bullets(group.findings)}" for group in told]
            parts.append(f"**Bold**: best; <ins>underlined</ins>: second best. {RULE}\n")
        for task, groups in self.groups.items():
            parts.append(f"## {TASK_TITLES.get(task, task)}\n")
            for group in groups:
                parts += [group.apart + "\n"] if group.apart else []
                parts += [table.markdown() for table in group.tables]
                parts += [_bullets(group.facts)] if group.facts else []
        if self.failures:
            parts.append("## Failed\n")
            parts += [
                f"- **{item.label}**{'' if item.seed is None else f', seed {item.seed}'}: {item.message}\n"
                for item in self.failures
            ]
        return "\n".join(parts)

    def write(self, folder: Path) -> tuple[Path, Path, Path]:
        """Write the report; return the paths of ``report.html``, ``report.md`` and ``report.csv``.

        Each table is written below ``tables``, too, as CSV and LaTeX.

        Raises:
            ResourceError: The folder cannot be written.
        """
        texts = {
            "report.html": page_of(self, TASK_TITLES),
            "report.md": self.markdown(),
            "report.csv": self.frame.to_csv(index=False),
        }
        for groups in self.groups.values():
            for group in groups:
                for table in group.tables:
                    name = group.name_of(table)
                    texts[f"tables/{name}.csv"] = table.frame().to_csv(index=False)
                    texts[f"tables/{name}.tex"] = latex(table, name)
        html, markdown, numbers, *_ = write_all(folder, texts)
        return html, markdown, numbers


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences) + "\n"


def make_report(
    title: str,
    command: str,
    runs: Sequence[tuple[str | None, RunArtefact]],
    *,
    extra: Sequence[tuple[str | None, RunArtefact]] = (),
    margin: float = DEFAULT_MARGIN,
    description: str = "",
    failures: Sequence[Failure] = (),
    probes: Sequence[LisReport] = (),
    forecast: Table | None = None,
) -> Report:
    """Return the report of these runs; a pure function of their folders.

    Args:
        title: Heading.
        command: The command that makes it again.
        runs: Runs with the label of their row; those on altered features stand in tables of knockouts alone.
        extra: Further runs that only tables of knockouts show.
        margin: Share of the real score within which a difference counts as none.
        description: What it shows.
        failures: What failed.
        probes: LIS probes, which stand in a section of their own.
        forecast: What was said before of the cost, beside what came.
    """
    grouped: dict[TableKey, list[Row]] = collect(runs)
    knockouts = knockouts_of([*runs, *extra])
    groups: dict[str, list[Group]] = {}
    for key, rows in grouped.items():
        groups.setdefault(key.task, []).append(_group(key, rows, grouped))
    for knockout in knockouts:
        groups.setdefault(knockout.key.task, []).append(_knockout_group(knockout, margin))
    for probe in probes:
        groups.setdefault("lis", []).append(_probe_group(probe))
    if forecast is not None:
        groups["forecast"] = [Group(forecast.title, "forecast", [forecast], ())]
    frames = [frame_of(key, rows) for key, rows in grouped.items()]
    frames += [knockout_frame(knockout, margin) for knockout in knockouts]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return Report(title, command, description, _scope(grouped, knockouts, probes), groups, frame, failures)


def _group(key: TableKey, rows: Sequence[Row], grouped: Mapping[TableKey, Sequence[Row]]) -> Group:
    standings = standings_of(key, rows, headline(key, rows))
    accuracy, *others = tables_of(key, rows, standings)
    alike = sum(other.heading == key.heading and other.task == key.task for other in grouped) > 1
    return Group(
        title=f"{key.heading} ({_which(key)})" if alike else key.heading,
        anchor=anchor(key.task, key.dataset, *astuple(key)),
        tables=[accuracy, intervals_of(key, rows), *session_tables(key, rows), *others],
        facts=facts_of(key, rows),
        findings=findings_of([row.label for row in rows], standings.get(key.select_by)),
        apart=_apart(key, grouped),
    )


def _apart(key: TableKey, grouped: Mapping[TableKey, Sequence[Row]]) -> str | None:
    """Return why rows do not stand in the first tables of their task and data set; None where they do."""
    first = next(other for other in grouped if (other.task, other.dataset) == (key.task, key.dataset))
    if first == key:
        return None
    differing = told_apart([grouped[first][0], grouped[key][0]])
    return f"Numbers of these runs mean something else than those above. {differing}"


def _which(key: TableKey) -> str:
    """Return what tells tables of one data set apart, in short."""
    *names, digest = key.protocol_id.split("/")
    return f"{''.join(f'{name}, ' for name in names[1:2])}protocol {digest}, data {key.data}"


def _knockout_group(knockout: Knockout, margin: float) -> Group:
    table, facts = knockout_table(knockout, margin), knockout_facts(knockout, margin)
    unaltered = next(iter(knockout.rows.values())).fingerprint
    name = anchor(knockout.key.task, f"{knockout.key.dataset} {knockout.label}", *astuple(knockout.key), unaltered)
    return Group(table.title, name, [table], facts)


def _probe_group(probe: LisReport) -> Group:
    tables = [table for table in (probe.lis_table(), probe.ais_table()) if table is not None]
    facts = probe.seeds[0].manifest
    name = anchor("lis", f"{facts['dataset']} {facts['model']}", facts["fingerprints"]["config"])
    return Group(tables[0].title, name, tables, probe.facts())


def _scope(
    grouped: Mapping[TableKey, Sequence[Row]], knockouts: Sequence[Knockout], probes: Sequence[LisReport]
) -> str:
    """Return how many runs, rows and seeds a report is of."""
    rows = [row for rows in grouped.values() for row in rows]
    seeds = sorted({len(row.seeds) for row in rows})
    parts = [f"{_counted(sum(len(row.runs) for row in rows), 'run')} in {_counted(len(rows), 'row')}"]
    parts += [f"n = {seeds[0]}{f' to {seeds[-1]}' if len(seeds) > 1 else ''} seeds a row"] if seeds else []
    parts += [f"{_counted(len(knockouts), 'table')} of altered features"] if knockouts else []
    parts += [_counted(len(probes), "probe")] if probes else []
    return f"{', '.join(parts)}."


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
