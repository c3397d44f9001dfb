"""What checks find: all of it at once, each with the file and the reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmrec_bench.leaderboard.record import Check

MAX_MESSAGE = 1000


@dataclass(slots=True)
class Findings:
    """Collects the findings of one submission, in the order in which they were made."""

    checks: list[Check] = field(default_factory=list)

    def fail(self, name: str, file: str, reason: str) -> None:
        """Note a reason to refuse the submission."""
        self._add(name, "fail", file, reason)

    def flag(self, name: str, file: str, reason: str) -> None:
        """Note something that people should look at."""
        self._add(name, "flag", file, reason)

    def passed(self, name: str, told: str) -> None:
        """Note what was looked at, where the check of this name found nothing."""
        if not any(check.name == name for check in self.checks):
            self.checks.append(Check(name=name, verdict="pass", message=told))

    @property
    def failed(self) -> bool:
        """Whether the submission is refused."""
        return any(check.verdict == "fail" for check in self.checks)

    def _add(self, name: str, verdict: str, file: str, reason: str) -> None:
        message = f"{file}: {reason}"
        message = message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
        self.checks.append(Check(name=name, verdict=verdict, message=message))  # type: ignore[arg-type]


def shown(text: str) -> str:
    """Return a stranger's text for a message: quoted, escaped and short."""
    return ascii(text if len(text) <= 60 else text[:60] + "...")
