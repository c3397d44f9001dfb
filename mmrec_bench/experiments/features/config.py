"""The YAML of made features: which encoder is trained on which feature tables, and how."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, SerializeAsAny, model_validator

import mmrec_bench.models.encoders  # noqa: F401 - importing the encoders fills their registry
from mmrec_bench.data.formats.base import BY_MODALITY
from mmrec_bench.experiments.features.extract_config import ExtractConfig, ExtractedTables
from mmrec_bench.experiments.features.sources import (
    data_beside,
    features_beside,
    read_features,
    self_contained,
    source_of,
)
from mmrec_bench.experiments.schema.seeds import Seed
from mmrec_bench.models.encoders.base import ENCODERS, EncoderConfig
from mmrec_bench.resources import find_yaml
from mmrec_bench.settings import BaseConfig, explained_error, load_yaml, named
from mmrec_bench.training.config import TrainerConfig

EncoderField = Annotated[
    SerializeAsAny[EncoderConfig],
    PlainValidator(named(lambda: ENCODERS, EncoderConfig, lambda entry: entry.config_class)),
]
"""An encoder config, resolved by the registry from ``{name: ..., ...}``."""


class TablesRef(ExtractedTables):
    """Which feature tables of which data."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.given:
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


_NEEDED = "the path of a features YAML, its content, or a folder"

FeatureSource = Annotated[
    SerializeAsAny[FeaturesConfig | str], PlainValidator(source_of(FeaturesConfig, _NEEDED, read_features))
]
"""Made features: the path of their YAML, what stands in it, or the folder of features that were made."""


def extracted_for(sources: Iterable[FeaturesConfig | str | None]) -> tuple[ExtractConfig, ...]:
    """Return how the tables are extracted that made features are made of."""
    return tuple(one for source in sources if isinstance(source, FeaturesConfig) for one in source.dataset.to_extract)


class Inputs(BaseConfig):
    """What other commands make and this experiment reads."""

    features: Annotated[dict[str, FeatureSource], BY_MODALITY] = Field(default_factory=dict)
    """Feature tables by the name a model sees them under, beside those of the data set. What is not there yet is made
    first."""


def inputs_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data of an experiment's YAML in which paths of features YAMLs are replaced by what stands there."""
    return features_beside(data, "inputs", folder, read_features)


def load_features(name_or_path: str | Path, overrides: tuple[str, ...] = ()) -> tuple[FeaturesConfig, Path]:
    """Read a features YAML.

    Raises:
        ConfigError: With all issues of the file at once.
    """
    path = find_yaml("configs", name_or_path)
    return self_contained(load_yaml(path), path.parent, overrides, (data_beside,)).parse(FeaturesConfig), path
