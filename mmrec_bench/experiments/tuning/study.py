"""A study as a folder of facts: what was searched, with which budget, what came of every trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.experiments.artefact import RunKey
from mmrec_bench.experiments.environment import code_digest
from mmrec_bench.experiments.folders import CONFIG, MANIFEST, ArtefactKey, checked_manifest, fingerprint_of
from mmrec_bench.experiments.tuning.space import Space
from mmrec_bench.experiments.tuning.trial_queue import TrialRecord
from mmrec_bench.seeding import derive_seed

SamplerName: TypeAlias = Literal["tpe", "random"]
PrunerName: TypeAlias = Literal["none", "median", "halving"]

SPACE, TRIALS, WINNER = "space.yaml", "trials.jsonl", "winner.yaml"
FILES = (CONFIG, SPACE, TRIALS, WINNER, MANIFEST)
REQUIRED = ("kind", "dataset", "model", "fingerprints", "budget", "spent", "best", "curve", "protocol_id", "select_by")


@dataclass(frozen=True, slots=True)
class Budget:
    """What a study may spend; it ends with whichever is spent first.

    Attributes:
        trials: Number of trials, those pruned or failed among them.
        seconds: Seconds of all trials together, whoever ran them; the trial that crosses them is the last.
    """

    trials: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.trials is None and self.seconds is None:
            raise ConfigError("budget", [ConfigIssue("", "needs --trials, --seconds, or both")])
        for name, value in (("trials", self.trials), ("seconds", self.seconds)):
            if value is not None and not 0 < value < math.inf:
                raise ConfigError("budget", [ConfigIssue(f"--{name}", f"must be above 0, and finite; got {value}")])

    def within(self, trials: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
        """Return the trials that the budget pays, from number 0 on without a gap."""
        paid: list[TrialRecord] = []
        for number, trial in enumerate(trials):
            if trial.number != number or self.spent(paid):
                break
            paid.append(trial)
        return tuple(paid)

    def spent(self, paid: Sequence[TrialRecord]) -> bool:
        """Return whether nothing is left after these."""
        if self.trials is not None and len(paid) >= self.trials:
            return True
        return self.seconds is not None and sum(trial.score.seconds for trial in paid) >= self.seconds

    def __str__(self) -> str:
        parts = [f"{self.trials} trials"] if self.trials is not None else []
        return " or ".join([*parts, *([f"{self.seconds:g} s"] if self.seconds is not None else [])])


@dataclass(frozen=True, slots=True)
class Search:
    """How a study searches.

    Attributes:
        sampler: ``tpe`` (tree-structured Parzen estimator) or ``random``.
        pruner: ``none``, ``median`` or ``halving`` (asynchronous successive halving).
        seed: Of the sampler, and by it of all trainings; never searched over.
    """

    sampler: SamplerName = "tpe"
    pruner: PrunerName = "median"
    seed: int = 0

    @property
    def training_seed(self) -> int:
        """Seed of all trainings of the study: one, so that settings differ and luck does not."""
        return derive_seed(self.seed, "trial")


@dataclass(frozen=True, slots=True)
class StudyKey(ArtefactKey):
    """What a study is, and so where it lies.

    Attributes:
        dataset: Name of the data set.
        model: Name of the model; of a model around another, both with a hyphen.
        trials_fingerprint: Digest of what decides every trial: experiment, data, space and search.
        fingerprint: Digest of that, and of the budget. The seeds of the winner are no part of it: more of them may be
            run at any time.
    """

    dataset: str
    model: str
    trials_fingerprint: str
    fingerprint: str

    @classmethod
    def of(cls, base: RunKey, space: Space, search: Search, budget: Budget) -> StudyKey:
        """Return the identity of a study of the experiment whose runs have the key ``base``."""
        told = space.config.model_dump(mode="json")["axes"]
        trials = fingerprint_of({"base": base.fingerprint, "axes": told, "search": _plain(search)})
        return cls(base.dataset, base.model, trials, fingerprint_of([trials, _plain(budget)]))

    @property
    def name(self) -> str:
        """Name while it is made, and when it is kept aside."""
        return f"tuning-{self.fingerprint}"

    @property
    def study_name(self) -> str:
        """Name in the storage: studies that differ in budget alone share trials, those of other code do not."""
        return f"{self.dataset}/{self.model}/{self.trials_fingerprint}/code-{code_digest()}"

    def folder(self, out: Path) -> Path:
        """Return ``<out>/tuning/<dataset>/<model>/<fingerprint>``."""
        return out / "tuning" / self.dataset / self.model / self.fingerprint

    def storage(self, out: Path) -> Path:
        """Return the file of trials where no other storage is named."""
        return out / "tuning" / self.dataset / self.model / f"{self.trials_fingerprint}-code-{code_digest()[:8]}.sqlite"

    def weights(self, out: Path, number: int) -> Path:
        """Return the file of the best weights of a trial, which comes into being when the trial is complete."""
        folder = f"{self.trials_fingerprint}-code-{code_digest()[:8]}.weights"
        return out / "tuning" / self.dataset / self.model / folder / f"{number}.safetensors"

    def manifest(self, folder: Path) -> Mapping[str, Any]:
        """Return the checked manifest of a study folder."""
        return checked_manifest(folder, "study folder", FILES, REQUIRED)


@dataclass(frozen=True, slots=True)
class Curve:
    """How good the best finished trial so far was.

    Attributes:
        best: Best score after each trial, in the order of numbers; None before the first complete one.
        area_by_trials: Mean of it over trials.
        area_by_seconds: Mean of it over the seconds of the study.
    """

    best: tuple[float | None, ...]
    area_by_trials: float
    area_by_seconds: float


def curve_of(trials: Sequence[TrialRecord]) -> Curve:
    """Return the best-so-far curve of trials, one of which at least is complete.

    Both areas are means, so that they are scores, too, and leave out what lies before the first complete trial. By
    seconds, a trial's score counts from its end on; after the last end nothing is left, so that of a study of one
    complete trial, its last, the score itself is returned.
    """
    best: list[float | None] = []
    for trial in trials:
        known = [score for score in (*best[-1:], trial.score.score) if score is not None]
        best.append(max(known) if known else None)
    scores = [score for score in best if score is not None]
    held = [
        (score, after.score.seconds)
        for score, after in zip(best, trials[1:], strict=False)
        if score is not None
    ]  # fmt: skip
    seconds = sum(duration for _, duration in held)
    by_seconds = sum(score * duration for score, duration in held) / seconds if seconds else scores[-1]
    return Curve(tuple(best), sum(scores) / len(scores), by_seconds)


def winner_of(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the complete trial of the greatest score, the first of equals; None where none is complete."""
    complete = [trial for trial in trials if trial.score.score is not None]
    return max(complete, key=lambda trial: (trial.score.score, -trial.number), default=None)


def _plain(value: Search | Budget) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}
