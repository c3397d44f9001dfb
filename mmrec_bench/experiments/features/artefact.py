"""Made features as a folder of facts: what identifies them, where they lie, and reading them back with checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file

from mmrec_bench.data.arrays import digest
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.features.config import EncoderField, FeaturesConfig
from mmrec_bench.experiments.features.extract_config import ExtractedTables
from mmrec_bench.experiments.folders import CONFIG, HISTORY, MANIFEST, Artefact, ArtefactKey, fingerprint_of
from mmrec_bench.models.encoders.base import ENCODERS, Encoder
from mmrec_bench.settings import Document, load_yaml
from mmrec_bench.types import StringArray

FEATURES = "features"
VECTORS, ENCODER = "vectors.safetensors", "encoder.safetensors"
FILES = (CONFIG, MANIFEST, HISTORY, VECTORS, ENCODER)
REQUIRED = ("dataset", "encoder", "seed", "fingerprints", "dims", "seconds")


@dataclass(frozen=True, slots=True)
class FeaturesKey(ArtefactKey):
    """What made features are, and so where they lie.

    Attributes:
        dataset: Name of the data set.
        encoder: Name of the encoder.
        fingerprint: Digest of config, items and feature tables; no part of it depends on the machine.
    """

    dataset: str
    encoder: str
    fingerprint: str

    @classmethod
    def of(cls, config: FeaturesConfig, dataset: Dataset[Interactions]) -> FeaturesKey:
        """Return the key of the features that a config makes of the tables of a data set."""
        facts = config.model_dump(mode="json", exclude={"dataset": True, "trainer": {"checkpoint_seconds"}})
        facts["dataset"] = {"name": dataset.name, "items": items_digest(dataset.item_ids)}
        facts["tables"] = dataset.feature_fingerprints()
        return cls(dataset.name, config.encoder.name, fingerprint_of(facts))

    @property
    def name(self) -> str:
        """Name while they are made, and when they are kept aside."""
        return f"{FEATURES}-{self.fingerprint}"

    def folder(self, out: Path) -> Path:
        """Return ``<out>/features/<dataset>/<encoder>/<fingerprint>``."""
        return out / FEATURES / self.dataset / self.encoder / self.fingerprint

    def manifest(self, folder: Path) -> Mapping[str, Any]:
        """Return the checked manifest of a folder of made features."""
        return FeaturesArtefact.load(folder).manifest


@dataclass(frozen=True, slots=True)
class ItemFeatures(Artefact):
    """Vectors of the items of a data set; a subclass says how they came to be."""

    NAMED_UNDER: ClassVar[str]
    """Where experiments name such features, for messages."""

    def check(self, dataset: str, item_ids: StringArray) -> None:
        """Refuse features of other items.

        Raises:
            ArtefactError: They are of another data set, or of other items or another order of them.
        """
        if (made_for := self.manifest["dataset"]) != dataset:
            raise ArtefactError(
                f"{self.folder}: these features are of data set '{made_for}', not of '{dataset}'. Name others under "
                f"{self.NAMED_UNDER}"
            )
        if self.manifest["fingerprints"]["items"] != items_digest(item_ids):
            raise ArtefactError(
                f"{self.folder}: these features are of other items of '{dataset}', or of the same in another order. "
                "Make them again from these data"
            )


@dataclass(frozen=True, slots=True)
class FeaturesArtefact(ItemFeatures):
    """Features that were made."""

    KIND, FILES, REQUIRED = "folder of made features", FILES, REQUIRED
    NAMED_UNDER = "inputs.features"

    @property
    def fingerprint(self) -> str:
        """Digest of config, items and feature tables."""
        return str(self.manifest["fingerprints"]["config"])

    def check_tables(self, tables: Mapping[str, FeatureTable]) -> None:
        """Refuse to encode tables other than those the encoder was trained on.

        Raises:
            ArtefactError: One is lacking, or has another content.
        """
        trained_on = self.manifest["fingerprints"]["features"]
        if wrong := [
            name for name, wanted in trained_on.items() if name not in tables or tables[name].fingerprint() != wanted
        ]:
            raise ArtefactError(
                f"{self.folder}: the encoder was trained on other feature tables: {', '.join(wrong)} (here: "
                f"{', '.join(sorted(tables)) or 'none'}). Make the features again from these data, with all its tables"
            )

    def trained_on(self, card: str) -> ExtractedTables:
        """Return the feature tables that the encoder was trained on, as those of a card of the same data set."""
        told = load_yaml(self.folder / CONFIG).data["dataset"].get("features", {})
        # The card may lie elsewhere by now, or on another machine; what it says of texts is that of the card given.
        extracted = {
            name: source | {"dataset": {"card": card}} if isinstance(source, dict) else source
            for name, source in told.items()
        }
        read = [name for name in self.manifest["dims"] if name not in extracted]
        data = {"card": card, "modalities": read, "features": extracted}
        return Document(str(self.folder / CONFIG), data).parse(ExtractedTables)

    def table(self, name: str) -> FeatureTable:
        """Return the vectors as a feature table of this name."""
        stored = self._tensors(VECTORS)
        return FeatureTable(name, stored["vectors"].numpy(), stored["present"].numpy(), self.source)

    def encoder(self) -> Encoder:
        """Return the trained encoder, on the CPU, in evaluation mode."""
        config = TypeAdapter(EncoderField).validate_python(load_yaml(self.folder / CONFIG).data["encoder"])
        encoder = ENCODERS[config.name].encoder_class(config, self.manifest["dims"])
        try:
            encoder.load_state_dict(self._tensors(ENCODER))
        except RuntimeError as error:
            raise ArtefactError(f"{self.folder / ENCODER}: does not fit its config: {error}") from None
        return encoder.eval()

    @property
    def source(self) -> str:
        """Where the vectors come from, for manifests."""
        return f"{self.manifest['encoder']} {self.fingerprint}"

    def _tensors(self, name: str) -> dict[str, Any]:
        try:
            return load_file(self.folder / name)
        except (OSError, SafetensorError, ValueError) as error:
            raise ArtefactError(f"{self.folder / name}: cannot be read: {error}") from None


def items_digest(item_ids: StringArray) -> str:
    """Return the fingerprint of external item ids in the order of rows."""
    return digest(np.asarray(item_ids))
