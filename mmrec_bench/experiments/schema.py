"""The YAML of an experiment and of a suite."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PlainValidator, SerializeAsAny, model_validator

import mmrec_bench.models  # noqa: F401 - importing the models fills their registry
from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.evaluation.protocol import RetrievalProtocol
from mmrec_bench.models.base import MODELS, ModelConfig, ModelEntry
from mmrec_bench.resources import find_yaml
from mmrec_bench.retrieval.config import RetrieverConfig
from mmrec_bench.settings import BaseConfig, Document, explained_error, load_yaml, named
from mmrec_bench.training.config import TrainerConfig

ModelField = Annotated[
    SerializeAsAny[ModelConfig], PlainValidator(named(lambda: MODELS, ModelConfig, lambda entry: entry.config))
]
"""A model config, resolved by the registry from ``{name: ..., ...}``."""

Seedlist = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]


class DatasetRef(BaseConfig):
    """Which data."""

    card: str
    """Name of a card in ``datasets/``, or the path of a card file."""
    modalities: tuple[str, ...] | None = None
    """Feature tables to load; all of the card's by default."""


class ExperimentConfig(BaseConfig):
    """One experiment: a dataset, a protocol, a model and a trainer."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    dataset: DatasetRef
    """Which data."""
    protocol: RetrievalProtocol
    """What the numbers mean."""
    model: ModelField
    """Which model, with its hyper-parameters."""
    trainer: TrainerConfig | None = None
    """How it is trained; left out for models fitted in closed form."""
    retriever: RetrieverConfig = RetrieverConfig()
    """Which exact top-k back-end."""
    seeds: Seedlist = (0,)
    """One run for each."""

    @model_validator(mode="before")
    @classmethod
    def _default_trainer(cls, data: object) -> object:
        """Write the trainer's defaults out for models that are trained, so that the resolved config is complete."""
        if isinstance(data, dict) and data.get("trainer") is None:
            model = data.get("model")
            name = model.get("name") if isinstance(model, dict) else model
            if isinstance(name, str) and name in MODELS and not MODELS[name].closed_form:
                return {**data, "trainer": {}}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        entry = self.entry
        if entry.task != "retrieval":
            raise explained_error(f"model '{entry.name}' solves the task '{entry.task}', the protocol is for retrieval")
        if entry.closed_form and self.trainer is not None:
            raise explained_error(
                f"model '{entry.name}' is fitted in closed form, so the section 'trainer' would do nothing; remove it"
            )
        if entry.exports == "scorer" and self.retriever.backend != "torch":
            raise explained_error(
                f"the scores of model '{entry.name}' are no inner product, which faiss cannot search; "
                "set retriever: {backend: torch}"
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise explained_error(f"seeds must not repeat; got {list(self.seeds)}")
        return self

    @property
    def entry(self) -> ModelEntry:
        """The registry's entry of the model."""
        return MODELS[self.model.name]


class SuiteItem(BaseConfig):
    """One experiment of a suite."""

    config: str
    """Path of the experiment's YAML, relative to the suite file."""
    set: tuple[str, ...] = ()
    """Overrides as of ``--set``, such as ``model.n_layers=3``."""
    label: str | None = None
    """Name of the row in tables; the model's name by default."""


class SuiteConfig(BaseConfig):
    """A list of experiments that are run and reported together."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    title: str
    """Heading of the report."""
    description: str = ""
    """What the suite shows, printed under the heading."""
    seeds: Seedlist | None = None
    """Replaces the seeds of every experiment that is not deterministic."""
    set: tuple[str, ...] = ()
    """Overrides for every experiment."""
    experiments: Annotated[tuple[SuiteItem, ...], Field(min_length=1)]
    """What to run."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment with its origin.

    Attributes:
        config: The validated experiment.
        source: The file it was read from, for messages and for cards beside it.
        label: Name of its row in tables.
    """

    config: ExperimentConfig
    source: Path
    label: str


@dataclass(frozen=True, slots=True)
class Suite:
    """A validated suite.

    Attributes:
        config: The validated suite file.
        name: Stem of its file; names the report's folder.
        experiments: Its experiments, in order.
    """

    config: SuiteConfig
    name: str
    experiments: tuple[Experiment, ...]


def load_experiment(name_or_path: str | Path, overrides: tuple[str, ...] = (), label: str | None = None) -> Experiment:
    """Read an experiment's YAML.

    Raises:
        ConfigError: With all issues of the file at once.
    """
    path = find_yaml("configs", str(name_or_path))
    config = load_yaml(path).with_overrides(overrides).parse(ExperimentConfig)
    return Experiment(config, path, label or config.model.name)


def load_suite(
    name_or_path: str | Path, overrides: tuple[str, ...] = (), seeds: tuple[int, ...] | None = None
) -> Suite:
    """Read a suite and every experiment it names.

    Args:
        name_or_path: The suite file.
        overrides: Applied to every experiment, after those of the suite.
        seeds: Replaces the suite's seeds.

    Raises:
        ConfigError: With all issues of the suite and of all its experiments at once.
    """
    path = find_yaml("configs", str(name_or_path))
    document = load_yaml(path)
    config = document.parse(SuiteConfig)
    seeds = seeds or config.seeds
    experiments: list[Experiment] = []
    issues: list[ConfigIssue] = []
    for row, item in enumerate(config.experiments):
        settings = (*config.set, *item.set, *overrides)
        try:
            found = load_experiment(path.parent / item.config, settings, item.label)
        except ConfigError as error:
            line = document.lines.get(("experiments", row))
            issues += [
                ConfigIssue(f"experiments[{row}] ({error.source}): {issue.path}", issue.message, issue.line or line)
                for issue in error.issues
            ]
            continue
        if seeds and not found.config.entry.closed_form:
            found = Experiment(found.config.model_copy(update={"seeds": seeds}), found.source, found.label)
        experiments.append(found)
    if issues:
        raise ConfigError(str(path), issues)
    return Suite(config, path.stem, tuple(experiments))


def is_suite(document: Document) -> bool:
    """Return whether a document is a suite rather than an experiment."""
    return "experiments" in document.data
