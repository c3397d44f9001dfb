"""The typed form of ``verification.json``: what was checked of a submission, and the numbers its lists give."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, PositiveInt

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.schema.seeds import Seedlist
from mmrec_bench.leaderboard.documents import read_document
from mmrec_bench.leaderboard.words import Digest, Line, Part, canonical
from mmrec_bench.reports.cards.schema import Count, Hardware, digest_of_json
from mmrec_bench.settings import BaseConfig, Slug

RECORD = "verification.json"

Status: TypeAlias = Literal["refused", "self-reported", "list-verified", "rerun-verified", "audited"]
"""``refused``: a check failed. ``self-reported``: only the form was checked, and the numbers are those of the authors.
``list-verified``: its lists give the numbers. ``rerun-verified``: its config gives them, too. ``audited``: a person has
also read its code."""
RERUN: tuple[Status, ...] = ("rerun-verified", "audited")
"""Statuses of entries whose config gave the numbers again."""
RECOMPUTED: tuple[Status, ...] = ("list-verified", *RERUN)
"""Statuses of entries whose numbers were recomputed."""
Verdict: TypeAlias = Literal["pass", "fail", "flag"]
"""``flag``: for people to look at; nothing is refused by it."""

Sketch: TypeAlias = Annotated[tuple[int, ...], Field(max_length=1000)]
"""What test lists hold at some places: numbers of items, sessions or bins; below zero for nothing."""


class Check(BaseConfig):
    """What one check found."""

    name: Slug
    """Which."""
    verdict: Verdict
    """What it found."""
    message: Annotated[str, Field(max_length=2000)]
    """File and reason; of a check that passed, what was looked at."""


class Measured(BaseConfig):
    """A metric over the seeds."""

    mean: float
    """Mean over seeds, unrounded."""
    sd: float | None
    """Unbiased standard deviation over seeds; null for one seed."""
    n: PositiveInt
    """Number of seeds."""
    per_seed: tuple[float, ...]
    """Value of each seed, in the order of `VerificationRecord.seeds`; empty where the authors' numbers stand."""
    low: float | None = None
    """Lower end of the interval of 95 % over users (and seeds, where there are two); null where there is none."""
    high: float | None = None
    """Upper end of it."""


class FormOnly(BaseConfig):
    """Whether the lists were judged."""

    value: bool
    """True: nothing was recomputed."""
    reason: str
    """Why; empty where lists were judged."""


class Verifier(BaseConfig):
    """Who checked."""

    version: str
    """Version of this package."""
    code: str
    """Digest of its source."""


class Rerun(BaseConfig):
    """A run of the submitted config, made again."""

    seed: int
    """Seed that was run."""
    tolerance: float
    """Greatest difference of a headline metric that was allowed, relative to the submitted value."""
    differences: dict[str, float]
    """By test metric of the headline: the new run minus the submission."""


class VerificationRecord(BaseConfig):
    """Content of ``verification.json``."""

    schema_version: Literal[1] = 1
    """Version of this form."""
    kind: Literal["verification"] = "verification"
    """What it is."""
    track: Slug
    """Track."""
    entry: Slug
    """Entry."""
    submission_digest: Digest
    """Digest of the bytes of ``submission.json``, which holds those of all other files."""
    verifier: Verifier
    """Who checked."""
    metric_versions: dict[str, int]
    """Version of each metric."""
    status: Status
    """What is known of the numbers."""
    form_only: FormOnly
    """Whether the lists were judged."""
    checks: tuple[Check, ...]
    """All checks."""
    seeds: Seedlist
    """Seeds."""
    provisional: bool
    """Whether there are fewer than five seeds, of a system that seeds can move."""
    metrics: dict[Part, dict[str, Measured]]
    """Numbers of both parts, recomputed from the lists unless only the form was checked."""
    slices: dict[str, dict[str, Measured]]
    """Test metrics on slices, by name of the slice."""
    n_parameters: Count
    """Parameters of the model, as its card says."""
    hardware: tuple[Hardware, ...]
    """What it ran on, as its card says."""
    tuning: dict[str, Any] | None
    """Budget of the study that chose its settings, as its card says; null where a person chose them."""
    sketches: tuple[Sketch, ...] = ()
    """What the test lists of each seed hold at some places, by which near-copies are found."""
    rerun: Rerun | None = None
    """The run made again, if there was one."""
    audit: Line | None = None
    """Who has read the code, if anybody."""
    record_digest: str = ""
    """Digest of all else."""

    def sealed(self) -> Self:
        """Return the record with its digest, of what it states: a field that came later leaves older records intact."""
        stated = self.model_copy(update={"schema_version": self.schema_version, "kind": self.kind})
        content = stated.model_dump(mode="json", exclude={"record_digest"}, exclude_unset=True)
        return stated.model_copy(update={"record_digest": digest_of_json(content)})

    @property
    def intact(self) -> bool:
        """Whether the digest is that of the content."""
        return self.record_digest == self.sealed().record_digest

    @property
    def failures(self) -> tuple[Check, ...]:
        """Checks that failed."""
        return tuple(check for check in self.checks if check.verdict == "fail")

    @property
    def flags(self) -> tuple[Check, ...]:
        """What people should look at."""
        return tuple(check for check in self.checks if check.verdict == "flag")

    def text(self) -> str:
        """Return the record as JSON."""
        return canonical(self.model_dump(mode="json", exclude_unset=True))


def read_record(path: Path) -> VerificationRecord:
    """Read a verification record.

    Raises:
        ArtefactError: It cannot be read, or was changed since it was written.
        ConfigError: It is not of the form of a record.
    """
    record = read_document(path, VerificationRecord)
    if not record.intact:
        raise ArtefactError(
            f"{path}: was changed since it was written: its digest is {record.record_digest}, that of its content "
            f"{record.sealed().record_digest}. Write it again with `mmrec-bench leaderboard verify`"
        )
    return record
