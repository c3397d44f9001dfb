"""What the groups of a report are made of: runs, altered features, probes, studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from typing import TypeAlias

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.tuning.studies import StudyArtefact
from mmrec_bench.reports.collect import Row, TableKey
from mmrec_bench.reports.comparisons.family import told_apart
from mmrec_bench.reports.errors.browser import ErrorBrowser, browse_errors
from mmrec_bench.reports.errors.items import ItemViews
from mmrec_bench.reports.findings import findings_of
from mmrec_bench.reports.group import Group, anchor
from mmrec_bench.reports.intervals import intervals_of
from mmrec_bench.reports.knockout.tables import knockout_facts, knockout_table
from mmrec_bench.reports.knockout.verdicts import Knockout
from mmrec_bench.reports.lis import LisReport
from mmrec_bench.reports.plots import plots_of, tuning_plots
from mmrec_bench.reports.plots.tuning import study_groups
from mmrec_bench.reports.sessions.tables import session_tables
from mmrec_bench.reports.standing import standings_of
from mmrec_bench.reports.tables import facts_of, headline, tables_of
from mmrec_bench.reports.tuning_tables import tuning_tables
from mmrec_bench.reports.user_scores import UserScores

SHOWN_USERS = 10
"""Users that a report shows, half of them each way."""

Shown: TypeAlias = Callable[[RunArtefact], ItemViews]
"""What can be shown of the items of a run."""


def group_of(key: TableKey, grouped: Mapping[TableKey, Sequence[Row]], draw: bool, shown: Shown | None = None) -> Group:
    """Return the group of one data set and protocol.

    Args:
        key: Which.
        grouped: All rows of the report.
        draw: Whether plots are drawn.
        shown: What can be shown of items; None shows no users.
    """
    rows = grouped[key]
    reader = UserScores({row.fingerprint: row for row in rows})
    standings = standings_of(rows, headline(key, rows), reader)
    accuracy, *others = tables_of(key, rows, standings)
    alike = sum(other.heading == key.heading and other.task == key.task for other in grouped) > 1
    return Group(
        title=f"{key.heading} ({_which(key)})" if alike else key.heading,
        anchor=anchor(key.task, key.dataset, *astuple(key)),
        tables=[accuracy, intervals_of(key, rows, reader), *session_tables(key, rows), *others],
        facts=facts_of(key, rows),
        findings=findings_of([row.label for row in rows], standings.get(key.select_by)),
        apart=_apart(key, grouped),
        plots=plots_of(key, rows) if draw else (),
        errors=None if shown is None else _errors(rows, shown),
    )


def knockout_group(knockout: Knockout, margin: float) -> Group:
    """Return the group of one experiment on real and on altered features."""
    table, facts = knockout_table(knockout, margin), knockout_facts(knockout, margin)
    unaltered = next(iter(knockout.rows.values())).fingerprint
    name = anchor(knockout.key.task, f"{knockout.key.dataset} {knockout.label}", *astuple(knockout.key), unaltered)
    return Group(table.title, name, [table], facts, findings=facts[: len(knockout.tested)])


def probe_group(probe: LisReport) -> Group:
    """Return the group of a LIS probe."""
    tables = [table for table in (probe.lis_table(), probe.ais_table()) if table is not None]
    facts = probe.seeds[0].manifest
    name = anchor("lis", f"{facts['dataset']} {facts['model']}", facts["fingerprints"]["config"])
    return Group(tables[0].title, name, tables, probe.facts())


def tuning_groups(studies: Sequence[StudyArtefact], draw: bool) -> list[Group]:
    """Return a group for each data set and protocol that settings were tuned on."""
    return [
        Group(
            title=told.dataset,
            anchor=anchor("tuning", told.dataset, *told),
            tables=tuning_tables(members),
            facts=(),
            plots=tuning_plots(members) if draw else (),
        )
        for told, members in study_groups(studies).items()
    ]


def _errors(rows: Sequence[Row], shown: Shown) -> ErrorBrowser | None:
    """Return whom the first two rows on validation serve most differently there, by their first seeds."""
    if len(rows) < 2 or rows[0].key.task not in ("retrieval", "ranking"):
        return None
    first, second = (row.runs[0] for row in rows[:2])
    return browse_errors(first, second, shown(first), n_users=SHOWN_USERS)


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
