"""The written report of a suite or of any run folders: a page, Markdown, LaTeX and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.knockout import DEFAULT_MARGIN
from mmrec_bench.experiments.suite import Failure
from mmrec_bench.experiments.tuning.studies import StudyArtefact
from mmrec_bench.reports.collect import Row, TableKey, collect
from mmrec_bench.reports.files import write_all
from mmrec_bench.reports.findings import RULE
from mmrec_bench.reports.group import Group
from mmrec_bench.reports.grouping import Shown, group_of, knockout_group, probe_group, tuning_groups
from mmrec_bench.reports.knockout.tables import knockout_frame
from mmrec_bench.reports.knockout.verdicts import Knockout, knockouts_of
from mmrec_bench.reports.latex import latex
from mmrec_bench.reports.lis import LisReport
from mmrec_bench.reports.page import page_of
from mmrec_bench.reports.table import Table
from mmrec_bench.reports.tables import frame_of

TASK_TITLES = {
    "retrieval": "Retrieval: which k of all items?",
    "ranking": "Ranking: in which order are given items?",
    "ctr": "CTR: will this user click this item now?",
    "lis": "LIS: what would the future bring a CTR model?",
    "interactive": "Interactive: which query or item to show next, round after round?",
    "tuning": "Tuning: which settings were tried, by validation alone",
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
            parts.append(f"**Bold**: best; <ins>underlined</ins>: second best.\n\n{_bullets(RULE)}")
        for task, groups in self.groups.items():
            parts.append(f"## {TASK_TITLES.get(task, task)}\n")
            for group in groups:
                parts += [group.apart + "\n"] if group.apart else []
                parts += [table.markdown() for table in group.tables]
                parts += [f"![{plot.title}](plots/{plot.name}.svg)\n\n{plot.note}\n" for plot in group.plots]
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

        Each table is written below ``tables``, too, as CSV and LaTeX, and each plot below ``plots`` as SVG and PNG.

        Raises:
            ResourceError: The folder cannot be written.
        """
        files: dict[str, str | bytes] = {
            "report.html": page_of(self, TASK_TITLES),
            "report.md": self.markdown(),
            "report.csv": self.frame.to_csv(index=False),
        }
        for groups in self.groups.values():
            for group in groups:
                for table in group.tables:
                    name = group.name_of(table)
                    files[f"tables/{name}.csv"] = table.frame().to_csv(index=False)
                    files[f"tables/{name}.tex"] = latex(table, name)
                for plot in group.plots:
                    files |= {f"plots/{plot.name}.svg": plot.svg, f"plots/{plot.name}.png": plot.png()}
        html, markdown, numbers, *_ = write_all(folder, files)
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
    studies: Sequence[StudyArtefact] = (),
    forecast: Table | None = None,
    draw: bool = False,
    shown: Shown | None = None,
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
        studies: Studies that chose settings.
        forecast: What was said before of the cost, beside what came.
        draw: Whether plots are drawn, which takes seconds; a terminal shows none.
        shown: What can be shown of the items of a run; with it each table is followed by the users whom its first two
            rows serve most differently on validation.
    """
    grouped: dict[TableKey, list[Row]] = collect(runs)
    knockouts = knockouts_of([*runs, *extra])
    groups: dict[str, list[Group]] = {}
    for key in grouped:
        groups.setdefault(key.task, []).append(group_of(key, grouped, draw, shown))
    for knockout in knockouts:
        groups.setdefault(knockout.key.task, []).append(knockout_group(knockout, margin))
    for probe in probes:
        groups.setdefault("lis", []).append(probe_group(probe))
    if studies:
        groups["tuning"] = tuning_groups(studies, draw)
    if forecast is not None:
        groups["forecast"] = [Group(forecast.title, "forecast", [forecast], ())]
    frames = [frame_of(key, rows) for key, rows in grouped.items()]
    frames += [knockout_frame(knockout, margin) for knockout in knockouts]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return Report(title, command, description, _scope(grouped, knockouts, probes), groups, frame, failures)


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
