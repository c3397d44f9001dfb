"""What a model is: a config, a context it is built from, named loss terms, and an export."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

from pydantic import PlainValidator, SerializeAsAny, model_validator
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable
from mmrec_bench.errors import ModelError
from mmrec_bench.registry import Registry
from mmrec_bench.retrieval.base import Scoring
from mmrec_bench.seeding import Seeds
from mmrec_bench.settings import BaseConfig, named
from mmrec_bench.types import Task

Preset: TypeAlias = Literal["clean", "released"]


class ModelConfig(BaseConfig):
    """Base of all model configs.

    A subclass declares ``name: Literal["..."] = "..."``, its hyper-parameters with a docstring under each, and in
    `RELEASED` the values by which the published code differs from the clean defaults.
    """

    RELEASED: ClassVar[Mapping[str, Any]] = {}

    name: str
    preset: Preset = "clean"
    """``released`` changes the defaults of the switches in `RELEASED` to the behaviour of the published code; keys
    written out win over the preset."""

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("preset") == "released":
            return {**cls.RELEASED, **data}
        return data

    @classmethod
    def others_with(cls, key: str) -> list[str]:
        """Return the names of the models that have a setting of this name."""
        return [name for name in MODELS if key in MODELS[name].config.model_fields]

    @property
    def nested(self) -> list[ModelConfig]:
        """The configs of models inside this model."""
        return [value for _, value in self if isinstance(value, ModelConfig)]

    def parts(self) -> Iterator[ModelConfig]:
        """Yield this config and all that are nested in it, outermost first."""
        yield self
        for inner in self.nested:
            yield from inner.parts()

    @property
    def tables(self) -> tuple[str, ...]:
        """Feature tables that the settings name, so that the model cannot do without them."""
        return ()

    @property
    def label(self) -> str:
        """Name in tables; of a model around another, ``outer(inner)``."""
        return f"{self.name}({', '.join(inner.label for inner in self.nested)})" if self.nested else self.name


@dataclass(frozen=True, slots=True)
class ModelContext:
    """Everything a model may be built from.

    Attributes:
        train: Training interactions; the only interactions a model ever sees.
        features: Feature tables by modality.
        items: Titles, images and words.
        seeds: Random streams of the run.
        batch_size: Configured batch size; some released regularisers divide by it.
    """

    train: Interactions
    features: Mapping[str, FeatureTable] = field(default_factory=dict)
    items: ItemTable = field(default_factory=ItemTable)
    seeds: Seeds = field(default_factory=lambda: Seeds(0))
    batch_size: int = 2048

    def require(self, model: str, modalities: Sequence[str]) -> None:
        """Refuse a data set that lacks modalities.

        Raises:
            ModelError: Names the model, what it needs, what is missing and what there is.
        """
        if missing := [modality for modality in modalities if modality not in self.features]:
            raise ModelError(
                f"{model} needs the modalities {', '.join(modalities)}; missing: {', '.join(missing)}. "
                f"This data set has: {', '.join(sorted(self.features)) or 'none'}"
            )


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from; `training.batches.SOURCES` says where each kind comes from."""


@dataclass(frozen=True, slots=True)
class Pairs(Batch):
    """A batch of observed pairs: users and positive items, int64 ``[B]``, on the model's device."""

    users: Tensor
    items: Tensor


@dataclass(frozen=True, slots=True)
class Triplets(Batch):
    """A batch of observed pairs with one unobserved item each, int64 ``[B]``, on the model's device."""

    users: Tensor
    positives: Tensor
    negatives: Tensor


@dataclass(frozen=True, slots=True)
class Items(Batch):
    """A batch of items, int64 ``[B]``, on the model's device."""

    ids: Tensor


LossTerms: TypeAlias = dict[str, Tensor]
"""Named, already weighted scalar terms; their sum is the loss."""


class GradientModel(nn.Module, ABC):
    """Whatever is trained by gradient steps.

    Attributes:
        batch_kind: What one batch holds; `training.batches.SOURCES` says where it comes from.
    """

    batch_kind: type[Batch]

    @property
    def batch_options(self) -> Mapping[str, Any]:
        """What the source of its batches has to know of it, by name of an argument."""
        return {}

    @abstractmethod
    def loss(self, batch: Any) -> LossTerms:
        """Return the named, weighted terms of the loss of one batch of `batch_kind`."""

    def on_epoch_start(self, epoch: int) -> None:
        """Prepare an epoch (0-based), such as drawing edges; every draw depends on seed and epoch only."""


class Model(nn.Module, ABC):
    """What the models of all tasks share."""

    @property
    def item_representation(self) -> nn.Module | None:
        """The part that stands for the identities of items, whose parameters are counted apart; None if there is none.

        What projects features is no such part.
        """
        return None

    def facts(self) -> Mapping[str, float]:
        """Return finite numbers worth knowing of the trained model; they are written into the run's manifest."""
        return {}


class Recommender(Model):
    """A retrieval model: after training it exports vectors or a scorer."""

    @abstractmethod
    def export(self) -> Scoring:
        """Return what retrieval needs, computed in evaluation mode without gradients."""


class GradientRecommender(GradientModel, Recommender):
    """A retrieval model trained by gradient steps; no negatives are drawn for one that eats `Pairs`."""

    batch_kind: type[Batch] = Triplets


class ClosedForm(nn.Module, ABC):
    """Whatever is fitted without gradient steps."""

    draws: ClassVar[bool] = False
    """Whether it draws from `Seeds` of its context all the same, so that the seed of a run moves its numbers."""

    @abstractmethod
    def fit(self, context: Any) -> None:
        """Compute everything that serving needs."""


class ClosedFormRecommender(ClosedForm, Recommender):
    """A retrieval model without gradient steps."""

    @abstractmethod
    def fit(self, context: ModelContext) -> None:
        """Compute everything `export` needs."""


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a model comes from.

    Attributes:
        title: Title of the paper.
        authors: First author and others, as in a reference list.
        venue: Venue and year.
        url: Link to the paper.
    """

    title: str
    authors: str
    venue: str
    url: str


C = TypeVar("C", bound=ModelConfig)
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One registered model.

    Attributes:
        name: Name in YAML.
        task: Task it solves.
        config: Its config class.
        build: Makes the model from config and context.
        model: The class.
        paper: Its source.
        deviations: Deliberate differences from the paper, one sentence each.
        modalities: Modalities it cannot do without.
        uses_features: Whether it reads item features at all.
        exports: ``vectors`` (any retriever) or ``scorer`` (dense retriever only).
        needs_time: Whether it needs timestamps or an order of interactions.
    """

    name: str
    task: Task
    config: type[ModelConfig]
    build: Callable[[Any, Any], nn.Module]
    model: type[nn.Module]
    paper: Citation | None
    deviations: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    uses_features: bool = False
    exports: Literal["vectors", "scorer"] = "vectors"
    needs_time: bool = False

    @property
    def closed_form(self) -> bool:
        """Whether it is fitted without gradient steps, so that it has no trainer."""
        return issubclass(self.model, ClosedForm)

    @property
    def deterministic(self) -> bool:
        """Whether no seed moves a number, so that one run stands for all."""
        return issubclass(self.model, ClosedForm) and not self.model.draws


class ModelRegistry(Registry[ModelEntry]):
    """The registry of models, with the decorator that fills it."""

    def add(
        self,
        name: str,
        *,
        task: Task,
        config: type[ModelConfig],
        paper: Citation | None,
        deviations: Sequence[str] = (),
        modalities: Sequence[str] = (),
        uses_features: bool = False,
        exports: Literal["vectors", "scorer"] = "vectors",
        needs_time: bool = False,
    ) -> Callable[[type[M]], type[M]]:
        """Register the decorated class, whose constructor takes ``(config, context)``.

        Raises:
            RegistryError: The name is taken.
            ModelError: The config class does not carry this name.
        """
        default = config.model_fields["name"].default
        if default != name:
            raise ModelError(
                f"the config of model '{name}' must declare name: Literal['{name}'] = '{name}'; got {default!r}"
            )

        def decorate(model: type[M]) -> type[M]:
            entry = ModelEntry(
                name=name,
                task=task,
                config=config,
                build=model,
                model=model,
                paper=paper,
                deviations=tuple(deviations),
                modalities=tuple(modalities),
                uses_features=uses_features or bool(modalities),
                exports=exports,
                needs_time=needs_time,
            )
            self.register(name, entry)
            return model

        return decorate


MODELS = ModelRegistry("model", entry_point_group="mmrec_bench.models")


ModelField: TypeAlias = Annotated[
    SerializeAsAny[ModelConfig], PlainValidator(named(lambda: MODELS, ModelConfig, lambda entry: entry.config))
]
"""A model config inside another config, resolved by the registry from ``NAME`` or ``{name: NAME, ...}``."""
