"""The YAML of an experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError, model_validator

from mmrec_bench.data.cards import load_card
from mmrec_bench.data.formats.base import PayloadKind
from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.experiments.features.config import FeaturesConfig, extracted_for, inputs_beside
from mmrec_bench.experiments.features.extract_config import ExtractConfig
from mmrec_bench.experiments.features.sources import Step, data_beside, self_contained
from mmrec_bench.experiments.schema.base import base_beside
from mmrec_bench.experiments.schema.candidates import FirstStageConfig, stage_beside
from mmrec_bench.experiments.schema.parts import DatasetRef, ExperimentInputs, ProtocolField, entry_of
from mmrec_bench.experiments.schema.sections import refused_sections
from mmrec_bench.experiments.schema.seeds import Seedlist
from mmrec_bench.experiments.schema.start import start_beside
from mmrec_bench.models.base import MODELS, ModelConfig, ModelEntry, ModelField
from mmrec_bench.models.needs import Needs, models_for
from mmrec_bench.resources import find_yaml
from mmrec_bench.retrieval.config import RetrieverConfig
from mmrec_bench.settings import BaseConfig, Document, dotted, explained_error, load_yaml
from mmrec_bench.training.config import TrainerConfig


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
        if not isinstance(data, dict) or (entry := entry_of(data.get("model"))) is None:
            return data
        applies = {"trainer": not entry.closed_form, "retriever": entry.task == "retrieval"}
        return data | {name: {} for name, does in applies.items() if does and data.get(name) is None}

    @model_validator(mode="after")
    def _sections_are_read(self) -> Self:
        for refusal in refused_sections(self):
            raise explained_error(refusal)
        return self

    @model_validator(mode="after")
    def _data_fit(self) -> Self:
        if self.kind not in (card := load_card(self.dataset.card)).payloads:
            other = ". Or rank what a retrieval model finds: inputs.candidates" if self.kind == "lists" else ""
            raise explained_error(f"{card.lacks(self.kind)}{other}")
        parted = self.kind if self.dataset.impressions is None else "points"
        if refusal := self.protocol.split.refusal(parted):
            raise explained_error(refusal)
        candidates, protocol = self.inputs.candidates, self.protocol
        if candidates is not None and isinstance(protocol, RankingProtocol) and protocol.of_clicks:
            raise explained_error(
                f"candidates of a first stage were shown to nobody; remove {', '.join(protocol.of_clicks)} from "
                "protocol.metrics"
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
                f"model '{self.label}' needs {', '.join(lacking)}; data set '{self.dataset.card}' gives "
                f"{', '.join(given) or 'none'}{dropped}. "
                f"Models that do without: {', '.join(models_for(self.entry.task, given))}"
            )
        return self

    @model_validator(mode="after")
    def _inner_experiments_fit(self) -> Self:
        where = ("candidates", "first_stage") if self.inputs.base is None else ("base",)
        for place, made in ((where, "first_stage"), (("start",), "start")):
            try:
                getattr(self, made)
            except ValidationError as error:
                issues = (
                    f"{dotted(('inputs', *place, *line['loc']))}: {line['msg']}"
                    for line in error.errors(include_url=False)
                )
                raise explained_error("; ".join(issues)) from None
        stage = self.first_stage
        if (base := self.inputs.base) is None or stage is None:
            return self
        if differs := _differs(self, stage):
            raise explained_error(f"inputs.base: was run on another {differs}; the base and this experiment share it")
        if told := base.run_differs(stage.model, stage.trainer, stage.retriever, stage.protocol.select_by, stage.seeds):
            raise explained_error(f"inputs.base: {', '.join(told)}: not as in the run {base.run}; leave it out")
        return self

    @model_validator(mode="after")
    def _inputs_fit(self) -> Self:
        card = load_card(self.dataset.card)
        for name, source in self.inputs.features.items():
            if name in (*card.chosen(self.dataset.modalities), *self.dataset.features):
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
    def kind(self) -> PayloadKind:
        """What is read of the data set: what a ranker orders or finds lists in, and what impressions are made of."""
        if self.dataset.impressions is not None:
            return self.dataset.impressions.reads
        return "lists" if self.entry.task == "ranking" and self.inputs.candidates is None else "interactions"

    @property
    def first_stage(self) -> ExperimentConfig | None:
        """The retrieval experiment that has to run before: whose candidates are ranked, or the base of sessions."""
        candidates, base, split = self.inputs.candidates, self.inputs.base, self.protocol.split.model_dump(mode="json")
        if base is not None and base.run is not None:
            return ExperimentConfig.model_validate(base.run_config())
        if base is not None:
            cutoff = int(base.select_by.partition("@")[2])
            return self._retrieval(base, split, base.select_by, [cutoff], base.seed)
        if candidates is None:
            return None
        fold = {"name": "without-fold", "of": split, **candidates.model_dump(include={"share", "choose", "seed"})}
        cutoffs = sorted({min(20, candidates.n), candidates.n})
        return self._retrieval(candidates.first_stage, fold, f"recall@{candidates.n}", cutoffs, candidates.seed)

    def _retrieval(
        self, stage: FirstStageConfig, split: dict[str, Any], select_by: str, cutoffs: list[int], seed: int
    ) -> ExperimentConfig:
        """Return a retrieval experiment on the data of this one."""
        sections = stage.model_dump(mode="json", include={"model", "trainer", "retriever"})
        return ExperimentConfig.model_validate(
            {
                "schema_version": self.schema_version,
                "dataset": self.dataset.model_dump(mode="json"),
                "inputs": {"features": self.inputs.model_dump(mode="json")["features"]},
                "protocol": {
                    "split": split,
                    "cutoffs": cutoffs,
                    "select_by": select_by,
                    "tie_seed": self.protocol.tie_seed,
                },
                **sections,
                "seeds": [seed],
            }
        )

    @property
    def start(self) -> ExperimentConfig | None:
        """The experiment whose weights this one starts from, on the same data; None where a folder has them."""
        if (start := self.inputs.start) is None or start.model is None:
            return None
        facts = self.model_dump(mode="json", exclude={"model", "trainer", "inputs", "retriever"})
        features = self.inputs.model_dump(mode="json")["features"]
        told = start.model_dump(mode="json", include={"model", "trainer"})
        return ExperimentConfig.model_validate({**facts, "inputs": {"features": features}, **told})

    @property
    def stage(self) -> FirstStageConfig | None:
        """The model that has to be trained before this one."""
        candidates, base = self.inputs.candidates, self.inputs.base
        return base if candidates is None else candidates.first_stage

    @property
    def to_extract(self) -> tuple[ExtractConfig, ...]:
        """How the tables are extracted that models see, or of which features are made."""
        return self.dataset.to_extract + extracted_for(self.inputs.features.values())

    @property
    def parts(self) -> tuple[ModelConfig, ...]:
        """The model and the models nested in it, then those of the first stage."""
        return (*self.model.parts(), *(() if self.stage is None else self.stage.model.parts()))

    @property
    def label(self) -> str:
        """The model's label, and on whose candidates or scores it builds: ``starank on lightgcn``."""
        return self.model.label + ("" if self.stage is None else f" on {self.stage.model.label}")

    @property
    def needs(self) -> Needs:
        """What its models ask of the data."""
        tables = (table for part in self.parts for table in part.tables)
        return Needs.of((MODELS[part.name] for part in self.parts), tables)


def _differs(config: ExperimentConfig, stage: ExperimentConfig) -> str | None:
    """Return in what the data of a base that has been run differs from this experiment's."""
    pairs = {
        "card": (config.dataset.card, stage.dataset.card),
        "alteration of features": (config.dataset.alter, stage.dataset.alter),
        "split": (config.protocol.split, stage.protocol.split),
    }
    return next((name for name, (own, other) in pairs.items() if own != other), None)


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment with its origin.

    Attributes:
        config: The validated experiment.
        source: The file it was read from, for messages and for cards beside it.
        label: Name of its row in tables.
        tuning: The study that chose its settings, with its budget; None for settings that a person chose.
    """

    config: ExperimentConfig
    source: Path
    label: str
    tuning: Mapping[str, Any] | None = dataclasses.field(default=None, compare=False)


STEPS: tuple[Step, ...] = (data_beside, inputs_beside, stage_beside, start_beside, base_beside)
"""What makes the YAML of an experiment load again from anywhere."""


def is_suite(document: Document) -> bool:
    """Return whether a document is a suite rather than an experiment."""
    return "experiments" in document.data


def is_features(document: Document) -> bool:
    """Return whether a document makes features rather than runs an experiment."""
    return "encoder" in document.data and not is_extraction(document)


def is_extraction(document: Document) -> bool:
    """Return whether a document extracts features of texts or pictures rather than runs an experiment."""
    return "encoder" in document.data and "modality" in document.data


def is_evaluation(document: Document) -> bool:
    """Return whether a document judges features rather than runs an experiment."""
    return "features" in document.data and "model" not in document.data


def is_space(document: Document) -> bool:
    """Return whether a document is a search space rather than an experiment."""
    return "axes" in document.data


_OTHERS: tuple[tuple[Callable[[Document], bool], str], ...] = (
    (is_suite, "is a suite; run it with `mmrec-bench bench`"),
    (lambda document: document.data.get("kind") == "lis", "is a probe; run it with `mmrec-bench lis`"),
    (
        lambda document: "format" in document.data,
        "is the card of a data set; name it under dataset.card of an experiment, or look: mmrec-bench data inspect",
    ),
    (lambda document: "headline" in document.data, "is a track of the leaderboard, and no experiment"),
    (is_extraction, "extracts features; run it with `mmrec-bench features extract`"),
    (is_features, "makes features; run it with `mmrec-bench features align`"),
    (is_evaluation, "judges features; run it with `mmrec-bench features evaluate`"),
    (is_space, "is a search space; give it to `mmrec-bench tune`, after the YAML of an experiment"),
)
"""Documents of other kinds, and what to do with them."""


def load_experiment(name_or_path: str | Path, overrides: tuple[str, ...] = (), label: str | None = None) -> Experiment:
    """Read an experiment's YAML.

    Raises:
        ConfigError: With all issues of the file at once.
    """
    path = find_yaml("configs", str(name_or_path))
    document = load_yaml(path)
    for is_other, what in _OTHERS:
        if is_other(document):
            raise ConfigError(str(path), [ConfigIssue("", what)])
    if "kind" in document.data:
        issue = ConfigIssue("kind", f"there is no kind {document.data['kind']!r}; known: lis. Experiments have none")
        raise ConfigError(str(path), [issue])
    config = self_contained(document, path.parent, overrides, STEPS).parse(ExperimentConfig)
    return Experiment(config, path, label or config.label)
