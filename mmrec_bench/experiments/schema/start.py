"""The YAML of continued training: whose weights a model starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

import mmrec_bench.models  # noqa: F401 - importing the models fills their registry
from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.experiments.features.sources import SUFFIXES
from mmrec_bench.experiments.folders import run_beside
from mmrec_bench.models.base import MODELS, ModelField
from mmrec_bench.resources import find_yaml, is_file
from mmrec_bench.settings import BaseConfig, explained_error, load_yaml
from mmrec_bench.training.config import TrainerConfig


class StartConfig(BaseConfig):
    """Weights to start from: a run that is there, or a model that is trained first, on the same data and split."""

    run: str | None = None
    """Folder of a finished run."""
    model: ModelField | None = None
    """Which model is trained first, with the seed of each run."""
    trainer: TrainerConfig | None = None
    """How it is trained; the default of the trainer if it is left out."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.run is None) == (self.model is None):
            raise explained_error("needs either run, a folder, or model, with its trainer")
        if self.run is not None and self.trainer is not None:
            raise explained_error("a finished run is not trained again, so trainer would do nothing; remove it")
        if self.model is not None and MODELS[self.model.name].task != "ctr":
            raise explained_error(f"'{self.model.name}' solves the task '{MODELS[self.model.name].task}', not ctr")
        if self.model is not None and MODELS[self.model.name].closed_form:
            raise explained_error(f"'{self.model.name}' is fitted in closed form, so that there is nothing to continue")
        return self


def start_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data of a YAML in which a path under ``inputs.start`` is replaced by what stands there.

    The path of an experiment's YAML gives model and trainer. Any other path is the folder of a run, beside the YAML or
    where the command was called; the data name it in full.

    Raises:
        ConfigError: There is no such file, or it holds no experiment.
    """
    inputs = data.get("inputs")
    given = inputs.get("start") if isinstance(inputs, dict) else None
    rest = given if isinstance(given, dict) else {}
    name = rest.get("run", given)
    if not isinstance(inputs, dict) or not isinstance(name, str):
        return data
    run = run_beside(name, folder)
    start: dict[str, Any] = {"run": str(run or name)}
    if not rest and run is None and name.endswith(SUFFIXES):
        path = folder / name if is_file(folder / name) else find_yaml("configs", name)
        found = load_yaml(path).data
        if "model" not in found:
            raise ConfigError(
                str(path), [ConfigIssue("", "has no model; inputs.start names the YAML of an experiment")]
            )
        start = {key: found[key] for key in ("model", "trainer") if key in found}
    return {**data, "inputs": {**inputs, "start": {**rest, **start}}}
