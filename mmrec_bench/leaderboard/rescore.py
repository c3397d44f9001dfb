"""Rescoring: a new or corrected metric, applied to the stored lists of all entries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from mmrec_bench.errors import ArtefactError, MMRecBenchError
from mmrec_bench.leaderboard.folder import write_record
from mmrec_bench.leaderboard.record import RECORD, VerificationRecord, read_record
from mmrec_bench.leaderboard.verify import Verification
from mmrec_bench.leaderboard.versions import changed_metrics

Outcome: TypeAlias = Literal["current", "stale", "rescored", "not rescored", "failed"]
"""``current``: nothing was to be done. ``stale``: something is, and was not asked for. ``not rescored``: its lists, or
the data, are not here. ``failed``: it cannot be read, or would be refused; its record stays as it was."""


@dataclass(frozen=True, slots=True)
class Rescored:
    """What became of an entry.

    Attributes:
        path: Its folder.
        outcome: What became of it.
        changed: Metrics that are new, gone, or of another version.
        reason: Why it was not rescored, or failed.
        moved: By test metric of the headline, the mean before, None where there was none, and now.
    """

    path: Path
    outcome: Outcome
    changed: tuple[str, ...] = ()
    reason: str = ""
    moved: Mapping[str, tuple[float | None, float]] | None = None


def rescore(
    submissions: Path, verification: Verification, *, write: bool = True, everything: bool = False
) -> Iterator[Rescored]:
    """Find the records that were made by other versions of metrics, and make them again from the stored lists.

    Args:
        submissions: Folder of all submissions.
        verification: Verifies, with the tracks of today.
        write: Whether records are made again, or only found.
        everything: Whether records of today's versions are made again, too.

    Yields:
        What became of each entry that has a record, sorted by track and name.

    Raises:
        ArtefactError: The folder does not exist.
    """
    if not submissions.is_dir():
        raise ArtefactError(f"{submissions}: no such folder")
    for path in sorted(submissions.glob(f"*/*/{RECORD}")):
        yield _rescored(path.parent, verification, write, everything)


def _rescored(path: Path, verification: Verification, write: bool, everything: bool) -> Rescored:
    try:
        old = read_record(path / RECORD)
    except MMRecBenchError as error:
        return Rescored(path, "failed", reason=str(error))
    if (track := verification.tracks.get(old.track)) is None:
        return Rescored(path, "failed", reason=f"there is no track {old.track}")
    changed = tuple(sorted(changed_metrics(old.metric_versions, track)))
    if not changed and not everything:
        return Rescored(path, "current")
    if not write:
        return Rescored(path, "stale", changed)
    verified = verification(path)
    new = verified.record
    if new is None or verified.refused or not verified.writable:
        return Rescored(path, "failed", changed, "; ".join(check.message for check in verified.failures))
    if absent := [check.message for check in verified.checks if check.name == "lists" and check.verdict == "flag"]:
        return Rescored(path, "not rescored", changed, "; ".join(absent))
    write_record(path, new.text())
    return Rescored(path, "rescored", changed, moved=_moved(old, new, track.headline))


def _moved(
    old: VerificationRecord, new: VerificationRecord, names: tuple[str, ...]
) -> dict[str, tuple[float | None, float]]:
    before, now = old.metrics["test"], new.metrics["test"]
    return {name: (before[name].mean if name in before else None, now[name].mean) for name in names if name in now}
