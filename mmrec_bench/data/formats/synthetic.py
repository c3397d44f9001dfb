"""Data that is made, not read: a card around the synthetic world."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.formats.base import FORMATS, DatasetCard
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.synthetic import make_world
from mmrec_bench.data.world import WorldConfig


class SyntheticCard(DatasetCard):
    """A card of a synthetic world; it needs no file."""

    format: Literal["synthetic"] = "synthetic"
    world: WorldConfig = WorldConfig()
    """What to make."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities of every world."""
        return "image", "text"

    @property
    def main_file(self) -> None:
        """No file is needed."""
        return

    def read(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Interactions]:
        """Make the world; see `DatasetCard.read`."""
        chosen = self.chosen(modalities)
        dataset = make_world(self.world, self.name)
        return dataclasses.replace(
            dataset,
            features={modality: dataset.features[modality] for modality in chosen},
            report=dataclasses.replace(
                dataset.report, missing={modality: dataset.features[modality].n_missing for modality in chosen}
            ),
        )


FORMATS.register("synthetic", SyntheticCard)
