"""Comparisons in print: tables and sentences."""

from __future__ import annotations

from mmrec_bench.reports.comparisons.family import Family
from mmrec_bench.reports.comparisons.numbers import GAIN, numbers_of
from mmrec_bench.reports.comparisons.pairs import Compared, ComparedTable, fixed
from mmrec_bench.reports.table import ABSENT, Table
from mmrec_bench.reports.tables import code_facts
from mmrec_bench.statistics.comparison import CLAIM_SEEDS
from mmrec_bench.statistics.contrast import LEVEL

FEW_USERS = 100
"""Users below which tests were measured to be off."""


def tables_of_comparisons(made: ComparedTable, family: Family) -> list[Table]:
    """Return the comparisons, what they could have found, and ranks where there are three rows or more."""
    return [_differences(made, family), _power(made), *_ranks(made)]


def facts_of_comparisons(made: ComparedTable, family: Family) -> list[str]:
    """Return what a reader must know of the verdicts, one sentence each."""
    facts = []
    if family.adjustment == "benjamini-hochberg":
        facts.append(
            "Exploration: no comparison was declared beforehand, so that the verdicts are hints, and no claims."
        )
    if any(line.verdict == "needs more seeds" for line in made.lines):
        facts.append(f"Nothing is claimed of fewer than {CLAIM_SEEDS} seeds a side.")
    if any(fixed(row) for row in made.rows):
        facts.append("'fixed': fitted in closed form; no seed moves it, and one run stands for all.")
    if made.key.task == "ctr":
        facts.append(
            f"The {made.metric} is one number of all impressions, and a user's score what the user adds to it: "
            "differences, intervals and verdicts are of the metric; d_z and better / worse are of these parts, "
            "not of users served."
        )
    if made.ranks is None:
        why = (
            "nobody is ranked by parts of a metric" if made.key.task == "ctr" else "they need three rows, and two users"
        )
        facts.append(f"No ranks, and no critical-difference diagram: {why}.")
    if made.lines[0].found.n_users < FEW_USERS:
        facts.append(f"Careful: with fewer than {FEW_USERS} users tests are wrong more often than they say.")
    if family.margin is not None:
        facts.append(
            f"The margin is {family.margin:.2%} of the second mean: 'not worse' falls behind by less, 'equivalent' "
            "differs by less (two one-sided tests); each kind of claim is adjusted over all comparisons on its own."
        )
    return facts + code_facts(made.rows)


def _differences(made: ComparedTable, family: Family) -> Table:
    rows = {row.label: row for row in made.rows}

    def cells(line: Compared) -> tuple[str, ...]:
        found, told = line.found, numbers_of(line, made.sign)
        seeds = [
            "fixed" if fixed(rows[label]) else str(n)
            for label, n in zip((line.first, line.second), found.n_seeds, strict=True)
        ]
        relative = told["difference"] / abs(told["mean_second"]) if told["mean_second"] else None
        return (
            f"{line.first} - {line.second}", " / ".join(seeds), f"{told['difference']:+.4f}",
            ABSENT if relative is None else f"{relative:+.1%}",
            ABSENT if told["low"] is None else f"[{told['low']:+.4f}, {told['high']:+.4f}]",
            _p(found.p_value), _p(line.p_adjusted),
            ABSENT if found.effect.d_z is None else f"{found.effect.d_z:+.3f}",
            f"{found.effect.better:.1%} / {found.effect.worse:.1%}",
            *([_p(line.not_worse), _p(line.equivalent)] if family.margin is not None else ()),
            line.verdict,
        )  # fmt: skip

    how = {"holm": "Holm", "benjamini-hochberg": "Benjamini-Hochberg"}[family.adjustment]
    note = (
        f"Test {made.metric}{', less is better' if made.sign < 0 else ''}. Protocol `{made.key.protocol_id}`, data "
        f"`{made.key.data}`, {made.lines[0].found.n_users:,} users. Differences, first minus second, with {LEVEL:.0%} "
        f"intervals (not adjusted) and p values over users, paired, and seeds, not paired; adjusted by {how} over all "
        "comparisons made together. d_z: mean over standard deviation of the differences of users; better / worse: "
        "users served so."
    )
    margin = ("p not worse", "p equivalent") if family.margin is not None else ()
    header = ("comparison", "seeds", "difference", "relative", "interval", "p", "adjusted p", "d_z", "better / worse")
    lines = tuple(cells(line) for line in made.lines)
    return Table(f"{made.key.heading}: {family.title}", note, (*header, *margin, "verdict"), lines)


def _power(made: ComparedTable) -> Table:
    def cells(line: Compared) -> tuple[str, ...]:
        found, size = line.found, abs(line.found.means[1])
        if found.components is None or not size or found.detectable is None:
            return f"{line.first} - {line.second}", ABSENT, ABSENT
        needed = found.seeds_needed(GAIN)
        return (
            f"{line.first} - {line.second}",
            f"{found.detectable / size:.1%}",
            "too few users" if needed is None else str(needed),
        )

    note = (
        "Estimated from the spread of these runs, for a power of 80 % at 5 %, one comparison alone: the smallest "
        "difference found with as many seeds as the smaller side has, relative to the second mean, and the seeds a "
        f"side that find {GAIN:.0%}. With few seeds both are rough."
    )
    header = ("comparison", "detectable", f"seeds for {GAIN:.0%}")
    return Table(f"{made.key.heading}: power", note, header, tuple(cells(line) for line in made.lines))


def _ranks(made: ComparedTable) -> list[Table]:
    if made.ranks is None:
        return []
    order = sorted(range(len(made.rows)), key=lambda place: made.ranks.ranks[place] if made.ranks else 0)
    bars = {place: [str(bar + 1) for bar, held in enumerate(made.ranks.cliques) if place in held] for place in order}
    rows = tuple(
        (made.rows[place].label, f"{made.ranks.ranks[place]:.3f}", ", ".join(bars[place]) or ABSENT) for place in order
    )
    note = (
        "Mean rank over users of scores averaged over seeds, 1 is best, for these very seeds. Friedman p "
        f"{_p(made.ranks.p_value)}; critical difference (Nemenyi) at 5 % {made.ranks.critical:.3f}: rows of the same "
        "bar are not told apart."
    )
    return [Table(f"{made.key.heading}: ranks", note, ("model", "mean rank", "bar"), rows)]


def _p(value: float | None) -> str:
    if value is None:
        return ABSENT
    return "<0.0001" if value < 1e-4 else f"{value:.4f}"
