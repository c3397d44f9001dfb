"""The report of a LIS probe: a pure function of its folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_bench.errors import ArtefactError
from mmrec_bench.evaluation.leakage import POWER, Comparison, Impact
from mmrec_bench.experiments.lis.config import LisConfig
from mmrec_bench.experiments.lis.leaks import Variant
from mmrec_bench.experiments.lis.probe import BASELINE, ProbeArtefact
from mmrec_bench.metrics.bootstrap import user_draws
from mmrec_bench.reports.files import write_all
from mmrec_bench.reports.plots.bars import bars_plot
from mmrec_bench.reports.table import ABSENT, Cell, Table, interval, number, seeds_in_words
from mmrec_bench.statistics.contrast import LEVEL
from mmrec_bench.types import BoolArray, FloatArray

SLICES = {"all": None, "known users": True, "new users": False}


@dataclass(frozen=True, slots=True)
class LisRow:
    """What one variant gains.

    Attributes:
        variant: What was put into the model.
        impacts: Its gain over M_T by slice; slices of one class, or of one user, are left out.
    """

    variant: Variant
    impacts: Mapping[str, Impact]

    @property
    def impact(self) -> Impact:
        """Its gain on all impressions."""
        return self.impacts["all"]


@dataclass(frozen=True)
class LisReport:
    """A probe before its report is written.

    Attributes:
        title: Heading.
        command: The command that makes it again.
        config: What was asked; its margin and its draws are read.
        seeds: The folder of each seed.
        measured: By set of features, the table of scores of each seed.
    """

    title: str
    command: str
    config: LisConfig
    seeds: Sequence[ProbeArtefact]
    measured: Mapping[str, Sequence[pd.DataFrame]]

    @cached_property
    def tables(self) -> list[pd.DataFrame]:
        """The scores of each seed, whose impressions are the same."""
        found = [artefact.scores() for artefact in self.seeds]
        facts = ["user_id", "item_id", "timestamp", "label"]
        for artefact, table in zip(self.seeds, found, strict=True):
            if not table[facts].equals(found[0][facts]):
                raise ArtefactError(f"{artefact.folder}: was judged on other impressions than the other seeds")
        return found

    @cached_property
    def rows(self) -> list[LisRow]:
        """A row a variant, then a row a set of features."""
        columns = {variant: self._scores(variant.name) for variant in self.seeds[0].variants}
        for name, tables in self.measured.items():
            variant = Variant("features", "add", control=name)
            columns[variant] = np.stack([table[variant.name].to_numpy() for table in tables])
        found: dict[Variant, dict[str, Impact]] = {variant: {} for variant in columns}
        for slice_name, known in SLICES.items():
            if (comparison := self._comparisons.get(slice_name)) is None:
                continue
            kept = self._rows_of(known)
            for variant, scores in columns.items():
                found[variant][slice_name] = comparison.of(scores[:, kept])
        return [LisRow(variant, impacts) for variant, impacts in found.items()]

    @property
    def bounds(self) -> list[LisRow]:
        """The leaks that features are set against: the item table of the longest horizon, in each mode."""
        leaked = [row for row in self.rows if row.variant.source == "id-embedding" and row.variant.control is None]
        return list({row.variant.mode: row for row in leaked}.values())

    @cached_property
    def _comparisons(self) -> dict[str, Comparison]:
        table, found = self.tables[0], {}
        for name, known in SLICES.items():
            kept = self._rows_of(known)
            labels = table["label"].to_numpy(np.int8)[kept]
            users = np.unique(table["user_id"].to_numpy()[kept], return_inverse=True)[1].astype(np.int64)
            if known is not None and (len(np.unique(labels)) < 2 or users.max() < 1):
                continue
            draws = user_draws(int(users.max()) + 1, self.config.n_draws, self.config.bootstrap_seed)
            baseline = self._scores(BASELINE)[:, kept]
            found[name] = Comparison(users, labels, baseline, draws)
        return found

    def _rows_of(self, known: bool | None) -> BoolArray:
        table = self.tables[0]
        if known is None:
            return np.ones(len(table), np.bool_)
        mask: BoolArray = table["known_user"].to_numpy() == known
        return mask

    def _scores(self, name: str) -> FloatArray:
        return np.stack([table[name].to_numpy() for table in self.tables])

    @property
    def _n(self) -> str:
        return seeds_in_words([len(self.seeds)])

    def lis_table(self) -> Table:
        """Return what every leak and control gains."""
        margin = self.config.margin
        header = (
            "what is given", "mode", "days", "control", "LIS", f"{_percent(LEVEL)} interval", "per seed", "GAUC", "MDE",
            f"> {margin:g}", "verdict",
        )  # fmt: skip
        body = [
            (
                row.variant.source,
                row.variant.mode,
                number(row.variant.days, "g"),
                row.variant.control or ABSENT,
                *_cells(row.impact),
                "yes" if row.impact.mean > margin else "no",
                row.impact.verdict(margin),
            )
            for row in self.rows
            if row.variant.source != "features"
        ]
        facts = self.seeds[0].manifest
        judged, aucs = facts["judged"], self._comparisons["all"].aucs
        of_seeds = ", for this very seed" if len(self.seeds) == 1 else ", widened for seeds by Student's t"
        note = (
            f"Gain of test AUC over M_T ({', '.join(f'{value:.4f}' for value in aucs)} by seed), mean over "
            f"{self._n}. Protocol `{facts['protocol_id']}`; {judged['impressions']:,} impressions of "
            f"{judged['users']:,} users ({judged['share']:.1%} of all, {judged['days']:.1f} days behind T). Intervals: "
            f"{self.config.n_draws:,} draws of users{of_seeds}. MDE: the smallest gain that would be found at this "
            f"level with power {POWER:g}."
        )
        return Table(f"{facts['dataset']}: LIS of {facts['model']}", note, header, tuple(body))

    def slice_table(self) -> Table:
        """Return the same for known and new users."""
        names = [name for name in SLICES if name != "all" and name in self._comparisons]
        header = ("variant", *(f"{name}: {what}" for name in names for what in ("gain", "interval")))
        body = tuple(
            (row.variant.name, *(cell for name in names for cell in _cells(row.impacts[name])[:2])) for row in self.rows
        )
        counts = {name: int(self._rows_of(SLICES[name]).sum()) for name in names}
        note = f"Impressions: {', '.join(f'{count:,} of {name}' for name, count in counts.items())}. Known users have "
        note += f"an impression before T. {self._n}."
        return Table(f"{self.seeds[0].manifest['dataset']}: known and new users", note, header, body)

    def ais_table(self) -> Table | None:
        """Return how near honest features come to the bound, best first; None without sets of features."""
        rows = self.ranked
        if not rows:
            return None
        margin, bounds = self.config.margin, self.bounds
        ratios = tuple(f"AIS / LIS ({bound.variant.mode})" for bound in bounds)
        header = ("features", "AIS", f"{_percent(LEVEL)} interval", "per seed", "GAUC", "MDE", "verdict", *ratios)
        body = tuple(
            (
                row.variant.control or ABSENT,
                *_cells(row.impact),
                row.impact.verdict(margin),
                *(_ratio(row.impact, bound.impact) for bound in bounds),
            )
            for row in rows
        )
        note = f"Gain of test AUC over M_T of features in the extra slot, mean over {self._n}. "
        told = (
            f"LIS of `{bound.variant.name}` is {bound.impact.mean:+.4f} [{low:+.4f}, {high:+.4f}]"
            for bound in bounds
            for low, high in [bound.impact.interval]
        )
        note += "; ".join(told) + ". " if bounds else "No id-embedding leak was measured to compare with. "
        note += "Ratios are refused where that interval holds 0, and their own are of the same users and seeds."
        return Table(f"{self.seeds[0].manifest['dataset']}: AIS", note, header, body)

    @property
    def ranked(self) -> list[LisRow]:
        """Sets of features, that of the largest gain first."""
        rows = [row for row in self.rows if row.variant.source == "features"]
        return sorted(rows, key=lambda row: -row.impact.mean)

    def facts(self) -> list[str]:
        """Return what a reader must know, one sentence each."""
        manifest = self.seeds[0].manifest
        leaks = ", ".join(f"{leak['kind']} {leak['days']:g} days" for leak in manifest["leak"])
        notes = (f"{note[:1].upper()}{note[1:]}." for note in manifest["split_report"]["notes"])
        return [
            f"Leaked: {leaks}. These folders are marked, and stand in no table of experiments.",
            f"Impressions: `{manifest['recipe']}`.",
            *notes,
            f"Code {manifest['fingerprints']['code']}, {manifest['device']['name']}, {manifest['threads']} threads.",
        ]

    def frame(self) -> pd.DataFrame:
        """Return all numbers, unrounded: a line a variant and slice."""
        lines = []
        for row in self.rows:
            for name, impact in row.impacts.items():
                low, high = impact.interval
                lines.append(
                    (
                        row.variant.name, name, impact.mean, low, high, impact.detectable, impact.gauc,
                        impact.verdict(self.config.margin), *impact.per_seed,
                    )
                )  # fmt: skip
        seeds = [f"seed_{artefact.manifest['seed']}" for artefact in self.seeds]
        header = ["variant", "slice", "gain", "low", "high", "detectable", "gauc", "verdict", *seeds]
        return pd.DataFrame(lines, columns=header)

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write ``lis.md``, ``lis.csv`` and ``lis.svg`` and return their paths."""
        shown = [self.lis_table(), self.slice_table(), self.ais_table()]
        parts = [f"# {self.title}\n", f"Made by `{self.command}`. Unrounded: `lis.csv`.\n"]
        parts += [table.markdown() for table in shown if table is not None]
        parts.append("\n".join(f"- {fact}" for fact in self.facts()) + "\n")
        plotted = [(row.variant.name, row.impact.mean, *row.impact.interval) for row in self.rows]
        note = f"Gain of test AUC over M_T, mean over {self._n}, with {_percent(LEVEL)} intervals."
        chart = bars_plot("lis", self.title, note, "gain of AUC over M_T", plotted)
        return write_all(
            folder, {"lis.md": "\n".join(parts), "lis.csv": self.frame().to_csv(index=False), "lis.svg": chart.svg}
        )


def _ratio(impact: Impact, bound: Impact) -> Cell:
    found = impact.ratio(bound)
    if found is None:
        return Cell("refused")
    return Cell(
        f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]", list(zip(("ratio", "low", "high"), found, strict=True))
    )


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _cells(impact: Impact) -> tuple[Cell, ...]:
    low, high = impact.interval
    return (
        number(impact.mean, "+.4f"),
        interval(low, high, "+.4f"),
        Cell(" ".join(f"{value:+.4f}" for value in impact.per_seed), [("", impact.per_seed[0])]),
        number(impact.gauc, "+.4f"),
        number(impact.detectable, ".4f"),
    )
