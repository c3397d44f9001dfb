"""The quality report of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmrec_bench.data.cards import find_data, load_dataset, load_lists
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.reports.errors.thumbnails import Thumbnails
from mmrec_bench.reports.inspection.base import Rows, Section, careful
from mmrec_bench.reports.inspection.built import built
from mmrec_bench.reports.inspection.degrees import degrees
from mmrec_bench.reports.inspection.samples import Sample, samples
from mmrec_bench.reports.inspection.sizes import sizes, values
from mmrec_bench.reports.inspection.texts import texts
from mmrec_bench.reports.inspection.times import times
from mmrec_bench.reports.inspection.vectors import vectors


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found.

    Attributes:
        card: Card of the data set.
        command: How it was made.
        fingerprint: Content of payload, ids and texts.
        sections: What was found, part by part.
        sample: A few items.
        left_out: Pictures that had no room.
    """

    card: DatasetCard
    command: str
    fingerprint: str
    sections: tuple[Section, ...]
    sample: tuple[Sample, ...]
    left_out: int = 0

    @property
    def title(self) -> str:
        """Heading."""
        return f"{self.card.title or self.card.name}: what the data holds"

    def warnings(self) -> list[tuple[str, str]]:
        """Return warnings, each with the anchor of its section."""
        return [(section.name, fact) for section in self.sections for fact in careful(section.facts)]

    def json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "schema_version": 1,
            "kind": "inspection",
            "dataset": self.card.name,
            "fingerprint": self.fingerprint,
            "command": self.command,
            "warnings": [fact for _, fact in self.warnings()],
            **{section.name: {"facts": list(section.facts), **section.data} for section in self.sections},
        }


def read_all(card: DatasetCard, data_dir: Path | None) -> Dataset[Interactions] | Dataset[Lists]:
    """Read a data set, even where its counts are not those of the card: the report shows both.

    Raises:
        DataError: The data is not found, or broken.
    """
    unchecked = card.model_copy(update={"counts": None, "editions": {}})
    if "interactions" in card.payloads:
        return load_dataset(unchecked, data_dir)
    return load_lists(unchecked, data_dir)


def inspect(card: DatasetCard, data_dir: Path | None, command: str, pictures: Thumbnails | None = None) -> Inspection:
    """Read a data set, and tell what it holds.

    Args:
        card: Its card.
        data_dir: Folder that holds the data folders.
        command: How the report was asked for.
        pictures: Pictures of items, named by external ids.

    Raises:
        DataError: The data is not found, or broken.
    """
    dataset, folder = read_all(card, data_dir), find_data(card, data_dir)
    payload = dataset.payload
    rows = Rows.of(payload)
    ordered = isinstance(payload, Interactions) and payload.order is not None
    found = (
        sizes(card, payload, dataset.report),
        degrees(card.name, rows),
        times(card.name, rows, ordered=ordered),
        values(payload),
        vectors(dataset.features, rows, dataset.item_ids, dataset.items.titles),
        texts(dataset.items, dataset.item_ids),
        built(card, folder),
        _reading(card, dataset, folder),
    )
    sections = tuple(section for section in found if section is not None)
    sample = samples(dataset, pictures)
    left_out = 0 if pictures is None else pictures.left_out
    return Inspection(card, command, dataset.fingerprint(), sections, sample, left_out)


def _reading(card: DatasetCard, dataset: Dataset[Interactions] | Dataset[Lists], folder: Path | None) -> Section:
    """Return where the data comes from, and what was noticed while it was read."""
    facts = [f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in (*card.notes, *dataset.report.notes)]
    facts += [f"{modality}: {encoder}." for modality, encoder in card.encoders.items()]
    origin = (
        "made when it is read"
        if card.embedded
        else "files of " + ("the card's folder" if folder is None else folder.name)
    )
    data = {
        "origin": origin, "sources": list(card.sources), "licence": card.licence, "citation": card.citation,
        "notes": list(dataset.report.notes),
    }  # fmt: skip
    told = [f"Source: {source}." for source in card.sources]
    told += [f"Licence: {card.licence.rstrip('.')}."] + (
        [f"To cite: {card.citation.rstrip('.')}."] if card.citation else []
    )
    return Section("reading", "Where it comes from, and what to know", (*told, *facts), data=data)
