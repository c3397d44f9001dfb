"""What checks find: all of it at once, each with the file and the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from mmrec_bench.leaderboard.record import Check, Verdict
from mmrec_bench.visible_text import visible

MAX_MESSAGE = 1000
"""Letters of a message."""
MAX_TOLD = 5
"""Reasons of one kind that are told; the others are counted."""


@dataclass(slots=True)
class Findings:
    """Collects the findings of one submission, in the order in which they were made."""

    checks: list[Check] = field(default_factory=list)

    def fail(self, name: str, file: str, reason: str) -> None:
        """Note a reason to refuse the submission."""
        self._add(name, "fail", f"{file}: {reason}")

    def fail_each(self, name: str, file: str, reasons: Iterable[str]) -> None:
        """Note the first few of many reasons to refuse the submission, and how many more there are."""
        told = iter(reasons)
        for reason in islice(told, MAX_TOLD):
            self.fail(name, file, reason)
        if more := sum(1 for _ in told):
            self.fail(name, file, f"and {more:,} more")

    def flag(self, name: str, file: str, reason: str) -> None:
        """Note something that people should look at."""
        self._add(name, "flag", f"{file}: {reason}")

    def passed(self, name: str, told: str) -> None:
        """Note what was looked at, where the check of this name found nothing."""
        if not any(check.name == name for check in self.checks):
            self._add(name, "pass", told)

    @property
    def failed(self) -> bool:
        """Whether the submission is refused."""
        return bool(self.failures)

    @property
    def failures(self) -> set[str]:
        """Names of the checks that failed."""
        return {check.name for check in self.checks if check.verdict == "fail"}

    def _add(self, name: str, verdict: Verdict, told: str) -> None:
        message = visible(told[:MAX_MESSAGE])  # what strangers wrote may stand in file and reason
        whole = len(told) <= MAX_MESSAGE and len(message) <= MAX_MESSAGE
        self.checks.append(
            Check(name=name, verdict=verdict, message=message if whole else message[: MAX_MESSAGE - 1] + "…")
        )


def shown(text: str) -> str:
    """Return a stranger's text for a message: quoted, escaped and short."""
    return ascii(text if len(text) <= 60 else text[:60] + "...")
