"""Features changed on purpose, to learn what a model makes of them: shuffled, random, constant, dropped, masked."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeInt

from mmrec_bench.data.dataset import Dataset, P
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import DataError
from mmrec_bench.registry import Registry, unknown_message
from mmrec_bench.seeding import Seeds
from mmrec_bench.settings import BaseConfig
from mmrec_bench.types import FloatArray


class Alteration(BaseConfig, ABC):
    """One change of the features of one modality; interactions and the other modalities stay as they are."""

    name: str
    modality: str
    """The modality that is changed."""

    @abstractmethod
    def apply(self, table: FeatureTable) -> FeatureTable | None:
        """Return the changed table, or None where the modality is gone."""

    @property
    def label(self) -> str:
        """What it does, for tables, whatever its seed: ``image shuffled``."""
        return f"{self.modality} {self.name}"


class Shuffled(Alteration):
    """Vectors change places among the items that have one: the table keeps its values and says nothing of an item."""

    name: Literal["shuffled"] = "shuffled"
    seed: NonNegativeInt = 0
    """Seed of the permutation; modalities are permuted independently."""

    def apply(self, table: FeatureTable) -> FeatureTable:
        """Permute the present rows."""
        rows, values = np.flatnonzero(table.present), table.values.copy()
        values[rows] = table.values[Seeds(self.seed).numpy(f"alter/shuffled/{self.modality}").permutation(rows)]
        return _changed(table, values, f"shuffled with seed {self.seed}")


class Gaussian(Alteration):
    """Vectors are noise: independent normal values with the mean and the standard deviation of all values present."""

    name: Literal["gaussian"] = "gaussian"
    seed: NonNegativeInt = 0
    """Seed of the noise; that of each modality is independent."""

    def apply(self, table: FeatureTable) -> FeatureTable:
        """Draw the present rows."""
        known = table.values[table.present]
        if not len(known):
            return table
        mean, deviation = (np.float32(moment(known, dtype=np.float64)) for moment in (np.mean, np.std))
        values = table.values.copy()
        noise = Seeds(self.seed).numpy(f"alter/gaussian/{self.modality}").standard_normal(known.shape, np.float32)
        values[table.present] = mean + deviation * noise
        return _changed(table, values, f"replaced by noise with seed {self.seed}")


class Constant(Alteration):
    """Every item that has a vector gets the mean of them all: whether an item has one is all that is left."""

    name: Literal["constant"] = "constant"

    def apply(self, table: FeatureTable) -> FeatureTable:
        """Put the mean row into every present row."""
        values = table.values.copy()
        if table.present.any():
            values[table.present] = table.values[table.present].mean(axis=0, dtype=np.float64)
        return _changed(table, values, "replaced by their mean")


class Dropped(Alteration):
    """The modality is gone, as if the data set had none; a model that needs it refuses."""

    name: Literal["dropped"] = "dropped"

    def apply(self, table: FeatureTable) -> None:
        """Return no table."""
        return


class Masked(Alteration):
    """A share of the items loses the modality: the mask-modality test of AlignRec (https://arxiv.org/abs/2403.12384).

    One permutation of all items is drawn from the seed, whatever the ratio and the modality, and the first
    ``int(ratio * n_items)`` items of it lose theirs: masks of a higher ratio hold those of a lower one.
    """

    name: Literal["masked"] = "masked"
    ratio: Annotated[float, Field(gt=0, le=1)]
    """Share of all items that lose the modality."""
    seed: NonNegativeInt = 0
    """Seed of the permutation."""

    def apply(self, table: FeatureTable) -> FeatureTable:
        """Mark the first items of the permutation as absent."""
        order = Seeds(self.seed).numpy("alter/masked").permutation(table.n_items)
        present = table.present.copy()
        present[order[: int(self.ratio * table.n_items)]] = False
        source = f"{table.source}, a share of {self.ratio:g} masked with seed {self.seed}"
        return dataclasses.replace(table, present=present, source=source)

    @property
    def label(self) -> str:
        """What it does, with its ratio: ``image masked 0.5``."""
        return f"{super().label} {self.ratio:g}"


ALTERATIONS: Registry[type[Alteration]] = Registry("alteration")
for _alteration in (Shuffled, Gaussian, Constant, Dropped, Masked):
    ALTERATIONS.register(_alteration.model_fields["name"].default, _alteration)


def modalities_left(modalities: Sequence[str], alterations: Sequence[Alteration]) -> tuple[str, ...]:
    """Return the modalities that are there after the alterations, one after the other.

    Raises:
        DataError: One changes a modality that is not there, or not there any more.
    """
    left = list(modalities)
    for change in alterations:
        if change.modality not in left:
            dropped = " (it was dropped before)" if change.modality in modalities else ""
            raise DataError(f"{unknown_message('modality', change.modality, left)}{dropped}. Change dataset.alter")
        if change.name == "dropped":
            left.remove(change.modality)
    return tuple(left)


def alter(features: Mapping[str, FeatureTable], alterations: Sequence[Alteration]) -> dict[str, FeatureTable]:
    """Return the features after the alterations, one after the other; tables that none concerns are the same objects.

    Raises:
        DataError: One changes a modality that is not there.
    """
    modalities_left(tuple(features), alterations)
    tables = dict(features)
    for change in alterations:
        table = change.apply(tables[change.modality])
        if table is None:
            del tables[change.modality]
        else:
            tables[change.modality] = table
    return tables


def alter_dataset(dataset: Dataset[P], alterations: Sequence[Alteration]) -> Dataset[P]:
    """Return the data set with altered features, and a report that says so; see `alter`."""
    features = alter(dataset.features, alterations)
    changes = tuple(f"features altered on purpose: {change.label}" for change in alterations)
    missing = {modality: table.n_missing for modality, table in features.items()}
    report = dataclasses.replace(dataset.report, missing=missing, notes=dataset.report.notes + changes)
    return dataclasses.replace(dataset, features=features, report=report)


def _changed(table: FeatureTable, values: FloatArray, how: str) -> FeatureTable:
    return dataclasses.replace(table, values=values, source=f"{table.source}, {how}")
