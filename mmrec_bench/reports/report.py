"""The written report of a suite or of any run folders: ``report.md`` and ``report.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.knockout import DEFAULT_MARGIN
from mmrec_bench.experiments.suite import Failure
from mmrec_bench.reports.collect import Row, TableKey, collect
from mmrec_bench.reports.files import write_all
from mmrec_bench.reports.intervals import intervals_of
from mmrec_bench.reports.knockout import knockouts_of
from mmrec_bench.reports.knockout_tables import knockout_facts, knockout_frame, knockout_table
from mmrec_bench.reports.lis import LisReport
from mmrec_bench.reports.sessions import session_tables
from mmrec_bench.reports.tables import Table, facts_of, frame_of, tables_of

TASK_TITLES = {
    "retrieval": "Retrieval: which k of all items?",
    "ranking": "Ranking: in which order are given items?",
    "ctr": "CTR: will this user click this item now?",
    "lis": "LIS: what would the future bring a CTR model?",
    "interactive": "Interactive: which query or item to show next, round after round?",
    "forecast": "Forecast: what was said before, and what came",
}


@dataclass(frozen=True, slots=True)
class Group:
    """The tables of one data set and protocol.

    Attributes:
        tables: Accuracy first.
        facts: What a reader must know of data, split and code.
    """

    tables: Sequence[Table]
    facts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Report:
    """A report before it is written.

    Attributes:
        title: Heading.
        command: The command that makes it again.
        description: What it shows.
        groups: By task, one group a data set and protocol.
        frame: All numbers, unrounded.
        failures: What failed, with its message.
    """

    title: str
    command: str
    description: str
    groups: Mapping[str, Sequence[Group]]
    frame: pd.DataFrame
    failures: Sequence[Failure]

    def markdown(self) -> str:
        """Return the whole report in Markdown."""
        parts = [f"# {self.title}\n"]
        if self.description:
            parts.append(self.description.strip() + "\n")
        parts.append(f"Made by `{self.command}`. Unrounded numbers, all metrics and all slices: `report.csv`.\n")
        for task, groups in self.groups.items():
            parts.append(f"## {TASK_TITLES.get(task, task)}\n")
            for group in groups:
                parts += [table.markdown() for table in group.tables]
                if group.facts:
                    parts.append("\n".join(f"- {fact}" for fact in group.facts) + "\n")
        if self.failures:
            parts.append("## Failed\n")
            parts += [
                f"- **{item.label}**{'' if item.seed is None else f', seed {item.seed}'}: {item.message}\n"
                for item in self.failures
            ]
        return "\n".join(parts)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write ``report.md`` and ``report.csv`` and return their paths.

        Raises:
            ResourceError: The folder cannot be written.
        """
        texts = {"report.md": self.markdown(), "report.csv": self.frame.to_csv(index=False)}
        page, numbers = write_all(folder, texts)
        return page, numbers


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
        accuracy, *others = tables_of(key, rows)
        tables = [accuracy, intervals_of(key, rows), *session_tables(key, rows), *others]
        groups.setdefault(key.task, []).append(Group(tables, facts_of(key, rows)))
    for knockout in knockouts:
        shown = Group([knockout_table(knockout, margin)], knockout_facts(knockout, margin))
        groups.setdefault(knockout.key.task, []).append(shown)
    for probe in probes:
        made = [table for table in (probe.lis_table(), probe.ais_table()) if table is not None]
        groups.setdefault("lis", []).append(Group(made, probe.facts()))
    if forecast is not None:
        groups["forecast"] = [Group([forecast], ())]
    frames = [frame_of(key, rows) for key, rows in grouped.items()]
    frames += [knockout_frame(knockout, margin) for knockout in knockouts]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return Report(title, command, description, groups, frame, failures)
