"""What training reports: one validation, one epoch, one whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

StoppedBy: TypeAlias = Literal["patience", "max_epochs", "closed_form"]

HISTORY_KEYS = frozenset(
    {"epoch", "train_seconds", "validate_seconds", "cpu_seconds", "loss", "learning_rate", "valid"}
)
"""Keys of a line of ``history.jsonl`` that are no loss term."""


@dataclass(frozen=True, slots=True)
class Validation:
    """Quality of a model on the validation part.

    Attributes:
        score: The metric that selects the best epoch, higher is better, unrounded.
        metrics: All metrics by name, for the history.
    """

    score: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What happened in one epoch.

    Attributes:
        epoch: Number of the epoch, from 0.
        train_seconds: Wall-clock seconds of drawing, steps and checks.
        validate_seconds: Wall-clock seconds of the validation, 0 without one.
        cpu_seconds: Seconds that processors spent on both, all threads of this process together.
        learning_rate: Learning rate of this epoch; None for a closed form.
        loss: Sum of the terms; None for a closed form.
        terms: Mean over the batches of each loss term, taken before the step of its batch.
        valid: Validation metrics, or None where this epoch was not validated.
    """

    epoch: int
    train_seconds: float
    validate_seconds: float
    cpu_seconds: float
    learning_rate: float | None
    loss: float | None
    terms: Mapping[str, float]
    valid: Mapping[str, float] | None

    def as_json(self) -> dict[str, Any]:
        """Return the line of ``history.jsonl``: what does not apply is left out, and each loss term is a key."""
        line: dict[str, Any] = {
            "epoch": self.epoch,
            "train_seconds": self.train_seconds,
            "validate_seconds": self.validate_seconds,
            "cpu_seconds": self.cpu_seconds,
            "learning_rate": self.learning_rate,
            "loss": self.loss,
            **self.terms,
            "valid": None if self.valid is None else dict(self.valid),
        }
        return {key: value for key, value in line.items() if value is not None}


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A finished training; the model holds the weights of its best epoch.

    Attributes:
        best_epoch: Epoch whose weights the model holds, from 0.
        best_score: Its validation score.
        best_metrics: Its validation metrics.
        epochs_run: Number of epochs, those before a resume included; the fit of a closed form counts as one.
        history: One record an epoch.
        stopped_by: Why training ended.
    """

    best_epoch: int
    best_score: float
    best_metrics: Mapping[str, float]
    epochs_run: int
    history: tuple[EpochRecord, ...]
    stopped_by: StoppedBy

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds of ``train`` and ``validate``, those before a resume included."""
        return {
            "train": sum(record.train_seconds for record in self.history),
            "validate": sum(record.validate_seconds for record in self.history),
        }

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of training and validation, those before a resume included."""
        return sum(record.cpu_seconds for record in self.history)


class Observer(Protocol):
    """Whoever watches training, such as a progress bar. It cannot change the course of training."""

    def on_start(self, history: Sequence[EpochRecord], max_epochs: int) -> None:
        """Training begins; ``history`` holds the epochs done before a resume."""

    def on_batch(self, epoch: int, batch: int, n_batches: int) -> None:
        """One batch (from 0) is done."""

    def on_epoch(self, record: EpochRecord) -> None:
        """One epoch is done. After a resume an epoch may be reported again, with the same numbers."""


class SilentObserver:
    """Nobody watches."""

    def on_start(self, history: Sequence[EpochRecord], max_epochs: int) -> None:
        """Ignore."""

    def on_batch(self, epoch: int, batch: int, n_batches: int) -> None:
        """Ignore."""

    def on_epoch(self, record: EpochRecord) -> None:
        """Ignore."""
