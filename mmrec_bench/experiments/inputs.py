"""Inputs: what other commands make and an experiment reads, planned without making it, and resolved for a run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from mmrec_bench.data.alterations import Alteration, alter
from mmrec_bench.data.arrays import digest
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.experiments.features.align import align
from mmrec_bench.experiments.features.artefact import FeaturesArtefact, FeaturesKey
from mmrec_bench.experiments.features.config import FeaturesConfig
from mmrec_bench.experiments.features.extract_config import ExtractedTables
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.training.records import Observer


class LoadTables(Protocol):
    """Reads feature tables."""

    def __call__(self, ref: ExtractedTables) -> Dataset[Any]:
        """Return the data set with these tables."""


@dataclass(frozen=True, slots=True)
class FeatureInput:
    """Made features that an experiment reads, whether they are there or not.

    Attributes:
        name: Name under which the model sees them.
        unaltered: Digest of what they are made from and how; known before they are made.
        make: Returns them, and makes them first where they are not there.
        tables: Returns the feature tables that the encoder is trained on, as they are.
        alterations: Changes of these tables in this experiment. The encoder is trained on the tables as they are, and
            encodes the changed ones.
        key: Their identity; None for what lies in a folder that was named.
    """

    name: str
    unaltered: str
    make: Callable[[RunSettings, Observer | None], FeaturesArtefact]
    tables: Callable[[], Mapping[str, FeatureTable]]
    alterations: tuple[Alteration, ...]
    key: FeaturesKey | None = None

    @property
    def fingerprint(self) -> str:
        """Digest of what they are made from and how, and of the changes."""
        changes = [change.model_dump(mode="json") for change in self.alterations]
        return digest(self.unaltered, json.dumps(changes, sort_keys=True)) if changes else self.unaltered

    def resolve(self, settings: RunSettings, observer: Observer | None) -> tuple[FeatureTable, FeaturesArtefact]:
        """Return the table a model sees, and the made features behind it."""
        artefact = self.make(settings, observer)
        if not self.alterations:
            return artefact.table(self.name), artefact
        tables = self.tables()
        artefact.check_tables(tables)
        table = encoded(artefact, alter(tables, self.alterations), self.name, settings.device)
        changes = ", ".join(change.label for change in self.alterations)
        return dataclasses.replace(table, source=f"{table.source}, of {changes}"), artefact


def plan_features(
    name: str,
    source: FeaturesConfig | str,
    dataset: Dataset[Any],
    card: str,
    load: LoadTables,
    alterations: Sequence[Alteration] = (),
) -> FeatureInput:
    """Return the plan of one input of an experiment.

    Args:
        name: Name under which the model sees it.
        source: How it is made, or the folder where it lies.
        dataset: The data of the experiment.
        card: Card of these data.
        load: Reads feature tables.
        alterations: Changes of feature tables; those of tables that the encoder does not read do not concern it.

    Raises:
        ArtefactError: The folder holds no whole features, or those of other items.
    """

    def made(settings: RunSettings, observer: Observer | None) -> FeaturesArtefact:
        return artefact

    def aligned(settings: RunSettings, observer: Observer | None) -> FeaturesArtefact:
        assert isinstance(source, FeaturesConfig)
        return align(source, tables, settings, observer)

    if isinstance(source, str):
        artefact = FeaturesArtefact.load(Path(source))
        artefact.check(dataset.name, dataset.item_ids)
        concerned = tuple(change for change in alterations if change.modality in artefact.manifest["dims"])
        return FeatureInput(
            name, artefact.fingerprint, made, lambda: load(artefact.trained_on(card)).features, concerned
        )
    tables = load(source.dataset)
    concerned = tuple(change for change in alterations if change.modality in tables.features)
    key = FeaturesKey.of(source, tables)
    return FeatureInput(name, key.fingerprint, aligned, lambda: tables.features, concerned, key)


def resolve(
    inputs: Sequence[FeatureInput],
    dataset: Dataset[Any],
    settings: RunSettings,
    observer: Observer | None = None,
) -> tuple[Dataset[Any], list[dict[str, Any]]]:
    """Return the data set with the tables of all inputs, and what the manifest says of them.

    Raises:
        ArtefactError: Made features are damaged, or of other items.
    """
    features, facts = dict(dataset.features), []
    for item in inputs:
        table, artefact = item.resolve(settings, observer)
        artefact.check(dataset.name, dataset.item_ids)
        features[item.name] = table
        facts.append(_facts(item, artefact, table))
    if not inputs:
        return dataset, facts
    missing = {name: table.n_missing for name, table in features.items()}
    report = dataclasses.replace(dataset.report, missing=missing)
    return dataclasses.replace(dataset, features=features, report=report), facts


def encoded(
    artefact: FeaturesArtefact, tables: Mapping[str, FeatureTable], name: str, device: torch.device
) -> FeatureTable:
    """Return what the trained encoder makes of other tables of the same items, such as altered ones.

    A modality without a table counts as lacking in every item.

    Args:
        artefact: Holds the encoder.
        tables: Feature tables; those the encoder does not read are ignored.
        name: Name of the table that is returned.
        device: Where to encode.
    """
    encoder = artefact.encoder().to(device)
    n_items = int(artefact.manifest["items"]["catalogue"])
    known = {
        modality: tables[modality] if modality in tables else _lacking(modality, n_items, dim)
        for modality, dim in artefact.manifest["dims"].items()
    }
    vectors, present = encoder.encode(known)
    return FeatureTable(name, vectors, present, artefact.source)


def _lacking(modality: str, n_items: int, dim: int) -> FeatureTable:
    values = np.full((n_items, dim), np.nan, np.float32)
    return FeatureTable(modality, values, np.zeros(n_items, np.bool_), "dropped")


def _facts(item: FeatureInput, artefact: FeaturesArtefact, table: FeatureTable) -> dict[str, Any]:
    return {
        "kind": "features",
        "name": item.name,
        "encoder": artefact.manifest["encoder"],
        "fingerprint": item.fingerprint,
        "content": table.fingerprint(),
        "alterations": [change.model_dump(mode="json") for change in item.alterations],
        "code": artefact.manifest["fingerprints"]["code"],
        "determinism": artefact.manifest["determinism"],
        "leak": artefact.manifest.get("leak"),
    }
