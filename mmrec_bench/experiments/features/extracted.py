"""Extracted features as a folder of facts: a memory-mappable table, and the feature card beside it."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.formats.vectors import read_vectors
from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.environment import PACKAGE_FOLDER, digest_of_source
from mmrec_bench.experiments.features.artefact import ItemFeatures, items_digest
from mmrec_bench.experiments.features.contents import Contents
from mmrec_bench.experiments.features.extract_config import ExtractConfig
from mmrec_bench.experiments.folders import CONFIG, MANIFEST, PARTIAL, ArtefactKey, State, fingerprint_of

FEATURES_VARIABLE = "MMREC_BENCH_FEATURES"
"""Environment variable with the root of extracted features; the folder ``features`` by default."""
VECTORS = "vectors.npy"
FILES = (CONFIG, MANIFEST, VECTORS)
REQUIRED = ("dataset", "modality", "encoder", "fingerprints", "dim", "items")


def features_root() -> Path:
    """Return the root of all extracted features."""
    return Path(os.environ.get(FEATURES_VARIABLE) or "features")


@dataclass(frozen=True, slots=True)
class ExtractedKey(ArtefactKey):
    """What extracted features are, and so where they lie.

    Attributes:
        dataset: Name of the data set.
        modality: What was encoded.
        encoder: Name of the encoder.
        fingerprint: Digest of settings, weights, items and contents; no part of it depends on the machine.
    """

    dataset: str
    modality: str
    encoder: str
    fingerprint: str

    @classmethod
    def of(cls, config: ExtractConfig, dataset: Dataset[Any], contents: Contents) -> ExtractedKey:
        """Return the key of the features that a config makes of the contents of a data set's items."""
        facts = {
            "dataset": dataset.name,
            "items": items_digest(dataset.item_ids),
            "contents": contents.digest,
            "encoder": dict(config.encoder.identity()),
            "version": config.encoder.version,
            "dtype": config.dtype,
        }
        return cls(dataset.name, config.modality, config.encoder.name, fingerprint_of(facts))

    @property
    def name(self) -> str:
        """Name while they are made, and when they are kept aside."""
        return f"extracted-{self.fingerprint}"

    def folder(self, out: Path) -> Path:
        """Return ``<root>/<dataset>/<modality>-<encoder>/<fingerprint>``."""
        return out / self.dataset / f"{self.modality}-{self.encoder}" / self.fingerprint

    def manifest(self, folder: Path) -> Mapping[str, Any]:
        """Return the checked feature card of a folder."""
        return ExtractedFeatures.load(folder).manifest

    def partial(self, out: Path) -> Path:
        """Return the folder in which this code makes them; shards made by other encoders' code are not gone on from."""
        return out / PARTIAL / f"{self.name}-code-{encoders_digest()[:8]}"

    def state(self, out: Path) -> State:
        """Return what lies in its folder; what was made once stays, whatever code reads it."""
        folder = self.folder(out)
        if not folder.exists():
            return "partial" if self.partial(out).exists() else "new"
        try:
            self.manifest(folder)
        except ArtefactError:
            return "damaged"
        return "done"


@dataclass(frozen=True, slots=True)
class ExtractedFeatures(ItemFeatures):
    """Features that were extracted; the manifest is the feature card."""

    KIND, FILES, REQUIRED = "folder of extracted features", FILES, REQUIRED
    NAMED_UNDER = "dataset.features"

    def table(self, name: str) -> FeatureTable:
        """Return the vectors as a feature table of this name.

        Raises:
            DataError: The file is no table of so many items.
        """
        table, _ = read_vectors(self.folder / VECTORS, name, int(self.manifest["items"]["catalogue"]), self.source)
        return table

    @property
    def source(self) -> str:
        """Where the vectors come from, for manifests."""
        return f"{self.manifest['encoder']['name']} {self.manifest['fingerprints']['config']}"


@functools.cache
def encoders_digest() -> str:
    """Return a digest of the source of the encoders and of installed plug-ins."""
    return digest_of_source(PACKAGE_FOLDER / "extraction")
