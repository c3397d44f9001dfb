"""The typed form of a result card."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mmrec_bench.audit.base import VERDICTS
from mmrec_bench.settings import BaseConfig, explained_error
from mmrec_bench.statistics.comparison import Verdict

LEAST, MOST, MOST_COUNTED = 1e-12, 1e12, 10**15
"""Numbers nearer to zero, or farther from it, are no seconds, MiB or kilowatt hours; greater counts count nothing that
there is. Tables and pictures have room for what lies between."""


def _measurable(value: float) -> float:
    if 0 < value < LEAST:
        raise explained_error(f"must be 0, or at least {LEAST:g}; got {value!r}")
    return value


Amount = Annotated[float, Field(ge=0, le=MOST), AfterValidator(_measurable)]
"""What something takes."""
Mean = Annotated[float, Field(ge=-MOST, le=MOST)]
"""A mean of metrics, which may be below zero."""
Spread = Annotated[float, Field(ge=0, le=MOST)]
"""A standard deviation."""
Count = Annotated[int, Field(ge=0, le=MOST_COUNTED)]
"""How many there are."""
SeedCount = Annotated[int, Field(ge=1, le=MOST_COUNTED)]
"""Over how many seeds a mean is."""


class Described(BaseConfig, use_attribute_docstrings=True):
    """What has the docstrings of its fields in its JSON schema, too."""


class Number(Described):
    """A mean over seeds of what something takes."""

    mean: Amount
    """The mean, unrounded."""
    sd: Spread | None
    """Unbiased standard deviation over seeds; null for one seed."""
    n: SeedCount
    """Number of seeds."""


class Score(Number):
    """A metric, with its interval."""

    mean: Mean
    """The mean, unrounded."""
    low: Mean | None = None
    """Lower end of the interval of 95 %; null where no scores of single users were kept."""
    high: Mean | None = None
    """Upper end of it."""
    over: Literal["users", "users and seeds"] | None = None
    """What the interval allows for: other users, and other seeds where there are two or more."""


class ProtocolCard(Described):
    """What the numbers mean."""

    id: str
    """Name with the digest of all settings; equal exactly where numbers mean the same."""
    words: str
    """The same in words."""
    select_by: str
    """Validation metric that chose the weights."""


class Fingerprints(Described):
    """Digests of what the numbers stand on; that of the code is told by making."""

    experiment: str
    """Of config, data, split, features and inputs."""
    data: str
    """Of the content of the data set."""
    split: str
    """Of the content of all parts."""
    features: dict[str, str]
    """Of the content of each feature table; of made ones, of what they are made from and how."""
    inputs: dict[str, str]
    """Of what else was made before: clicks, candidates, base, lexicon, start."""


class Hardware(Described):
    """A device."""

    type: str
    """``cpu`` or ``cuda``."""
    name: Annotated[str, Field(max_length=200)]
    """As the system calls it."""
    cores: Count | None
    """Processor cores that the process could use."""


class GitState(Described):
    """A commit, and what it is not."""

    sha: str
    """The commit."""
    dirty: bool
    """Whether files differed from it."""


class Making(Described):
    """Where and by what some of the runs were made."""

    seeds: tuple[int, ...]
    """Seeds of these runs."""
    code: str
    """Digest of the source of this package."""
    git: GitState | None
    """Its commit; null outside a checkout."""
    packages: dict[str, str]
    """Versions of packages."""
    device: Hardware
    """The hardware."""
    threads: Count | None
    """Threads of torch and faiss."""
    determinism: str | None
    """``exact`` where the same code, packages, hardware and threads make the same bits."""


class TuningCard(Described):
    """The study that chose the settings, by validation alone."""

    study: str
    """Fingerprint of the study."""
    search: dict[str, Any]
    """Sampler, pruner, seed."""
    budget: dict[str, Any]
    """What it might spend: trials, seconds, or both."""
    spent: dict[str, Any]
    """What it spent."""
    trial: int
    """Number of the winner."""


class EnergyCard(Described):
    """Energy of one run."""

    kwh: Number
    """Kilowatt hours."""
    how: tuple[str, ...]
    """How they were found: measured, or estimated."""


class CostCard(Described):
    """What one run took; no number of it decides anything above."""

    seconds: dict[str, Number]
    """By the clock, of each phase."""
    cpu_seconds: dict[str, Number] | None
    """Of all processors together, of each phase; null of runs that did not tell them."""
    peak_memory_mib: Number | None
    """Peak memory of the process, MiB."""
    peak_device_memory_mib: Number | None
    """Peak memory of the accelerator, MiB; null without one."""
    energy: EnergyCard | None
    """Null where it was not asked for."""


class Opening(Described):
    """One opening of the test part."""

    seed: int
    """Seed of the run."""
    time: str
    """When, UTC."""
    purpose: str
    """What for."""

    @model_validator(mode="after")
    def _at_a_time(self) -> Self:
        try:
            datetime.fromisoformat(self.time)
        except ValueError:
            told = f"time: needs a time such as 2026-01-31T12:00:00+00:00; got {self.time[:80]!r}"
            raise explained_error(told) from None
        return self


class AuditCard(Described):
    """Verdicts of the leak audit."""

    verdict: str
    """The worst."""
    checks: dict[str, str]
    """Verdict of each check."""
    messages: dict[str, str]
    """What was found that is bad."""

    @model_validator(mode="after")
    def _of_checks(self) -> Self:
        if unknown := sorted(set(self.messages) - set(self.checks)):
            raise explained_error(f"messages: {unknown[0][:80]!r} is none of the checks")
        found = set(self.checks.values())
        worst = next((verdict for verdict in VERDICTS if verdict in found), None)
        if self.checks and self.verdict != worst:
            raise explained_error(f"verdict: the worst of the checks is {worst!r}; got {self.verdict[:80]!r}")
        return self


class ComparisonCard(Described):
    """The test of this row against a baseline that was named beforehand."""

    baseline: str
    """Label of the other row."""
    experiment: str
    """Its fingerprint."""
    seeds: tuple[int, ...]
    """Its seeds."""
    metric: str
    """Test metric."""
    difference: float
    """This row minus the baseline; of metrics of which less is better, the other way round."""
    low: float | None
    """Lower end of the interval of 95 %, over users and seeds; null where a side has one seed."""
    high: float | None
    """Upper end of it."""
    p: float | None
    """P value, adjusted by Holm for the baselines of this card."""
    verdict: Verdict
    """What may be claimed."""


class RunDigests(Described):
    """Digests of the files of one run, as its manifest has them."""

    seed: int
    """The seed."""
    files: dict[str, str]
    """By file name."""


class ResultCard(Described):
    """All that a reader must know of one row: a pure function of its run folders."""

    schema_version: Literal[1] = 1
    """Version of this form."""
    kind: Literal["result-card"] = "result-card"
    """What it is."""
    label: str
    """Name of the row."""
    task: str
    """Task of the model."""
    dataset: str
    """Name of the data set."""
    protocol: ProtocolCard
    """What the numbers mean."""
    fingerprints: Fingerprints
    """What they stand on."""
    config: dict[str, Any]
    """The resolved config, without seeds."""
    config_digest: str
    """Digest of it."""
    seeds: tuple[int, ...]
    """The seeds, sorted."""
    tuning: TuningCard | None
    """The study that chose the settings; null: a person did."""
    metrics: dict[Literal["valid", "test"], dict[str, Score]]
    """All metrics of both held-out parts."""
    comparisons: tuple[ComparisonCard, ...]
    """Tests against baselines named beforehand; none where none was named."""
    parameters: dict[str, Count]
    """Number of parameters, ``total`` and those of the item representation."""
    cost: CostCard
    """What one run took."""
    makings: tuple[Making, ...]
    """Where and by what the runs were made; one where all were made alike."""
    vault: tuple[Opening, ...]
    """Every opening of the test part."""
    audit: AuditCard | None
    """The leak audit; null of runs that had none."""
    deviations: tuple[str, ...]
    """What models do otherwise than their papers, as their authors here say."""
    runs: tuple[RunDigests, ...]
    """The runs themselves."""
    digest: str = ""
    """Digest of all else on this card, which a paper cites."""

    def sealed(self) -> ResultCard:
        """Return the card with its digest."""
        return self.model_copy(update={"digest": digest_of_json(self.model_dump(mode="json", exclude={"digest"}))})

    @property
    def intact(self) -> bool:
        """Whether the digest is that of the content."""
        return self.digest == self.sealed().digest

    @property
    def name(self) -> str:
        """Name of its files: two experiments never share one."""
        label = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in self.label).strip("-")
        return f"{self.dataset}-{label}-{self.fingerprints.experiment[:8]}"

    def text(self) -> str:
        """Return the card as JSON."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def digest_of_json(content: Any) -> str:
    """Return the digest of canonical JSON: keys sorted, no spaces, shortest numbers."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
