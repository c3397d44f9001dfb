"""Dataset cards: what is known about a data set, where its files are, and that they are what the card says."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

# Importing a format registers its card.
import mmrec_bench.data.formats.click_log
import mmrec_bench.data.formats.lattice
import mmrec_bench.data.formats.letor
import mmrec_bench.data.formats.mmrec
import mmrec_bench.data.formats.prepared
import mmrec_bench.data.formats.recbole
import mmrec_bench.data.formats.sequences
import mmrec_bench.data.formats.synthetic  # noqa: F401
from mmrec_bench.data.dataset import DataReport, Dataset
from mmrec_bench.data.families import card_document, is_of_family
from mmrec_bench.data.formats.base import FORMATS, Counts, DatasetCard, Edition
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import ConfigError, ConfigIssue, DataError
from mmrec_bench.registry import unknown_message
from mmrec_bench.resources import bundled, find_yaml, names
from mmrec_bench.settings import Document, load_yaml

__all__ = [
    "DATA_VARIABLE",
    "FORMATS",
    "Counts",
    "DatasetCard",
    "Edition",
    "card_names",
    "data_root",
    "find_data",
    "load_card",
    "load_dataset",
    "load_lists",
    "parse_card",
]

DATA_VARIABLE = "MMREC_BENCH_DATA"
"""Environment variable with the folder that holds the data folders; `--data-dir` comes first."""


D = TypeVar("D", Dataset[Interactions], Dataset[Lists])


def load_card(name_or_path: str | Path) -> DatasetCard:
    """Return a card by the name of a bundled one, of a category of a family (``amazon-2023:All_Beauty``), or by path.

    Raises:
        ConfigError: No such card, or all that is wrong with it.
    """
    if is_of_family(str(name_or_path)):
        return parse_card(card_document(str(name_or_path)))
    path = find_yaml("datasets", name_or_path)
    if path.is_relative_to(bundled("datasets")):
        return _bundled_card(path)
    return parse_card(load_yaml(path)).beside(path.parent)


@lru_cache(maxsize=64)
def _bundled_card(path: Path) -> DatasetCard:
    """Return a card of the package, which stays as it is; every experiment asks for its own several times."""
    return parse_card(load_yaml(path))


def card_names() -> tuple[str, ...]:
    """Return the names of all bundled cards, sorted."""
    return names("datasets")


def parse_card(document: Document) -> DatasetCard:
    """Return the card of a document; its key ``format`` decides which keys there are.

    Raises:
        ConfigError: All that is wrong with it.
    """
    name = document.data.get("format")
    if not isinstance(name, str) or name not in FORMATS:
        message = f"required, but missing; known: {', '.join(FORMATS)}"
        if name is not None:
            message = unknown_message("data format", str(name)[:60], FORMATS)
        raise ConfigError(document.source, [ConfigIssue("format", message, document.lines.get(("format",)))])
    return document.parse(FORMATS[name])


def load_dataset(
    card: DatasetCard, data_dir: Path | None = None, modalities: Sequence[str] | None = None
) -> Dataset[Interactions]:
    """Read the interactions of a card and check them against what the card says.

    Args:
        card: The card.
        data_dir: Folder that holds the data folders; the environment variable ``MMREC_BENCH_DATA`` by default.
        modalities: Feature tables to read; all of the card by default.

    Raises:
        DataError: The data is not found, broken, of lists alone, or not what the card says.
    """
    dataset = _checked(card, card.read, data_dir, modalities)
    return dataclasses.replace(dataset, report=_with_edition(card, dataset))


def load_lists(
    card: DatasetCard, data_dir: Path | None = None, modalities: Sequence[str] | None = None
) -> Dataset[Lists]:
    """Read the lists of a card and check them against what the card says; see `load_dataset`."""
    return _checked(card, card.read_lists, data_dir, modalities)


def _checked(
    card: DatasetCard,
    read: Callable[[Path, Sequence[str] | None], D],
    data_dir: Path | None,
    modalities: Sequence[str] | None,
) -> D:
    """Find the files, check their digests, read them, and check the counts."""
    folder = Path()
    if card.main_file is not None:
        found = find_data(card, data_dir)
        if found is None:
            raise _not_found(card, card.main_file, data_dir)
        folder = found
        _check_digests(card, folder)
    dataset = read(folder, modalities)
    _check_counts(card, dataset, folder)
    return dataset


def find_data(card: DatasetCard, data_dir: Path | None = None) -> Path | None:
    """Return the folder with the files of a card, or None where it is not found or the data is made, not read."""
    if card.main_file is None:
        return None
    for folder in _places(card, data_dir):
        try:
            if (folder / card.main_file).is_file():
                return folder
        except (OSError, ValueError):  # a name that the file system refuses is not there
            continue
    return None


def _places(card: DatasetCard, data_dir: Path | None) -> list[Path]:
    """Return where data may lie: beside the card, then below the data directory."""
    names = card.folders or (card.name,)
    places = [] if card.folder is None else [card.folder, *(card.folder / name for name in names)]
    if (root := data_root(data_dir)) is not None:
        places += [*(root / name for name in names), root]
    return places


def data_root(data_dir: Path | None) -> Path | None:
    """Return the folder that holds the data folders: the given one, or that of the environment variable, or None."""
    text = os.environ.get(DATA_VARIABLE)
    return Path(text) if data_dir is None and text else data_dir


def _not_found(card: DatasetCard, main_file: str, data_dir: Path | None) -> DataError:
    places = [f"{place}" + ("" if place.is_dir() else " (no such folder)") for place in _places(card, data_dir)]
    looked = "\n  ".join(places) or "nowhere, for no data directory is given"
    source = f" Get the data from {'; or '.join(card.sources)}." if card.sources else ""
    if card.downloads:
        source = " `mmrec-bench data fetch` gets its files" + (", `data prepare` builds it" if card.is_built else "")
        source += "; `bench --fetch` does so by itself."
    return DataError(
        f"data set '{card.name}': {main_file} was not found. Looked in:\n  {looked}\n"
        f"Give the folder that holds the data folders by --data-dir, or in the environment variable "
        f"{DATA_VARIABLE}.{source}"
    )


def _check_digests(card: DatasetCard, folder: Path) -> None:
    for name, wanted in card.sha256.items():
        try:
            with (folder / name).open("rb") as file:
                got = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / name}: its sha256 cannot be checked: {error}") from None
        if got != wanted:
            raise DataError(
                f"{folder / name}: is not the file of card '{card.name}': sha256 {got}, the card says {wanted}. "
                "Get the file again, or correct the card"
            )


def _check_counts(card: DatasetCard, dataset: Dataset[Interactions] | Dataset[Lists], folder: Path) -> None:
    payload = dataset.payload
    found = {"n_users": payload.n_users, "n_items": payload.n_items}
    if isinstance(payload, Lists):
        wanted = {} if card.counts is None else card.counts.of("lists")
        found |= {"n_lists": payload.n_lists, "n_rows": len(payload)}
    else:
        wanted = {} if card.counts is None else card.counts.of("interactions")
        found |= {"n_interactions": len(payload)}
    if wrong := [name for name, count in wanted.items() if found[name] != count]:
        facts = ", ".join(f"{name} is {found[name]}, the card says {wanted[name]}" for name in wrong)
        where = "" if card.embedded else f" in {folder}"
        merged = f" ({dataset.report.n_duplicates} repeated pairs were merged)" if dataset.report.n_duplicates else ""
        raise DataError(
            f"data set '{card.name}'{where}: {facts}{merged}. The files are cut short, or of another version; "
            "get them again, or write a card of your own for them"
        )


def _with_edition(card: DatasetCard, dataset: Dataset[Interactions]) -> DataReport:
    """Return the report with the edition of the delivered split."""
    labels, report = dataset.payload.labels, dataset.report
    if not card.editions or labels is None:
        return report
    found = tuple(np.bincount(labels, minlength=3).tolist())
    for name, edition in card.editions.items():
        if found == (edition.train, edition.valid, edition.test):
            notes = report.notes
            if edition.fingerprint is not None and edition.fingerprint != dataset.payload.fingerprint():
                notes += (
                    f"the delivered split has the counts of edition '{name}' but another content (another draw, or "
                    "other row numbers): its results can only be compared with those made on the same files",
                )
            return dataclasses.replace(report, edition=name, notes=notes)
    known = "; ".join(f"{name}: {e.train} / {e.valid} / {e.test}" for name, e in card.editions.items())
    raise DataError(
        f"data set '{card.name}': the delivered split has {found[0]} / {found[1]} / {found[2]} rows for train / valid "
        f"/ test. Known editions: {known}. Get one of these, or write a card of your own with this edition"
    )
