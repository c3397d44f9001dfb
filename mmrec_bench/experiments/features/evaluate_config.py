"""The YAML of an evaluation of features: which sets stand side by side, and how they are judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from mmrec_bench.evaluation.protocol import RetrievalProtocol
from mmrec_bench.experiments.features.config import FeatureSource, TablesRef, extracted_for
from mmrec_bench.experiments.features.extract_config import ExtractConfig
from mmrec_bench.experiments.features.sources import data_beside, self_contained, sets_beside
from mmrec_bench.registry import unknown_message
from mmrec_bench.resources import find_yaml
from mmrec_bench.retrieval.config import RetrieverConfig
from mmrec_bench.settings import BaseConfig, explained_error, load_yaml


class FeatureSetConfig(BaseConfig):
    """One set of features: exactly one of its keys is given."""

    tables: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Feature tables of the data set; several are joined, each scaled to rows of length 1."""
    made: FeatureSource | None = None
    """Made features: path of a features YAML, its content, or their folder."""
    random: PositiveInt | None = None
    """Control: independent normal vectors of this length."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("tables", "made", "random") if getattr(self, name) is not None]
        if len(given) != 1:
            raise explained_error(f"needs exactly one of tables, made, random; got {', '.join(given) or 'none'}")
        return self


class EvaluateConfig(BaseConfig):
    """Feature sets side by side."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    dataset: TablesRef
    """Which data."""
    protocol: RetrievalProtocol
    """Split, cutoffs and metrics; features are judged on its validation part unless the test part is asked for."""
    features: Annotated[dict[str, FeatureSetConfig], Field(min_length=1)]
    """The sets, by the name of their row."""
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item, in both readings of item-CF."""
    shrink: NonNegativeFloat = 10.0
    """Shrinkage of the similarities of the ItemKNN recommender."""
    mask_ratios: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.25, 0.5, 0.75, 1.0)
    """Shares of the items that lose one modality, one modality after the other; none is masked if it is empty."""
    seed: NonNegativeInt = 0
    """Seed of the masks, one permutation of the items for all of them, and of random vectors."""
    retriever: RetrieverConfig = RetrieverConfig()
    """Which exact top-k back-end ranks by vectors."""

    @model_validator(mode="after")
    def _tables_are_there(self) -> Self:
        known = self.dataset.given
        for name, item in self.features.items():
            for table in item.tables or ():
                if table not in known:
                    raise explained_error(f"features.{name}.tables: {unknown_message('feature table', table, known)}")
        return self

    @property
    def to_extract(self) -> tuple[ExtractConfig, ...]:
        """How the tables are extracted that are read here, or of which features are made."""
        return self.dataset.to_extract + extracted_for(item.made for item in self.features.values())


def load_evaluation(name_or_path: str | Path, overrides: tuple[str, ...] = ()) -> tuple[EvaluateConfig, Path]:
    """Read an evaluation's YAML.

    Raises:
        ConfigError: With all issues of the file at once.
    """
    path = find_yaml("configs", name_or_path)
    document = self_contained(load_yaml(path), path.parent, overrides, (data_beside, sets_beside))
    return document.parse(EvaluateConfig), path
