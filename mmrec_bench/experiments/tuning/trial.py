"""One trial of a study: a model is trained and validated, and nothing of the test part is within reach."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mmrec_bench.data.split import SealedTest, VaultLedger
from mmrec_bench.errors import (
    ArtefactError,
    DataError,
    MissingExtraError,
    MMRecBenchError,
    ProtocolError,
    ResourceError,
)
from mmrec_bench.experiments.building import keep_weights
from mmrec_bench.experiments.environment import use_threads
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings, built, with_inputs
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import Observer, Validation
from mmrec_bench.training.trainer import train

Outcome: TypeAlias = Literal["complete", "pruned", "failed"]
"""``failed``: the settings cannot be trained, such as a learning rate at which the loss is no number."""

Hopeless: TypeAlias = Callable[[int, float], bool]
"""Is told the number (from 1) and the score of every validation, and returns whether the trial is given up."""


@dataclass(frozen=True, slots=True)
class TrialScore:
    """What a study learns of one trial: validation alone, for there is no field for more.

    Attributes:
        outcome: How it ended.
        score: Best validation score, higher is better; None unless it is complete.
        validations: Score of each validation, in order.
        seconds: Wall-clock seconds of building, training and validating.
        message: Why it failed, or None.
    """

    outcome: Outcome
    score: float | None
    validations: tuple[float, ...]
    seconds: float
    message: str | None = None


class _NoTest(SealedTest[Any]):
    """Stands where the test part was."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None)

    def open(self, purpose: str, ledger: VaultLedger) -> Any:
        """Refuse.

        Raises:
            ProtocolError: Always.
        """
        raise ProtocolError("a trial never opens the test vault; the winner of its study is run, and opens it once")


class StorageError(ResourceError):
    """The storage of a study cannot be used."""


class _GivenUpError(Exception):
    """The trial is pruned; training ends."""


@dataclass(slots=True)
class _Watch:
    """Passes validations on, and ends a hopeless training."""

    validate: Callable[[Any], Validation]
    hopeless: Hopeless
    scores: list[float] = field(default_factory=list)

    def __call__(self, model: Any) -> Validation:
        found = self.validate(model)
        self.scores.append(found.score)
        if self.hopeless(len(self.scores), found.score):
            raise _GivenUpError
        return found


def try_out(
    experiment: Experiment,
    preparer: Preparer,
    seed: int,
    settings: RunSettings,
    hopeless: Hopeless,
    observer: Observer | None = None,
    weights: Path | None = None,
) -> TrialScore:
    """Train and validate the model of an experiment, through the one training loop.

    Args:
        experiment: With the values of the trial.
        preparer: Prepares its data; what it needs of other runs is there.
        seed: Of training.
        settings: How.
        hopeless: Decides at every validation whether to give up.
        observer: Is told of epochs.
        weights: File for the best weights of a trial that comes to its end; nothing of a study reads it.

    Raises:
        ResourceError: The weights cannot be written.
        StorageError: The storage of the study cannot be used.
        MissingExtraError, ArtefactError, DataError: What a trial needs is not there, whatever its settings.
    """
    use_threads(settings.threads)
    started = time.perf_counter()
    scores: list[float] = []
    try:
        prepared, _ = with_inputs(preparer(experiment), seed, settings, observer)
        prepared = replace(prepared, split=replace(prepared.split, test=_NoTest()))
        station, model, context, _ = built(experiment, prepared, seed, settings)
        watch = _Watch(station.validate, hopeless, scores)
        config = experiment.config.trainer or TrainerConfig()
        result = train(model, context, config, watch, Seeds(seed), settings.device, observer=observer)
    except _GivenUpError:
        return TrialScore("pruned", None, tuple(scores), time.perf_counter() - started)
    except (MissingExtraError, ArtefactError, DataError, StorageError):
        raise  # what is there is at fault, and no setting
    except MMRecBenchError as error:
        return TrialScore("failed", None, tuple(scores), time.perf_counter() - started, str(error))
    score = TrialScore("complete", result.best_score, tuple(scores), time.perf_counter() - started)
    if weights is not None:
        keep_weights(weights, model.state_dict())
    return score
