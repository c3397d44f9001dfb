"""The YAML of a LIS probe: what is leaked, how it is given to the model, and what stands beside it as a control."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, TypeAlias, TypeVar

from pydantic import Field, NonNegativeInt, PlainValidator, PositiveFloat, PositiveInt, SerializeAsAny, model_validator

from mmrec_bench.data.point_rules import TimeWindow
from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.evaluation.ctr_protocol import CtrProtocol
from mmrec_bench.experiments.features.config import extracted_for
from mmrec_bench.experiments.features.evaluate_config import FeatureSetConfig
from mmrec_bench.experiments.features.extract_config import ExtractConfig
from mmrec_bench.experiments.features.sources import data_beside, self_contained, sets_beside
from mmrec_bench.experiments.schema.experiment import ExperimentConfig
from mmrec_bench.experiments.schema.parts import AlterationField, DatasetRef
from mmrec_bench.experiments.schema.seeds import Seedlist
from mmrec_bench.models.base import MODELS, ModelField
from mmrec_bench.models.ctr.fields import FieldsConfig
from mmrec_bench.registry import Registry
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import BaseConfig, Document, check_rising, explained_error, load_yaml, named
from mmrec_bench.training.config import TrainerConfig

Mode: TypeAlias = Literal["replace", "add"]
"""``replace``: the table takes the place of the model's own, and nothing is trained. ``add``: it is given to the extra
slot while the model is brought up to date."""

Days = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]


class LeakConfig(BaseConfig):
    """Base of all leaks.

    Attributes:
        MODES: How the model may be given it.
        CONTROLS: What may stand beside it.
    """

    MODES: ClassVar[tuple[Mode, ...]] = ("add",)
    CONTROLS: ClassVar[tuple[str, ...]] = ()

    name: str
    days: Days = (30.0,)
    """Horizons n: how many days behind the cut are looked at, one table each, rising."""
    modes: Annotated[tuple[Mode, ...], Field(min_length=1)] = ("add",)
    """How the model is given it."""
    controls: tuple[str, ...] = ()
    """What is put in its place to learn what the slot or the exchange is worth by itself; at least one."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_rising("days", self.days)
        for what, given, known in (("modes", self.modes, self.MODES), ("controls", self.controls, self.CONTROLS)):
            if len(set(given)) != len(given) or not set(given) <= set(known):
                raise explained_error(f"{what} of leak '{self.name}' are among {', '.join(known)}; got {list(given)}")
        if not self.controls:
            raise explained_error(
                f"leak '{self.name}' needs controls, without which nothing says that a gain is due to the leak; choose "
                f"among {', '.join(self.CONTROLS)}"
            )
        return self


LEAKS: Registry[type[LeakConfig]] = Registry("leak")
"""Config classes of leaks by name."""

R = TypeVar("R", bound=type[LeakConfig])


def _leak(name: str) -> Callable[[R], R]:
    def register(config: R) -> R:
        LEAKS.register(name, config)
        return config

    return register


LeakField = Annotated[SerializeAsAny[LeakConfig], PlainValidator(named(lambda: LEAKS, LeakConfig, lambda entry: entry))]


@_leak("id-embedding")
class IdEmbeddingLeak(LeakConfig):
    """The item table of the same model, trained on for n days behind the cut.

    Controls: ``own``, the model's own table at the cut; ``other-seed``, that of a model of another seed at the cut;
    ``random``, normal vectors; ``shuffled``, the rows of the leaked table (of the last horizon) in random order.
    """

    MODES: ClassVar[tuple[Mode, ...]] = ("replace", "add")
    CONTROLS: ClassVar[tuple[str, ...]] = ("own", "other-seed", "random", "shuffled")

    name: Literal["id-embedding"] = "id-embedding"
    modes: Annotated[tuple[Mode, ...], Field(min_length=1)] = ("replace", "add")
    """How the model is given it."""


@_leak("neighbours")
class NeighboursLeak(LeakConfig):
    """The items most similar to each by what users clicked behind the cut (Swing), whose vectors are averaged.

    Controls: ``honest``, by what they clicked before the cut, in a time as long as the last horizon; ``random``, items
    drawn at random; ``shuffled``, the neighbours (of the last horizon) of another item.
    """

    CONTROLS: ClassVar[tuple[str, ...]] = ("honest", "random", "shuffled")

    name: Literal["neighbours"] = "neighbours"
    n_neighbors: PositiveInt = 5
    """Neighbours of each item."""
    smoothing: PositiveFloat = 1.0
    """Smoothing alpha of Swing."""


@_leak("next-item")
class NextItemLeak(LeakConfig):
    """The item that the user of an impression clicks next, strictly after it.

    Controls: ``honest``, the item clicked last, strictly before the impression and before the part it is judged in;
    ``random``, an item drawn at random; ``shuffled``, the next item (of the last horizon) of another impression.
    """

    CONTROLS: ClassVar[tuple[str, ...]] = ("honest", "random", "shuffled")

    name: Literal["next-item"] = "next-item"
    itself: bool = False
    """Whether the next item may be the item of the impression."""


class UpdateConfig(BaseConfig):
    """The pass over the window before T, in time order, that brings a model up to date, with or without a slot."""

    learning_rate: PositiveFloat = 1e-3
    """Learning rate of Adam."""
    batch_size: PositiveInt = 256
    """Impressions in a batch."""
    n_epochs: PositiveInt = 1
    """Passes; none of them is chosen by a score."""

    @property
    def trainer(self) -> TrainerConfig:
        """The settings of the common trainer."""
        return TrainerConfig(
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            max_epochs=self.n_epochs,
            patience=self.n_epochs,
            order="time",
        )


class AlignConfig(BaseConfig):
    """Alignment of item features with the identities of items: ``z = MLP(f)`` near ``E_item`` of the model at the cut.

    A reconstruction: InfoNCE of cosines in both directions within a batch, on items with enough impressions before the
    cut; weights are chosen by the mean of recall@{1, 5, 10} of the identities of held-out items.
    """

    hidden_dim: PositiveInt = 64
    """Size of the hidden layer."""
    temperature: PositiveFloat = 0.1
    """Divisor of the cosines."""
    frequent: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the items seen before the cut, the most frequent, that are aligned: rare identities are noise."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of these on which weights are chosen."""
    trainer: TrainerConfig = TrainerConfig(batch_size=256, max_epochs=60, patience=10)
    """How it is trained; a batch holds items."""


class EncoderConfig(FeatureSetConfig):
    """A set of honest features whose worth is measured: tables, made or random vectors."""

    alter: tuple[AlterationField, ...] = ()
    """Changes of the tables, one after the other, such as to make sets of known quality."""
    align: AlignConfig | None = None
    """Alignment with the identities of items on data before the cut; null = the features as they are."""

    @model_validator(mode="after")
    def _alters_tables(self) -> Self:
        for change in self.alter:
            if change.modality not in (self.tables or ()):
                raise explained_error(
                    f"alter changes '{change.modality}', which is not among tables {list(self.tables or ())}"
                )
        return self


class LisConfig(BaseConfig):
    """A LIS probe, and the features that are measured against it."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    kind: Literal["lis"]
    """Says that this is a probe."""
    dataset: DatasetRef
    """Which data, with a recipe of impressions."""
    model: ModelField
    """Which CTR model, with its hyper-parameters."""
    protocol: CtrProtocol
    """Where T is; the window before it brings models up to date, the one behind it is judged."""
    trainer: TrainerConfig = TrainerConfig(order="time", max_epochs=1)
    """How the base is trained on what comes before both windows; its weights are chosen on the window before T."""
    update: UpdateConfig = UpdateConfig()
    """The pass over the window before T, the same for the base and for whatever stands in the extra slot."""
    leaks: Annotated[tuple[LeakField, ...], Field(min_length=1)]
    """What is leaked."""
    features: Mapping[str, EncoderConfig] = {}
    """Honest features by the name of their row, whose gain (AIS) is set against that of the leak."""
    margin: PositiveFloat = 0.001
    """Smallest difference of AUC that counts: +0.001 in the paper."""
    n_draws: Annotated[int, Field(ge=40)] = 1000
    """Draws of the bootstrap over users: at least 40, one of which lies beyond each end of an interval."""
    bootstrap_seed: NonNegativeInt = 0
    """Seed of the bootstrap."""
    seeds: Seedlist = (0, 1, 2)
    """One base, and all that is measured against it, for each."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not isinstance(self.model, FieldsConfig):
            raise explained_error(f"model '{self.model.name}' has no item vectors; choose {', '.join(_with_fields())}")
        if self.model.extra is not None:
            raise explained_error("the extra slot is the probe's; remove model.extra")
        if not isinstance(self.protocol.split, TimeWindow):
            raise explained_error(f"protocol.split must be time-window; got '{self.protocol.split.name}'")
        if self.protocol.metrics != CtrProtocol.model_fields["metrics"].default:
            raise explained_error("a probe is judged by AUC and GAUC, so protocol.metrics would do nothing; remove it")
        if len({leak.name for leak in self.leaks}) < len(self.leaks):
            raise explained_error("leaks must not repeat; give several days to one")
        _ = self.experiment
        return self

    @property
    def experiment(self) -> ExperimentConfig:
        """The experiment of the base, which checks what data, model and protocol have in common."""
        facts = self.model_dump(
            mode="json", include={"schema_version", "dataset", "model", "protocol", "trainer", "seeds"}
        )
        return ExperimentConfig.model_validate(facts)

    @property
    def to_extract(self) -> tuple[ExtractConfig, ...]:
        """How the tables are extracted that are read here, or of which features are made."""
        return self.dataset.to_extract + extracted_for(item.made for item in self.features.values())


def _with_fields() -> list[str]:
    return [name for name in MODELS if issubclass(MODELS[name].config, FieldsConfig)]


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedProbe:
    """A probe with its origin.

    Attributes:
        config: The probe.
        path: Its file.
    """

    config: LisConfig
    path: Path


def load_lis(name_or_path: str | Path, overrides: tuple[str, ...] = ()) -> LoadedProbe:
    """Read the YAML of a probe.

    Raises:
        ConfigError: With all issues of the file at once.
    """
    path = find_yaml("configs", name_or_path)
    document = load_yaml(path)
    if not is_lis(document):
        issue = ConfigIssue("", "is no probe, which says `kind: lis`; run an experiment with `mmrec-bench run`")
        raise ConfigError(str(path), [issue])
    document = self_contained(document, path.parent, overrides, (data_beside, sets_beside))
    return LoadedProbe(document.parse(LisConfig), path)


def is_lis(document: Document) -> bool:
    """Return whether a document is a probe rather than an experiment."""
    return document.data.get("kind") == "lis"
