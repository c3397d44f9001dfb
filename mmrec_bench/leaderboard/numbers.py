"""Numbers of a submission: what its lists give over the seeds, held against what its authors claim."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from mmrec_bench.leaderboard.findings import Findings, shown
from mmrec_bench.leaderboard.flags import COPY, agreement, worth_the_same
from mmrec_bench.leaderboard.judges.base import Looks
from mmrec_bench.leaderboard.lists import MAX_FILE
from mmrec_bench.leaderboard.record import Measured
from mmrec_bench.leaderboard.scoring import Scores
from mmrec_bench.leaderboard.submission import CARD, SUBMISSION, Claim, Submission
from mmrec_bench.leaderboard.track import Track
from mmrec_bench.leaderboard.versions import metric_names
from mmrec_bench.leaderboard.words import PARTS, Part
from mmrec_bench.reports.cards.schema import ResultCard
from mmrec_bench.reports.cards.scores import Interval, intervals
from mmrec_bench.reports.collect import Estimate

TOLERANCE = 1e-9
"""Relative difference of a claimed number from what the lists give: both come from the same sums."""


Intervals: TypeAlias = Mapping[Part, Mapping[str, Interval]]
"""Ends of the interval of each metric, by part."""


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """Lists of one seed.

    Attributes:
        looks: What they look like.
        scores: What they are worth.
    """

    looks: Looks
    scores: Scores


def claimed(submission: Submission) -> dict[Part, dict[str, Measured]]:
    """Return the numbers of the authors, where nothing was judged."""

    def measured(claim: Claim) -> Measured:
        return Measured(mean=claim.mean, sd=claim.sd, n=claim.n, per_seed=())

    return {
        part: {name: measured(claim) for name, claim in found.items()} for part, found in submission.claimed.items()
    }


def intervals_of(found: Sequence[Measurement]) -> Intervals:
    """Return the intervals of all metrics of both parts, of those that have scores of users."""
    tables = [one.scores.per_user for one in found]
    return {part: intervals(tables, part, tuple(found[0].scores.metrics[part])) for part in PARTS}


def over_seeds(found: Sequence[Measurement], ends: Intervals, track: Track) -> dict[Part, dict[str, Measured]]:
    """Return every metric of both parts over the seeds, those of the headline with their intervals."""
    result: dict[Part, dict[str, Measured]] = {}
    for part in PARTS:
        result[part] = {}
        for name in found[0].scores.metrics[part]:
            values = [one.scores.metrics[part][name] for one in found if one.scores.metrics[part].get(name) is not None]
            if len(values) == len(found):
                low, high = ends[part].get(name, (None, None)) if name in track.headline else (None, None)
                result[part][name] = _measured(values, low, high)
    return result


def slices_of(found: Sequence[Measurement]) -> dict[str, dict[str, Measured]]:
    """Return test metrics on slices over the seeds."""
    tables = [one.scores.metrics["test_slices"] for one in found]
    result: dict[str, dict[str, Measured]] = {}
    for name, values in tables[0].items():
        for metric in values:
            numbers = [table.get(name, {}).get(metric) for table in tables]
            if not metric.startswith("n_") and all(number is not None for number in numbers):
                result.setdefault(name, {})[metric] = _measured(numbers)
    return result


def _measured(values: Sequence[float], low: float | None = None, high: float | None = None) -> Measured:
    told = Estimate.of(values)
    return Measured(mean=told.mean, sd=told.sd, n=told.n, per_seed=tuple(values), low=low, high=high)


def check_claims(
    submission: Submission,
    metrics: Mapping[Part, Mapping[str, Measured]],
    changed: Collection[str],
    findings: Findings,
) -> None:
    """Hold claimed numbers against those that the lists give; metrics that have changed since are left out."""
    for part, claims in submission.claimed.items():
        for name, claim in claims.items():
            if name.partition("@")[0] in changed:
                continue
            if (found := metrics[part].get(name)) is None:
                findings.fail("claims", SUBMISSION, f"{part} {name[:40]!r} is no metric of the track")
            elif claim.n != found.n or not (_near(claim.mean, found.mean) and _near(claim.sd, found.sd)):
                findings.fail(
                    "claims", SUBMISSION,
                    f"{part} {name} is claimed as {claim.mean!r} (sd {claim.sd!r}, n {claim.n}); the lists give "
                    f"{found.mean!r} (sd {found.sd!r}, n {found.n})",
                )  # fmt: skip
    told = f", but for metrics that have changed since: {', '.join(sorted(changed))}" if changed else ""
    findings.passed("claims", f"every claimed number is what the lists give{told}")


def check_intervals(card: ResultCard, ends: Intervals, changed: Collection[str], findings: Findings) -> None:
    """Hold the intervals that a card tells against those that the lists give, but for metrics that have changed."""
    wrong = (
        f"{part} {shown(name)} has the interval [{score.low!r}, {score.high!r}]; the lists give {list(given)}"
        for part, scores in card.metrics.items()
        for name, score in scores.items()
        if (score.low, score.high) != (None, None) and name.partition("@")[0] not in changed
        if not all(map(_near, (score.low, score.high), given := ends[part].get(name, (None, None))))
    )
    findings.fail_each("claims", CARD, wrong)


def check_unjudged(
    submission: Submission, card: ResultCard | None, track: Track, changed: Collection[str], findings: Findings
) -> None:
    """Check what can be checked of numbers and lists that nothing is held against; see `check_claims`."""
    known = metric_names(track)
    lacking = (
        f"{part} lacks {name}, of the headline of the track"
        for part, claims in submission.claimed.items()
        for name in track.headline
        if name not in claims and name.partition("@")[0] not in changed
    )
    findings.fail_each("claims", SUBMISSION, lacking)
    unknown = (
        f"{part} {shown(name)} is no metric of the track"
        for part, claims in submission.claimed.items()
        for name in claims
        if name not in known and name.partition("@")[0] not in changed
    )
    findings.fail_each("claims", SUBMISSION, unknown)
    n_seeds = len(submission.seeds)
    odd = (
        f"{part} {shown(name)} is claimed with sd {claim.sd!r}, n {claim.n}; there are {n_seeds} seeds"
        for part, claims in submission.claimed.items()
        for name, claim in claims.items()
        if claim.n != n_seeds or (claim.sd is None) is not (n_seeds == 1)
    )
    findings.fail_each("claims", SUBMISSION, odd)
    crossed = (
        f"{part} {shown(name)} has the interval [{score.low!r}, {score.high!r}], which is none"
        for part, scores in (card.metrics if card is not None else {}).items()
        for name, score in scores.items()
        if (score.low is None) is not (score.high is None) or (score.low or 0.0) > (score.high or 0.0)
    )
    findings.fail_each("claims", CARD, crossed)
    seen: dict[str, int] = {}
    for seed, name in submission.list_files.items():
        stored = submission.files[name]
        if not 0 < stored.bytes <= MAX_FILE:
            findings.fail("lists", name, f"is said to have {stored.bytes:,} bytes; 1 to {MAX_FILE:,} are read")
        if (first := seen.setdefault(stored.digest, seed)) != seed:
            findings.fail("seeds", name, f"is the very file of seed {first}; a run is handed in once")


def _near(claimed: float | None, found: float | None) -> bool:
    if claimed is None or found is None:
        return claimed is found
    return abs(claimed - found) <= TOLERANCE * max(1.0, abs(found))


def check_seeds_differ(
    submission: Submission,
    found: Sequence[Measurement],
    scores: Sequence[tuple[float, ...]],
    track: Track,
    findings: Findings,
) -> None:
    """Refuse one run that was handed in as several, and flag seeds that are almost one, or worth the same.

    Args:
        submission: What it says of itself.
        found: What the lists of each seed give.
        scores: The `headlines` of each seed.
        track: Its track.
        findings: Is told.
    """
    if submission.deterministic:
        return
    seen: dict[bytes, int] = {}
    for seed, one in zip(submission.seeds, found, strict=True):
        first = seen.setdefault(one.looks.cells.tobytes(), seed)
        if first != seed:
            name = submission.list_files[seed]
            findings.fail("seeds", name, f"holds the very lists of seed {first}; declare deterministic, or run it")
    runs = zip(submission.seeds, found, scores or [()] * len(found), strict=True)
    for (first, one, worth), (seed, other, worth_of_other) in combinations(runs, 2):
        if (share := agreement([one.looks.cells], [other.looks.cells])) >= COPY:
            told = f"places {share:.1%} as seed {first} does; look whether it is a run of its own"
            findings.flag("seeds", submission.list_files[seed], told)
        elif worth_the_same([worth], [worth_of_other]):
            told = f"gives the {', '.join(track.headline)} of seed {first}, to the last digit"
            findings.flag("seeds", submission.list_files[seed], f"{told}; look whether it is a run of its own")
