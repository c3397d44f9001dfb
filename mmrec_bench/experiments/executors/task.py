"""What one worker makes, as plain data, and the making of it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mmrec_bench.errors import ArtefactError, MMRecBenchError
from mmrec_bench.experiments.building import RunLockedError
from mmrec_bench.experiments.environment import code_digest, use_threads
from mmrec_bench.experiments.features.align import align
from mmrec_bench.experiments.features.config import FeaturesConfig
from mmrec_bench.experiments.folders import ArtefactKey
from mmrec_bench.experiments.prepare import Prepared, Preparer, run_key
from mmrec_bench.experiments.run import run
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.schema.experiment import Experiment, ExperimentConfig


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A run, or made features that runs need.

    Attributes:
        key: Its identity.
        label: For people.
        needs: Names of the artefacts that have to be there before, as of `name`.
        experiment: What is run; None for features.
        prepared: Data of the run; for features, of a run that needs them.
        features: What features are made of; None for a run.
    """

    key: ArtefactKey
    label: str
    needs: tuple[str, ...]
    experiment: Experiment | None
    prepared: Prepared
    features: FeaturesConfig | None = None

    @property
    def name(self) -> str:
        """Its folder below the root of all artefacts; no two tasks share it."""
        return name_of(self.key)

    def order(self, settings: RunSettings) -> dict[str, Any]:
        """Return what a worker is told: JSON that means the same in another process."""
        facts: dict[str, Any] = {"name": self.name, "code": code_digest(), "settings": _plain(settings)}
        if self.features is not None:
            return facts | {"features": self.features.model_dump(mode="json")}
        assert self.experiment is not None
        found = self.experiment
        return facts | {
            "config": found.config.model_dump(mode="json"),
            "source": str(found.source),
            "label": found.label,
            "tuning": None if found.tuning is None else dict(found.tuning),
            "seed": getattr(self.key, "seed", 0),
        }


def name_of(key: ArtefactKey) -> str:
    """Return the folder of an artefact below the root, with slashes."""
    return key.folder(Path()).as_posix()


def answer_to(order: Mapping[str, Any], preparer: Preparer, *, wait: bool) -> dict[str, Any]:
    """Carry out an order and return what became of it, as JSON: ``done``, ``locked``, or ``error`` and ``trace``."""
    try:
        _check_code(order["code"])
        _make(order, preparer, wait=wait)
    except RunLockedError:
        return {"locked": True}
    except MMRecBenchError as error:
        return {"error": str(error), "trace": None}
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        return {"error": message, "trace": "".join(traceback.format_exception(error))}
    return {"done": True}


def settings_of(order: Mapping[str, Any]) -> RunSettings:
    """Return how the artefact of an order is made."""
    plain = order["settings"]
    return RunSettings(**plain | {"out": Path(plain["out"]), "device": torch.device(plain["device"])})


def _plain(settings: RunSettings) -> dict[str, Any]:
    return asdict(settings) | {"out": str(settings.out), "device": str(settings.device)}


def _make(order: Mapping[str, Any], preparer: Preparer, *, wait: bool) -> None:
    settings = settings_of(order)
    use_threads(settings.threads)
    if "features" in order:
        config = FeaturesConfig.model_validate(order["features"])
        made = align(config, preparer.tables(config.dataset), settings)
        _check_name(order["name"], made.folder.relative_to(settings.out).as_posix())
        return
    source = Path(order["source"])
    experiment = Experiment(ExperimentConfig.model_validate(order["config"]), source, order["label"], order["tuning"])
    prepared = preparer(experiment)
    key = run_key(experiment, prepared, order["seed"])
    _check_name(order["name"], name_of(key))
    run(experiment, prepared, key, settings, wait=wait)


def _check_code(told: str) -> None:
    if told != (here := code_digest()):
        raise ArtefactError(
            f"the worker has other code of mmrec-bench (digest {here}) than what planned the run ({told}). Install the "
            "same version everywhere, and do not change it while a suite runs; then run again"
        )


def _check_name(planned: str, found: str) -> None:
    if planned != found:
        raise ArtefactError(
            f"was planned as {planned}, and the worker's data make it {found}: data or configs have changed since the "
            "plan, or are not the same everywhere. Run again"
        )


def resuming(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return the order with the settings that go on from a checkpoint."""
    return {**order, "settings": {**order["settings"], "resume": True}}
