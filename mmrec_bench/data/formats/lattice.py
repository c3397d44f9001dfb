"""The layout of LATTICE: the items of each user in one JSON file a part, and one ``.npy`` matrix a modality.

Source: the data folders of LATTICE (Zhang et al., "Mining Latent Structures for Multimedia Recommendation", ACM MM
2021, https://github.com/CRIPAC-DIG/LATTICE), which MICRO and others share: ``5-core/train.json``, ``val.json`` and
``test.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmrec_bench.data.dataset import DataReport, Dataset
from mmrec_bench.data.formats.base import FORMATS, FileName
from mmrec_bench.data.formats.pairs import RawPairs
from mmrec_bench.data.formats.sequences import read_object
from mmrec_bench.data.formats.tables import shown
from mmrec_bench.data.formats.vectors import VectorFilesCard, read_tables
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable
from mmrec_bench.data.split_rule import PARTS
from mmrec_bench.errors import DataError
from mmrec_bench.types import IntArray


class LatticeCard(VectorFilesCard):
    """A card of files in the layout of LATTICE: ``{"0": [5, 17], "1": [5]}``, row numbers of users and items from 0.

    Row numbers stand for external ids: the released files map them by pickled files alone, which are never read.
    """

    format: Literal["lattice"] = "lattice"
    train: FileName = "5-core/train.json"
    """Items of each user that are learned from."""
    valid: FileName = "5-core/val.json"
    """Items of each user that select."""
    test: FileName = "5-core/test.json"
    """Items of each user that judge."""

    @property
    def main_file(self) -> str:
        """The training part."""
        return self.train

    def read(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Interactions]:
        """Read the files; see `DatasetCard.read`."""
        chosen = self.chosen(modalities)
        read = [_pairs(folder / getattr(self, part)) for part in PARTS]
        users, items = (np.concatenate([pairs[side] for pairs in read]) for side in (0, 1))
        labels = np.repeat(np.arange(len(PARTS), dtype=np.int8), [len(pairs[0]) for pairs in read])
        n_users, n_items = (_without_gaps(folder, what, rows) for what, rows in (("user", users), ("item", items)))
        interactions, n_duplicates, n_across = RawPairs(users, items, n_users, n_items, labels=labels).merged()
        features, notes = read_tables({name: folder / self.features[name] for name in chosen}, n_items)
        missing = {modality: table.n_missing for modality, table in features.items()}
        report = DataReport(n_duplicates, n_across, missing, notes=notes)
        ids = np.arange(n_users).astype(np.str_), np.arange(n_items).astype(np.str_)
        return Dataset(self.name, interactions, features, ItemTable(), *ids, report)


FORMATS.register("lattice", LatticeCard)


def _pairs(path: Path) -> tuple[IntArray, IntArray]:
    """Return the row numbers of users and items of one part."""
    users: list[int] = []
    items: list[int] = []
    for user, owned in read_object(path).items():
        if not isinstance(owned, list):
            raise DataError(f"{path}: user {shown(user)} must have a list of items; got {shown(str(owned))}")
        items += [_row(path, item, f"an item of user {shown(user)}") for item in owned]
        users += [_row(path, user, "a user")] * len(owned)
    return np.array(users, np.int64), np.array(items, np.int64)


def _row(path: Path, value: Any, what: str) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or len(text) > 12:
        raise DataError(f"{path}: {what} has the row number {shown(text)}; row numbers are whole numbers from 0")
    return int(text)


def _without_gaps(folder: Path, what: str, rows: IntArray) -> int:
    """Return how many there are; all of them have an interaction, or the catalogue would be a guess."""
    found = np.unique(rows)
    if not len(found):
        raise DataError(f"{folder}: no user has an item")
    if found[-1] != len(found) - 1:
        gap = int(np.flatnonzero(found != np.arange(len(found)))[0])
        raise DataError(
            f"{folder}: row numbers of {what}s must run from 0 without gaps over all parts; {gap} is missing, the "
            f"largest is {found[-1]}, there are {len(found)}. Number them anew"
        )
    return len(found)
