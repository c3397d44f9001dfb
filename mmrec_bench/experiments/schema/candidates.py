"""The YAML of two stages: which retrieval model finds the candidates that a ranker puts in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import PositiveInt, model_validator

import mmrec_bench.models  # noqa: F401 - importing the models fills their registry
from mmrec_bench.data.rules import Fraction
from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.experiments.schema.seeds import Seed
from mmrec_bench.models.base import MODELS, ModelField
from mmrec_bench.resources import find_yaml, is_file
from mmrec_bench.retrieval.config import RetrieverConfig
from mmrec_bench.settings import BaseConfig, explained_error, load_yaml
from mmrec_bench.training.config import TrainerConfig


class FirstStageConfig(BaseConfig):
    """A retrieval model whose candidates are put in order."""

    model: ModelField
    """Which model, with its hyper-parameters."""
    trainer: TrainerConfig | None = None
    """How it is trained; left out for models fitted in closed form."""
    retriever: RetrieverConfig = RetrieverConfig()
    """Which exact top-k back-end."""

    @model_validator(mode="after")
    def _retrieves(self) -> Self:
        if (entry := MODELS[self.model.name]).task != "retrieval":
            raise explained_error(f"a first stage retrieves; model '{entry.name}' solves the task '{entry.task}'")
        return self


class CandidatesConfig(BaseConfig):
    """Lists made of what a first stage retrieves."""

    first_stage: FirstStageConfig
    """The path of a retrieval experiment, whose model, trainer and retriever are taken, or these sections. It is
    trained without the fold and selected on validation; protocol and data are this experiment's."""
    n: PositiveInt = 50
    """Candidates of each user."""
    share: Fraction = 0.2
    """Share of each user's training rows that make up the fold, from which the ranker learns."""
    choose: Literal["latest", "random"] = "random"
    """Which training rows make up the fold: the latest in time, or any."""
    seed: Seed = 0
    """Seed of the first stage and of the fold; all rankers get the same candidates."""


def stage_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data of a YAML in which the path of a first stage is replaced by its model, trainer and retriever.

    Raises:
        ConfigError: There is no such file, or it reads made features that the YAML does not name.
    """
    inputs = data.get("inputs")
    candidates = inputs.get("candidates") if isinstance(inputs, dict) else None
    name = candidates.get("first_stage") if isinstance(candidates, dict) else None
    if not isinstance(inputs, dict) or not isinstance(candidates, dict) or not isinstance(name, str):
        return data
    stage = stage_sections(name, folder, inputs, "inputs.candidates.first_stage")
    return {**data, "inputs": {**inputs, "candidates": {**candidates, "first_stage": stage}}}


def stage_sections(name: str, folder: Path, inputs: dict[str, Any], where: str) -> dict[str, Any]:
    """Return model, trainer and retriever of a retrieval experiment's YAML.

    Args:
        name: Its path, beside the YAML that names it or as `find_yaml` has it.
        folder: Of the YAML that names it.
        inputs: Section ``inputs`` of that YAML; made features that the experiment reads must be named there, too.
        where: Place of the name in that YAML.

    Raises:
        ConfigError: There is no such file, or it reads made features that the YAML does not name.
    """
    beside = folder / name
    try:
        path = beside if is_file(beside) else find_yaml("configs", name)
    except ConfigError as error:
        issues = [ConfigIssue(where, issue.message) for issue in error.issues]
        raise ConfigError(error.source, issues) from None
    found = load_yaml(path).data
    if "model" not in found:
        raise ConfigError(str(path), [ConfigIssue("", "has no model; a first stage is the YAML of an experiment")])
    made = set(_features(found.get("inputs"))) - set(_features(inputs))
    if made:
        message = f"{', '.join(sorted(made))}: name these under inputs.features of this experiment, too"
        raise ConfigError(str(path), [ConfigIssue("inputs.features", message)])
    return {name: found[name] for name in ("model", "trainer", "retriever") if name in found}


def _features(inputs: object) -> dict[str, Any]:
    features = inputs.get("features") if isinstance(inputs, dict) else None
    return features if isinstance(features, dict) else {}
