"""The YAML of made features: which encoder is trained on which feature tables, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, SerializeAsAny, model_validator

import mmrec_bench.models.encoders  # noqa: F401 - importing the encoders fills their registry
from mmrec_bench.data.cards import load_card
from mmrec_bench.data.formats.base import BY_MODALITY
from mmrec_bench.errors import ConfigError, MMRecBenchError
from mmrec_bench.experiments.schema.seeds import Seed
from mmrec_bench.models.encoders.base import ENCODERS, EncoderConfig
from mmrec_bench.resources import find_yaml, is_file
from mmrec_bench.settings import BaseConfig, Document, explained_error, load_yaml, named
from mmrec_bench.training.config import TrainerConfig

SUFFIXES = (".yaml", ".yml")

EncoderField = Annotated[
    SerializeAsAny[EncoderConfig],
    PlainValidator(named(lambda: ENCODERS, EncoderConfig, lambda entry: entry.config_class)),
]
"""An encoder config, resolved by the registry from ``{name: ..., ...}``."""


class TablesRef(BaseConfig):
    """Which feature tables of which data."""

    card: str
    """Name of a card in ``datasets/``, or the path of a card file."""
    modalities: tuple[str, ...] | None = None
    """Feature tables to read; all of the card's by default."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        try:
            chosen = load_card(self.card).chosen(self.modalities)
        except MMRecBenchError as error:
            raise explained_error(str(error)) from None
        if not chosen:
            raise explained_error(f"an encoder needs at least one modality; '{self.card}' gives none here")
        return self


class FeaturesConfig(BaseConfig):
    """Features made by an encoder that is trained on feature tables, without interactions."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    dataset: TablesRef
    """Which feature tables."""
    encoder: EncoderField
    """Which encoder, with its hyper-parameters."""
    trainer: TrainerConfig = TrainerConfig()
    """How it is trained; a batch holds items."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Share of the items with features on which its weights are chosen."""
    seed: Seed = 0
    """Seed of everything random."""


def _source(value: Any) -> FeaturesConfig | str:
    if isinstance(value, FeaturesConfig):
        return value
    if isinstance(value, str) and not value.endswith(SUFFIXES):
        return value
    if not isinstance(value, (str, dict)):
        raise explained_error(f"needs the path of a features YAML, its content, or a folder; got {str(value)[:80]!r}")
    try:
        data = read_features(value) if isinstance(value, str) else value
    except ConfigError as error:
        raise explained_error("; ".join(issue.message for issue in error.issues)) from None
    return FeaturesConfig.model_validate(data)


FeatureSource = Annotated[SerializeAsAny[FeaturesConfig | str], PlainValidator(_source)]
"""Made features: the path of their YAML, what stands in it, or the folder of features that were made."""


class Inputs(BaseConfig):
    """What other commands make and this experiment reads."""

    features: Annotated[dict[str, FeatureSource], BY_MODALITY] = Field(default_factory=dict)
    """Feature tables by the name a model sees them under, beside those of the data set. What is not there yet is made
    first."""


def card_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data of a YAML with the card's path made absolute, where the card lies beside the YAML or here.

    A resolved config then loads again from anywhere.
    """
    dataset = data.get("dataset")
    card = dataset.get("card") if isinstance(dataset, dict) else None
    if isinstance(card, str) and card.endswith(SUFFIXES):
        for path in (folder / card, Path(card)):
            if path.is_file():
                return {**data, "dataset": {**data["dataset"], "card": str(path.resolve())}}
    return data


def read_features(name_or_path: str | Path, folder: Path | None = None) -> dict[str, Any]:
    """Return the content of a features YAML, the path of its card made absolute.

    Args:
        name_or_path: Path, or name of a bundled file.
        folder: Where it may lie as well, such as beside the experiment that names it.

    Raises:
        ConfigError: There is no such file, or it is no YAML.
    """
    beside = None if folder is None else folder / name_or_path
    path = beside if beside is not None and is_file(beside) else find_yaml("configs", name_or_path)
    return card_beside(load_yaml(path).data, path.parent)


def sources_beside(sources: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return a mapping in which paths of features YAMLs are replaced by what stands there.

    A path without a file stays, and is refused where its place in the document is known.
    """
    return {
        name: read_features(value, folder) if isinstance(value, str) and _is_yaml(value, folder) else value
        for name, value in sources.items()
    }


def _is_yaml(value: str, folder: Path) -> bool:
    if not value.endswith(SUFFIXES) or is_file(folder / value):
        return value.endswith(SUFFIXES)
    try:
        find_yaml("configs", value)
    except ConfigError:
        return False
    return True


def inputs_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data of an experiment's YAML in which paths of features YAMLs are replaced by what stands there."""
    inputs = data.get("inputs")
    features = inputs.get("features") if isinstance(inputs, dict) else None
    if not isinstance(features, dict):
        return data
    return {**data, "inputs": {**data["inputs"], "features": sources_beside(features, folder)}}


def load_features(name_or_path: str | Path, overrides: tuple[str, ...] = ()) -> tuple[FeaturesConfig, Path]:
    """Read a features YAML.

    Raises:
        ConfigError: With all issues of the file at once.
    """
    path = find_yaml("configs", name_or_path)
    document = load_yaml(path).with_overrides(overrides)
    data = card_beside(document.data, path.parent)
    return Document(document.source, data, document.lines).parse(FeaturesConfig), path
