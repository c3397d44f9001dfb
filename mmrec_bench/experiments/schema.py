"""The YAML of an experiment and of a suite."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, PositiveInt, SerializeAsAny, ValidationInfo, model_validator

import mmrec_bench.data.folds
import mmrec_bench.models  # noqa: F401 - importing the models fills their registry
from mmrec_bench.data.alterations import ALTERATIONS, Alteration, modalities_left
from mmrec_bench.data.cards import load_card
from mmrec_bench.data.rules import Fraction
from mmrec_bench.errors import ConfigError, ConfigIssue, MMRecBenchError
from mmrec_bench.evaluation.protocol import ProtocolConfig, RetrievalProtocol
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.experiments.click_log import ClickLogConfig
from mmrec_bench.experiments.features_config import FeaturesConfig, Inputs, card_beside, inputs_beside
from mmrec_bench.experiments.knockout import KnockoutConfig
from mmrec_bench.experiments.seeds import Seed, Seedlist
from mmrec_bench.models.base import MODELS, ModelConfig, ModelEntry, ModelField
from mmrec_bench.models.needs import Needs, models_for
from mmrec_bench.resources import find_yaml
from mmrec_bench.retrieval.config import RetrieverConfig
from mmrec_bench.settings import BaseConfig, Document, explained_error, load_yaml, named
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.types import Task

AlterationField = Annotated[
    SerializeAsAny[Alteration], PlainValidator(named(lambda: ALTERATIONS, Alteration, lambda entry: entry))
]
"""A change of features, resolved by the registry from ``{name: ..., modality: ..., ...}``."""


PROTOCOLS: Mapping[Task, type[ProtocolConfig]] = {"retrieval": RetrievalProtocol, "ranking": RankingProtocol}
"""Class of the section ``protocol`` by the task of the model."""


def _entry_of(model: object) -> ModelEntry | None:
    """Return the registry's entry of the section ``model`` of a YAML, if it names one."""
    name = model.get("name") if isinstance(model, Mapping) else model
    return MODELS[name] if isinstance(name, str) and name in MODELS else None


def _protocol(value: object, info: ValidationInfo) -> ProtocolConfig:
    """Read a protocol of the task of the model, which is read before."""
    if isinstance(value, ProtocolConfig):
        return value
    model = info.data.get("model")
    if isinstance(model, ModelConfig):
        task = MODELS[model.name].task
    else:  # an issue of its own; whatever else is wrong is still to be found
        keys = set(value) if isinstance(value, Mapping) else set()
        task = min(PROTOCOLS, key=lambda name: len(keys - set(PROTOCOLS[name].model_fields)))
    if task not in PROTOCOLS:
        raise explained_error(f"there is no protocol for the task '{task}' yet")
    return PROTOCOLS[task].model_validate(value)


ProtocolField = Annotated[SerializeAsAny[ProtocolConfig], PlainValidator(_protocol)]


class DatasetRef(BaseConfig):
    """Which data."""

    card: str
    """Name of a card in ``datasets/``, or the path of a card file."""
    modalities: tuple[str, ...] | None = None
    """Feature tables to load; all of the card's by default."""
    alter: tuple[AlterationField, ...] = ()
    """Changes of the features, one after the other, to learn what a model makes of them."""
    clicks: ClickLogConfig | None = None
    """How training lists are shown and clicked, simulated from their labels; of the ranking task alone."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            _ = self.given
        except MMRecBenchError as error:
            raise explained_error(str(error)) from None
        return self

    @property
    def given(self) -> tuple[str, ...]:
        """The modalities a model sees."""
        return modalities_left(load_card(self.card).chosen(self.modalities), self.alter)


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


class ExperimentInputs(Inputs):
    """What other commands make, and what other models find."""

    candidates: CandidatesConfig | None = None
    """Where the lists come from that a ranker puts in order; without it the data set gives lists."""


class ExperimentConfig(BaseConfig):
    """One experiment: a dataset, a protocol, a model and a trainer."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    dataset: DatasetRef
    """Which data."""
    inputs: ExperimentInputs = ExperimentInputs()
    """What other commands make and the model reads, such as ``{features: {fused: path of a features YAML}}``."""
    model: ModelField
    """Which model, with its hyper-parameters; decides the task."""
    protocol: ProtocolField
    """What the numbers mean; which keys there are hangs on the task of the model."""
    trainer: TrainerConfig | None = None
    """How it is trained; left out for models fitted in closed form."""
    retriever: RetrieverConfig | None = None
    """Which exact top-k back-end; of retrieval models alone."""
    seeds: Seedlist = (0,)
    """One run for each."""

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: object) -> object:
        """Write defaults out where a section applies, so that the resolved config is complete."""
        if not isinstance(data, dict) or (entry := _entry_of(data.get("model"))) is None:
            return data
        applies = {"trainer": not entry.closed_form, "retriever": entry.task == "retrieval"}
        return data | {name: {} for name, does in applies.items() if does and data.get(name) is None}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        entry = self.entry
        if entry.closed_form and self.trainer is not None:
            raise explained_error(
                f"model '{entry.name}' is fitted in closed form, so the section 'trainer' would do nothing; remove it"
            )
        if entry.task != "retrieval" and self.retriever is not None:
            raise explained_error(
                f"model '{entry.name}' retrieves nothing, so the section 'retriever' would do nothing; remove it"
            )
        if entry.task != "ranking" and self.inputs.candidates is not None:
            raise explained_error(f"model '{entry.name}' ranks no given lists; remove inputs.candidates")
        if self.inputs.candidates is not None and self.dataset.clicks is not None:
            raise explained_error(
                "dataset.clicks simulates clicks on lists of the data set; candidates of a first stage are learned "
                "from their labels. Remove one of dataset.clicks and inputs.candidates"
            )
        if entry.task != "ranking" and self.dataset.clicks is not None:
            raise explained_error(
                f"model '{entry.name}' learns from interactions, so dataset.clicks would do nothing; remove it"
            )
        if self.needs.exports == "scorer" and self.retriever is not None and self.retriever.backend != "torch":
            raise explained_error(
                f"the scores of model '{self.model.label}' are no inner product, which faiss cannot search; "
                "set retriever: {backend: torch}"
            )
        given = self.given
        if lacking := self.needs.lacking(given):
            dropped = " after dataset.alter" if self.dataset.alter else ""
            raise explained_error(
                f"model '{self.model.label}' needs {', '.join(lacking)}; data set '{self.dataset.card}' gives "
                f"{', '.join(given) or 'none'}{dropped}. "
                f"Models that do without: {', '.join(models_for(entry.task, given))}"
            )
        return self

    @model_validator(mode="after")
    def _inputs_fit(self) -> Self:
        card = load_card(self.dataset.card)
        for name, source in self.inputs.features.items():
            if name in card.chosen(self.dataset.modalities):
                raise explained_error(
                    f"inputs.features.{name}: the data set has a feature table of this name; choose another name"
                )
            if isinstance(source, FeaturesConfig) and (other := load_card(source.dataset.card)).name != card.name:
                raise explained_error(
                    f"inputs.features.{name}: these features are made of data set '{other.name}', the experiment is on "
                    f"'{card.name}'. Set inputs.features.{name}.dataset.card, or name other features"
                )
        return self

    @property
    def entry(self) -> ModelEntry:
        """The registry's entry of the model."""
        return MODELS[self.model.name]

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the feature tables that the model sees."""
        return (*self.dataset.given, *self.inputs.features)

    @property
    def needs(self) -> Needs:
        """What the model asks of the data, with the models nested in it."""
        parts = tuple(self.model.parts())
        return Needs.of((MODELS[part.name] for part in parts), (table for part in parts for table in part.tables))


class SuiteItem(BaseConfig):
    """One experiment of a suite."""

    config: str
    """Path of the experiment's YAML, relative to the suite file."""
    set: tuple[str, ...] = ()
    """Overrides as of ``--set``, such as ``model.n_layers=3``."""
    label: str | None = None
    """Name of the row in tables; the model's label, with its own settings in brackets, by default."""
    knockout: bool = False
    """Whether the modality truth test is made, too."""


class SuiteConfig(BaseConfig):
    """A list of experiments that are run and reported together."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    title: str
    """Heading of the report."""
    description: str = ""
    """What the suite shows, printed under the heading."""
    seeds: Seedlist | None = None
    """Replaces the seeds of every experiment that is not fitted in closed form."""
    set: tuple[str, ...] = ()
    """Overrides for every experiment; those of the trainer pass by what is fitted in closed form."""
    knockout: KnockoutConfig = KnockoutConfig()
    """How the modality truth test is made where an experiment asks for it."""
    experiments: Annotated[tuple[SuiteItem, ...], Field(min_length=1)]
    """What to run."""

    @model_validator(mode="after")
    def _knockout_is_read(self) -> Self:
        if "knockout" in self.model_fields_set and not any(item.knockout for item in self.experiments):
            raise explained_error("knockout needs an experiment with `knockout: true`; without one it does nothing")
        return self


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
        knockouts: Those among them whose modalities are tested.
    """

    config: SuiteConfig
    name: str
    experiments: tuple[Experiment, ...]
    knockouts: tuple[Experiment, ...] = ()


def load_experiment(name_or_path: str | Path, overrides: tuple[str, ...] = (), label: str | None = None) -> Experiment:
    """Read an experiment's YAML.

    Raises:
        ConfigError: With all issues of the file at once.
    """
    path = find_yaml("configs", str(name_or_path))
    document = load_yaml(path)
    if is_suite(document):
        raise ConfigError(str(path), [ConfigIssue("", "is a suite; run it with `mmrec-bench bench`")])
    if is_features(document):
        raise ConfigError(str(path), [ConfigIssue("", "makes features; run it with `mmrec-bench features align`")])
    # Before the overrides, so that these can change inputs; and after them, since they may name others.
    document = _beside(_beside(document, path.parent).with_overrides(overrides), path.parent)
    config = document.parse(ExperimentConfig)
    return Experiment(config, path, label or config.model.label)


def _beside(document: Document, folder: Path) -> Document:
    """Return the document with paths beside the file made absolute, or replaced by what stands there."""
    return dataclasses.replace(
        document, data=_stage_beside(inputs_beside(card_beside(document.data, folder), folder), folder)
    )


def _stage_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data in which the path of a first stage is replaced by its model, trainer and retriever."""
    inputs = data.get("inputs")
    candidates = inputs.get("candidates") if isinstance(inputs, dict) else None
    path = candidates.get("first_stage") if isinstance(candidates, dict) else None
    if not isinstance(path, str):
        return data
    beside = folder / path
    found = load_yaml(beside if beside.is_file() else find_yaml("configs", path)).data
    stage = {name: found[name] for name in ("model", "trainer", "retriever") if name in found}
    return {**data, "inputs": {**data["inputs"], "candidates": {**data["inputs"]["candidates"], "first_stage": stage}}}


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
    if not is_suite(document):
        raise ConfigError(str(path), [ConfigIssue("", "is no suite (it lists no experiments); try `mmrec-bench run`")])
    if seeds:
        document = document.with_overrides([f"seeds={list(seeds)}"])
    config = document.parse(SuiteConfig)
    experiments: list[Experiment] = []
    knockouts: list[Experiment] = []
    issues: list[ConfigIssue] = []
    for row, item in enumerate(config.experiments):
        shared = (*config.set, *overrides)
        try:
            found = _suite_experiment(path.parent / item.config, shared, item.set, config.seeds, item.label)
        except ConfigError as error:
            line = document.lines.get(("experiments", row))
            issues += [
                ConfigIssue(f"experiments[{row}], {error.source}, {issue.path or 'document'}", issue.message, line)
                for issue in error.issues
            ]
            continue
        experiments.append(found)
        if item.knockout:
            knockouts.append(found)
    if issues:
        raise ConfigError(str(path), issues)
    return Suite(config, path.stem, tuple(experiments), tuple(knockouts))


def _suite_experiment(
    path: Path, shared: tuple[str, ...], own: tuple[str, ...], seeds: tuple[int, ...] | None, label: str | None
) -> Experiment:
    """Read one experiment of a suite; seeds and shared settings of the trainer pass by what has a closed form."""
    entry = _entry_of(load_yaml(find_yaml("configs", str(path))).data.get("model"))
    if entry is not None and entry.closed_form:
        shared = tuple(setting for setting in shared if not setting.startswith("trainer."))
    elif seeds:
        shared = (*shared, f"seeds={list(seeds)}")
    found = load_experiment(path, (*shared, *own), label)
    told = [setting for setting in own if setting.startswith(("model.", "trainer."))]
    if label is None and told:
        found = Experiment(found.config, found.source, f"{found.label} ({', '.join(told)})")
    return found


def is_suite(document: Document) -> bool:
    """Return whether a document is a suite rather than an experiment."""
    return "experiments" in document.data


def is_features(document: Document) -> bool:
    """Return whether a document makes features rather than runs an experiment."""
    return "encoder" in document.data
