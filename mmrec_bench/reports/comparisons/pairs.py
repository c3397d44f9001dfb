"""Comparisons of rows of runs, made from run folders alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.collect import Row, TableKey, collect
from mmrec_bench.reports.comparisons.family import Family
from mmrec_bench.reports.directions import has_direction, lower_is_better
from mmrec_bench.reports.user_scores import RowScores, UserScores
from mmrec_bench.seeding import Seeds
from mmrec_bench.statistics.comparison import CLAIM_SEEDS, Comparison, Verdict, compare, verdict
from mmrec_bench.statistics.families import adjusted
from mmrec_bench.statistics.ranks import CriticalDifference, critical_difference
from mmrec_bench.types import DoubleArray


@dataclass(frozen=True, slots=True)
class Compared:
    """One line of a comparison.

    Attributes:
        first: Label of a row.
        second: Label of the row it is compared with.
        found: The numbers, of scores of which more is better.
        p_adjusted: P value, adjusted for all lines of the family.
        not_worse: Adjusted p value of "not worse"; None without a margin.
        equivalent: Adjusted p value of "equivalent"; None without a margin.
        verdict: What may be claimed.
    """

    first: str
    second: str
    found: Comparison
    p_adjusted: float | None
    not_worse: float | None
    equivalent: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """All lines of one data set and protocol.

    Attributes:
        key: What its numbers mean.
        metric: The test metric.
        sign: 1 where more is better; -1 where less is, and numbers of `lines` are of its negative.
        rows: The rows that are compared.
        lines: The comparisons.
        ranks: Ranks over users of `rows`, in their order; None for fewer than three, and where a user's score is what
            the user adds to a metric of all impressions, which ranks nobody.
    """

    key: TableKey
    metric: str
    sign: int
    rows: tuple[Row, ...]
    lines: tuple[Compared, ...]
    ranks: CriticalDifference | None


def compare_runs(runs: Sequence[RunArtefact], family: Family) -> list[ComparedTable]:
    """Make the comparisons of a family, adjusted over all its tables together.

    Raises:
        ArtefactError: Nothing to compare, a metric without scores of single users, or other users.
    """
    pairs = family.pairs(collect([(None, run) for run in runs]))
    oriented: dict[TableKey, Mapping[str, RowScores]] = {}
    made: list[Comparison] = []
    for key, first, second in pairs:
        if key not in oriented:
            rows = {row.fingerprint: row for other, *both in pairs if other == key for row in both}
            metric = _metric(family, key)
            found = UserScores(rows).both(metric)
            oriented[key] = {name: _oriented(scores, _sign(metric)) for name, scores in found.items()}
        names = first.fingerprint, second.fingerprint
        n_seeds = max(CLAIM_SEEDS, len(first.runs), len(second.runs))
        one, other = (_seeds_of(row, oriented[key][row.fingerprint], n_seeds) for row in (first, second))
        rng = Seeds(0).numpy(f"compare/{'/'.join(names)}/{_metric(family, key)}")  # whatever else is compared
        made.append(compare(one.parts, other.parts, rng, family.margin, (one.means, other.means)))
    lines = _lines(family, [(first.label, second.label) for _, first, second in pairs], made)
    tables = []
    for key, scores in oriented.items():
        places = [place for place, pair in enumerate(pairs) if pair[0] == key]
        rows = {row.fingerprint: row for place in places for row in pairs[place][1:]}
        metric = _metric(family, key)
        tables.append(
            ComparedTable(
                key, metric, _sign(metric), tuple(rows.values()), tuple(lines[place] for place in places),
                None if key.task == "ctr" else _ranks([scores[name].means for name in rows]),
            )
        )  # fmt: skip
    return tables


def fixed(row: Row) -> bool:
    """Whether no seed moves a row: a retrieval model fitted in closed form, whose single run stands for all."""
    return len(row.runs) == 1 and row.key.task == "retrieval" and row.runs[0].deterministic


def seeds_of(row: Row, scores: DoubleArray, n_seeds: int = CLAIM_SEEDS) -> DoubleArray:
    """Return the scores of a row, those of a fixed one so many times: by default as often as a claim needs seeds."""
    return np.repeat(scores, n_seeds, axis=0) if fixed(row) else scores


def _seeds_of(row: Row, scores: RowScores, n_seeds: int) -> RowScores:
    return RowScores(seeds_of(row, scores.parts, n_seeds), seeds_of(row, scores.means, n_seeds))


def _oriented(scores: RowScores, sign: int) -> RowScores:
    """Return scores of which more is better."""
    return RowScores(sign * scores.parts, sign * scores.means)


def _lines(family: Family, labels: Sequence[tuple[str, str]], made: Sequence[Comparison]) -> list[Compared]:
    p = adjusted([found.p_value for found in made], family.adjustment)
    claims = [found.equivalence for found in made]
    none: list[float | None] = [None] * len(made)
    not_worse, equivalent = none, none
    if family.margin is not None:
        not_worse = adjusted([None if one is None else one.not_worse for one in claims], family.adjustment)
        equivalent = adjusted([None if one is None else one.equivalent for one in claims], family.adjustment)
    return [
        Compared(first, second, found, one, behind, within, verdict(found, one, behind, within))
        for (first, second), found, one, behind, within in zip(labels, made, p, not_worse, equivalent, strict=True)
    ]


def _ranks(scores: Sequence[DoubleArray]) -> CriticalDifference | None:
    if len(scores) < 3 or scores[0].shape[1] < 2:
        return None
    return critical_difference(np.stack([group.mean(axis=0) for group in scores], axis=1))


def _metric(family: Family, key: TableKey) -> str:
    metric = family.metric or key.select_by
    if not has_direction(metric):
        raise ArtefactError(f"'{metric}' has no better side: its best value lies between others. Name another metric")
    return metric


def _sign(metric: str) -> int:
    return -1 if lower_is_better([metric]) else 1
