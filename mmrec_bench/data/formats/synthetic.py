"""Data that is made, not read: a card around the synthetic world."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mmrec_bench.data.arrangements import arrangements
from mmrec_bench.data.dataset import Dataset, P
from mmrec_bench.data.formats.base import FORMATS, DatasetCard, PayloadKind
from mmrec_bench.data.histories import histories_before
from mmrec_bench.data.impressions import impressions
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.provenance import Field, Provenance
from mmrec_bench.data.synthetic import generate
from mmrec_bench.data.world import WorldConfig


class SyntheticCard(DatasetCard):
    """A card of a synthetic world; it needs no file."""

    format: Literal["synthetic"] = "synthetic"
    world: WorldConfig = WorldConfig()
    """What to make."""
    provenance: Provenance = Provenance(filter="none", fields={"image": Field(), "text": Field()})
    """A world draws how active users are and leaves nobody out; features are of what items are."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of every world."""
        return "image", "text"

    @property
    def main_file(self) -> None:
        """No file is needed."""
        return

    @property
    def payloads(self) -> tuple[PayloadKind, ...]:
        """Both are made."""
        return "interactions", "lists"

    def read(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Interactions]:
        """Make the world; see `DatasetCard.read`."""
        return self._with(modalities, generate(self.world, self.name).dataset)

    def read_lists(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Lists]:
        """Make the world and what its users were shown, after what they had before; see `DatasetCard.read_lists`."""
        world = generate(self.world, self.name)
        made, lists = world.dataset, impressions(world) if self.world.arrangements is None else arrangements(world)
        lists = dataclasses.replace(lists, histories=histories_before(made.payload, lists))
        dataset = Dataset(made.name, lists, made.features, made.items, made.user_ids, made.item_ids, made.report)
        return self._with(modalities, dataset)

    def _with(self, modalities: Sequence[str] | None, dataset: Dataset[P]) -> Dataset[P]:
        """Return the data set with the chosen modalities alone."""
        features = {modality: dataset.features[modality] for modality in self.chosen(modalities)}
        missing = {modality: table.n_missing for modality, table in features.items()}
        return dataclasses.replace(
            dataset, features=features, report=dataclasses.replace(dataset.report, missing=missing)
        )


FORMATS.register("synthetic", SyntheticCard)
