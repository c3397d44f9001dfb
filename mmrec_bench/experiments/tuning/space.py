"""The YAML of a search space: which keys of an experiment a study varies, and over which values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from mmrec_bench.errors import ConfigError, ConfigIssue, RegistryError
from mmrec_bench.experiments.schema.experiment import Experiment, ExperimentConfig, is_space
from mmrec_bench.models.base import MODELS
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import BaseConfig, Document, explained_error, load_yaml

SECTIONS = ("model", "trainer")
FIXED: Mapping[str, str] = {
    "model.preset": "sets the defaults of other keys, which the experiment has written out; choose it there",
    "trainer.validate_every": "is the step by which trials are pruned, so that all trials must share it",
    "trainer.checkpoint_seconds": "moves no number",
}
"""Keys of the sections that cannot be axes, with the reason."""

MAX_STEPS = 10**9
"""Steps that a range may have; no study comes near so many, and optuna fails at far more."""


def _number(value: Any) -> Any:
    """Refuse what is no number once, and not as each of the kinds of numbers that it is not."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise explained_error(f"needs a number; got {value!r}"[:120])
    return value


Number = Annotated[float | int, BeforeValidator(_number)]


class AxisConfig(BaseConfig):
    """One axis: ``{choices: [...]}`` or ``{range: [low, high]}``."""

    choices: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    """Values to choose from, of any type that the key takes."""
    range: tuple[Number, Number] | None = None
    """Least and greatest value, both included; two integers give integers alone."""
    log: bool = False
    """Whether a range is uniform in the logarithm."""
    step: Number | None = None
    """Distance of neighbouring values of a range."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.choices is None) == (self.range is None):
            given = "neither" if self.choices is None else "both"
            raise explained_error(f"needs either choices or range, such as {{choices: [32, 64]}}; got {given}")
        if self.choices is not None:
            if self.log or self.step is not None:
                raise explained_error("log and step belong to a range, and this axis has choices; remove them")
            if len(set(self._texts)) < len(self.choices):
                raise explained_error(f"choices must not repeat; got {list(self.choices)}")
            return self
        low, high = self._ends
        if low >= high:
            raise explained_error(f"range must rise; got [{low}, {high}]")
        if self.log and (low <= 0 or self.step is not None):
            raise explained_error(f"log needs a range above 0 and no step; got [{low}, {high}], step {self.step}")
        if self.step is not None:
            if self.step <= 0 or (self.is_int and not isinstance(self.step, int)):
                raise explained_error(f"step must be above 0, and an integer in a range of integers; got {self.step}")
            if (high - low) / MAX_STEPS > self.step:
                raise explained_error(f"range must have at most {MAX_STEPS:,} steps; got steps of {self.step}")
            if abs((high - low) / self.step - round((high - low) / self.step)) > 1e-9:
                raise explained_error(f"steps of {self.step} from {low} do not meet {high}")
        return self

    @property
    def _texts(self) -> tuple[str, ...]:
        return tuple(json.dumps(value, sort_keys=True) for value in self.choices or ())

    @property
    def _ends(self) -> tuple[float | int, float | int]:
        assert self.range is not None
        return self.range

    @property
    def is_int(self) -> bool:
        """Whether the axis is a range of integers."""
        return self.range is not None and all(isinstance(end, int) for end in self.range)

    @property
    def probes(self) -> tuple[Any, ...]:
        """Values whose acceptance by the experiment stands for that of all."""
        return self.choices if self.choices is not None else self._ends

    @property
    def distribution(self) -> BaseDistribution:
        """The axis as the sampler sees it: choices are texts of JSON, which may be of any type."""
        if self.choices is not None:
            return CategoricalDistribution(self._texts)
        low, high = self._ends
        if self.is_int:
            return IntDistribution(int(low), int(high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(low, high, log=self.log, step=self.step)

    def value(self, drawn: Any) -> Any:
        """Return the value of the key for what the sampler has drawn."""
        return json.loads(drawn) if self.choices is not None else drawn


class SpaceConfig(BaseConfig):
    """The search space of one model."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    model: str
    """Name of the model that the space is made for."""
    axes: Annotated[dict[str, AxisConfig], Field(min_length=1)]
    """Axes by the dotted key of an experiment, such as ``trainer.learning_rate``."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            _ = MODELS[self.model]
        except RegistryError as error:
            raise explained_error(f"model: {error}") from None
        return self


@dataclass(frozen=True)
class Space:
    """A search space that fits its experiment: every value of every axis is accepted by it.

    Attributes:
        config: The validated space.
        experiment: The experiment whose other settings all trials share.
    """

    config: SpaceConfig
    experiment: Experiment

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The axes as the sampler sees them, by key, in an order that does not hang on the file's."""
        return {key: self.config.axes[key].distribution for key in sorted(self.config.axes)}

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the keys for what the sampler has drawn."""
        return {key: self.config.axes[key].value(drawn[key]) for key in self.distributions}

    def at(self, values: Mapping[str, Any]) -> Experiment:
        """Return the experiment with these values.

        Raises:
            ConfigError: They do not go together.
        """
        return with_values(self.experiment, values)


def load_space(name_or_path: str | Path, experiment: Experiment) -> Space:
    """Read a search space and check it against an experiment.

    Raises:
        ConfigError: With all issues of the file at once: axes that are no keys of a model or trainer, and values that
            these refuse.
    """
    config, document, path = read_space(name_or_path)
    name = experiment.config.model.name
    if config.model != name:
        issue = ConfigIssue(
            "model", f"is made for '{config.model}', and {experiment.source} runs '{name}'; name its space"
        )
        raise ConfigError(str(path), [issue])
    issues = []
    for key, axis in config.axes.items():
        line = document.lines.get(("axes", key))
        issues += [ConfigIssue(f"axes.{key}", message, line) for message in _refusals(experiment.config, key, axis)]
    if issues:
        raise ConfigError(str(path), issues)
    return Space(config, experiment)


def spaces_of(source: str, experiments: Sequence[Experiment], where: str) -> tuple[Space | None, ...]:
    """Return the search space of each experiment; None for one whose model has no settings.

    Args:
        source: What asks for them, for messages.
        experiments: What is to be tuned.
        where: A space, or a folder that holds ``<model>.yaml`` for each model.

    Raises:
        ConfigError: With all issues of all experiments and spaces at once.
    """
    spaces: list[Space | None] = []
    issues: list[ConfigIssue] = []
    for experiment in experiments:
        if set(type(experiment.config.model).model_fields) <= {"name", "preset"}:
            spaces.append(None)
            continue
        name = where if where.endswith((".yaml", ".yml")) else f"{where}/{experiment.config.model.name}.yaml"
        try:
            spaces.append(load_space(name, experiment))
        except ConfigError as error:
            if len(experiments) == 1:
                raise
            issues += error.within(experiment.label)
    if not issues and not any(spaces):
        issues.append(ConfigIssue("model", "has no settings, so there is nothing to tune; run it"))
    if issues:
        raise ConfigError(source, issues)
    return tuple(spaces)


def read_space(name_or_path: str | Path) -> tuple[SpaceConfig, Document, Path]:
    """Read a search space without an experiment.

    Raises:
        ConfigError: With all issues of the file at once.
    """
    path = find_yaml("configs", str(name_or_path))
    document = load_yaml(path)
    if not is_space(document):
        raise ConfigError(
            str(path),
            [ConfigIssue("", "is no search space: it lacks axes, such as `model.embedding_dim: {choices: [32, 64]}`")],
        )
    return document.parse(SpaceConfig), document, path


def _refusals(config: ExperimentConfig, key: str, axis: AxisConfig) -> list[str]:
    """Return why an axis does not fit an experiment."""
    section, *rest = key.split(".")
    if section not in SECTIONS or not all(rest) or not rest:
        return [
            f"an axis is a key of {' or '.join(SECTIONS)}: data, protocol, inputs and seeds are no settings to tune"
        ]
    if key in FIXED:
        return [f"{FIXED[key]}; remove it"]
    if section == "model" and rest[-1] == "name":
        return ["a study is of one model; make a study for each"]
    refusals = (_refusal(config, key, value) for value in axis.probes)
    found = list(dict.fromkeys(message for message in refusals if message is not None))
    if axis.is_int and axis.step is None and not found and _refusal(config, key, axis.probes[0] + 0.5) is None:
        found = [f"the key takes fractions, and a range of integers gives none; write [{axis.probes[0]}.0, ...]"]
    return found


def _refusal(config: ExperimentConfig, key: str, value: Any) -> str | None:
    try:
        ExperimentConfig.model_validate(_with(config, {key: value}))
    except ValidationError as error:
        return "; ".join(dict.fromkeys(line["msg"] for line in error.errors(include_url=False)))
    except _NoMappingError as error:
        return str(error)
    return None


class _NoMappingError(Exception):
    """A key goes through a value that holds no keys."""


def with_values(base: Experiment, values: Mapping[str, Any]) -> Experiment:
    """Return an experiment with other values, by their keys.

    Raises:
        ConfigError: They do not go together.
    """
    config = Document(str(base.source), _with(base.config, values)).parse(ExperimentConfig)
    return Experiment(config, base.source, base.label)


def _with(config: ExperimentConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the experiment as plain data with these values."""
    data: dict[str, Any] = config.model_dump(mode="json")
    for key, value in values.items():
        *above, last = key.split(".")
        node = data
        for part in above:
            if not isinstance(node.get(part), dict):
                raise _NoMappingError(f"there is no '{part}' in this experiment that holds keys")
            node = node[part]
        node[last] = value
    return data
