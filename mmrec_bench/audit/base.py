"""What a check is, what it finds, and the registry of all checks.

A check is one function of a `Subject`. To add one, write it, decorate it with `check`, and plant its leak in a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from mmrec_bench.audit.subject import Kind, Subject
from mmrec_bench.registry import Registry

Verdict: TypeAlias = Literal["fail", "warn", "pass", "not applicable"]
"""Worst first. ``fail``: a leak, or a promise that is broken. ``warn``: what a reader of the numbers must know."""

VERDICTS: tuple[Verdict, ...] = ("fail", "warn", "pass", "not applicable")

N_EXAMPLES = 3
"""Examples a finding shows."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says of one subject.

    Attributes:
        verdict: The verdict.
        message: Why, in one sentence without a full stop.
        counts: The numbers behind it.
        examples: A few cases, with external ids and titles.
    """

    verdict: Verdict
    message: str
    counts: Mapping[str, float] = field(default_factory=dict)
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A question that is put to data and split.

    Attributes:
        name: Key in manifests, such as ``future-of-user``.
        question: What it asks; yes is bad.
        kinds: What must have been parted for it to apply.
        look: Answers it.
    """

    name: str
    question: str
    kinds: tuple[Kind, ...]
    look: Callable[[Subject], Finding]

    def __call__(self, subject: Subject) -> Finding:
        """Return the finding; a check of other payloads does not apply."""
        if subject.kind not in self.kinds:
            return Finding("not applicable", f"is a question about {' and '.join(self.kinds)}")
        return self.look(subject)


CHECKS: Registry[Check] = Registry("check")
"""All checks by name."""

ALL: tuple[Kind, ...] = ("interactions", "lists", "points")


def check(
    name: str, question: str, kinds: tuple[Kind, ...] = ALL
) -> Callable[[Callable[[Subject], Finding]], Callable[[Subject], Finding]]:
    """Return a decorator that registers a function as a check."""

    def register(look: Callable[[Subject], Finding]) -> Callable[[Subject], Finding]:
        CHECKS.register(name, Check(name, question, kinds, look))
        return look

    return register


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings about one data set and split.

    Attributes:
        findings: By name of the check.
    """

    findings: Mapping[str, Finding]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all."""
        found = {finding.verdict for finding in self.findings.values()}
        return next(verdict for verdict in VERDICTS if verdict in found)

    def as_json(self) -> dict[str, Any]:
        """Return the verdict and all findings as plain data."""
        return {"verdict": self.verdict, "checks": {name: asdict(found) for name, found in self.findings.items()}}


def audit(subject: Subject) -> Audit:
    """Put all questions to a subject."""
    return Audit({name: CHECKS[name](subject) for name in CHECKS})
