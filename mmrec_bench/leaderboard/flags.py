"""What people should look at: near-copies, unusual gaps, scores too good to be true. Nothing is refused by it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from mmrec_bench.leaderboard.findings import Findings
from mmrec_bench.leaderboard.record import RECOMPUTED, Measured, VerificationRecord
from mmrec_bench.leaderboard.submission import SUBMISSION
from mmrec_bench.leaderboard.track import Track
from mmrec_bench.leaderboard.words import PARTS, Part
from mmrec_bench.reports.directions import lower_is_better
from mmrec_bench.seeding import Seeds
from mmrec_bench.types import IntArray

N_PLACES = 256
"""Places of the test lists that a record keeps to find near-copies."""
COPY, GAP, LEAP, PERFECT, TIES = 0.95, 0.25, 1.25, 0.995, 0.5
"""Share of equal places of a near-copy; relative gap of validation and test; the factor to the best other entry; a
value that is as good as perfect; share of neighbours with equal scores."""
Places: TypeAlias = Sequence[int] | IntArray
"""What the lists of a seed hold at all places, or at those of a sketch; below zero for nothing."""


def sketch(cells: IntArray) -> tuple[int, ...]:
    """Return what lists hold at some places, the same for all lists of one size."""
    if len(cells) <= N_PLACES:
        return tuple(cells.tolist())
    places = Seeds(0).numpy(f"leaderboard/sketch/{len(cells)}").choice(len(cells), N_PLACES, replace=False)
    return tuple(cells[np.sort(places)].tolist())


def agreement(left: Sequence[Places], right: Sequence[Places]) -> float:
    """Return the greatest share of places that hold the same, of those where one of two holds anything.

    Args:
        left: Those of each seed of an entry.
        right: Those of another, under whatever seeds.
    """
    comparable = [other for other in right if len(other) == len(left[0]) > 0]
    if not comparable:
        return 0.0
    one, other = np.array(left)[:, None], np.array(comparable)[None]
    held = (one >= 0) | (other >= 0)
    shares = ((one == other) & held).sum(axis=-1) / np.maximum(held.sum(axis=-1), 1)
    return float(shares.max())


def headlines(metrics: Mapping[str, Measured], track: Track) -> list[tuple[float, ...]]:
    """Return the test metrics of the headline for each seed, unrounded; none where one of them is missing."""
    values = [found.per_seed if (found := metrics.get(name)) is not None else () for name in track.headline]
    return list(zip(*values, strict=True)) if all(values) else []


def worth_the_same(left: Sequence[tuple[float, ...]], right: Sequence[tuple[float, ...]]) -> bool:
    """Return whether any of the `headlines` of two are equal, and not zero altogether.

    Two runs hardly agree in all of these to the last digit; copies that differ only where no headline looks do.
    """
    return any(map(any, set(left) & set(right)))


def flag_copies(
    track: Track,
    own: Sequence[Sequence[int]],
    scores: Sequence[tuple[float, ...]],
    others: Sequence[VerificationRecord],
    replaced: str | None,
    findings: Findings,
) -> None:
    """Flag entries that place almost everything alike, or are worth the same; the one that is replaced may well be.

    Args:
        track: Track of all of them.
        own: The sketch of each seed.
        scores: The `headlines` of each seed.
        others: Records of the other entries.
        replaced: Name of the one that is replaced.
        findings: Is told.
    """
    others = [other for other in others if other.entry != replaced]
    for other in others:
        if (share := agreement(own, other.sketches)) >= COPY:
            findings.flag("copies", "lists", f"{share:.1%} of looked-at places are those of entry {other.entry}")
        elif worth_the_same(scores, headlines(other.metrics.get("test", {}), track)):
            told = f"a seed gives the {', '.join(track.headline)} of one of entry {other.entry}, to the last digit"
            findings.flag("copies", "lists", told)
    findings.passed("copies", f"held against {len(others)} other entries")


def flag_claimed_copies(
    track: Track,
    claimed: Mapping[str, Measured],
    others: Sequence[VerificationRecord],
    replaced: str | None,
    findings: Findings,
) -> None:
    """Flag entries whose headline is that of another, where lists cannot be looked at; see `flag_copies`.

    Args:
        track: Track of all of them.
        claimed: Test metrics as they are claimed.
        others: Records of the other entries.
        replaced: Name of the one that is replaced.
        findings: Is told.
    """
    for other in others:
        known = other.metrics.get("test", {})
        shared = [
            (claimed[name].mean, known[name].mean) for name in track.headline if name in claimed and name in known
        ]
        # The same lists, judged elsewhere, may differ by rounding.
        if other.entry != replaced and any(map(any, shared)) and all(math.isclose(*both) for both in shared):
            told = f"the {', '.join(track.headline)} that it claims are those of entry {other.entry}, to nine digits"
            findings.flag("copies", SUBMISSION, told)


def flag_numbers(
    track: Track,
    metrics: Mapping[Part, Mapping[str, Measured]],
    ties: float | None,
    others: Sequence[VerificationRecord],
    findings: Findings,
) -> None:
    """Flag unusual gaps of validation and test, scores that are too good, and lists of equal scores.

    Args:
        track: The track.
        metrics: Numbers of both parts, recomputed or claimed.
        ties: Greatest share of neighbours with equal scores; None where lists were not judged.
        others: Records of the other entries.
        findings: Is told.
    """
    name = track.headline[0]
    if any(name not in metrics[part] for part in PARTS):
        return  # a failure of its own
    valid, test = metrics["valid"][name].mean, metrics["test"][name].mean
    if abs(test - valid) > GAP * max(abs(valid), 1e-12):
        findings.flag("gap", SUBMISSION, f"{name} is {valid:.4f} on validation and {test:.4f} on test")
    findings.passed("gap", f"{name} is {valid:.4f} on validation and {test:.4f} on test")
    if not lower_is_better([name]):
        known = [
            one.metrics["test"][name].mean
            for one in others
            if one.status in RECOMPUTED and name in one.metrics.get("test", {})
        ]
        best = max(known, default=None)
        if test >= PERFECT:
            findings.flag("too-good", SUBMISSION, f"{name} of {test:.4f} is as good as perfect")
        elif best is not None and best > 0 and test > LEAP * best:
            findings.flag(
                "too-good", SUBMISSION, f"{name} of {test:.4f} is far above the best other entry ({best:.4f})"
            )
    findings.passed("too-good", f"{name} of {test:.4f}")
    if ties is not None and track.task in ("retrieval", "ranking"):
        if ties > TIES:
            findings.flag(
                "tie-share", "lists", f"{ties:.0%} of neighbours have equal scores, ordered by a hash of items"
            )
        findings.passed("tie-share", f"{ties:.2%} of neighbours have equal scores")
