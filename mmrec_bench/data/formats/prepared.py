"""Prepared data sets: Parquet with external ids, texts of items, memory-mapped vectors, and a card of how it was made.

``data.preparing`` writes them; the folder holds

- ``interactions.parquet``: ``user_id``, ``item_id``, and as far as known ``rating``, ``timestamp`` (seconds UTC) and
  ``x_label`` (0 train, 1 valid, 2 test), sorted by the ids as text;
- ``items.parquet``: ``item_id``, ``title``, ``image_url`` and every declared field, a list of texts; in the order of
  row numbers, which is that of the ids: whole numbers by size, then all others as text;
- ``<modality>.npy``: float32, a row an item in the order of ``items.parquet``, NaN where there is no vector;
- ``card.yaml``: the card with sizes, digests, steps, and what was wrong with the raw files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import NonNegativeInt, model_validator

# Importing a recipe registers it.
import mmrec_bench.data.preparing.amazon
import mmrec_bench.data.preparing.layouts
import mmrec_bench.data.preparing.ratings  # noqa: F401
from mmrec_bench.data.dataset import DataReport, Dataset
from mmrec_bench.data.downloads import Digest
from mmrec_bench.data.formats.base import BY_MODALITY, FORMATS, DatasetCard
from mmrec_bench.data.formats.external import natural_order, rows_of
from mmrec_bench.data.formats.vectors import read_tables
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.preparing.recipes import AFTER_THE_FACT, AnyRecipe
from mmrec_bench.data.preparing.steps import Stage
from mmrec_bench.data.raw.problems import Problem
from mmrec_bench.data.text_vectors import TextVectors
from mmrec_bench.errors import DataError, MMRecBenchError
from mmrec_bench.settings import BaseConfig, explained_error, load_yaml
from mmrec_bench.types import IntArray, StringArray

INTERACTIONS, ITEMS, CARD = "interactions.parquet", "items.parquet", "card.yaml"


class FileFacts(BaseConfig):
    """What a file is."""

    n_bytes: NonNegativeInt
    """Its size."""
    sha256: Digest
    """Its digest."""


class Built(BaseConfig):
    """How a prepared data set came to be; written by `mmrec-bench data prepare`."""

    packages: Mapping[str, str]
    """Versions of what made it; the same versions make the same bytes of the same raw files."""
    raw: Mapping[str, FileFacts]
    """The raw files."""
    problems: tuple[Problem, ...] = ()
    """What was wrong with them."""
    steps: tuple[Stage, ...]
    """What was left after each step."""
    split: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt] | None = None
    """Rows of train, valid and test of the delivered split."""
    missing: Mapping[str, NonNegativeInt]
    """Number of items without a title, a picture, a field or a vector."""
    pairs_digest: Digest
    """Name of who interacted with what, whatever file it was read from: `data.pairs_digest`."""
    fingerprint: str
    """Content fingerprint of the interactions as they are read."""
    files: Mapping[str, FileFacts]
    """The files of the data set."""


class PreparedCard(DatasetCard):
    """A card of a data set that `mmrec-bench data prepare` makes of raw files."""

    format: Literal["prepared"] = "prepared"
    build: AnyRecipe
    """How it is made."""
    word_fields: tuple[str, ...] = ()
    """Fields of ``build`` that become categorical words, one for each text of the list."""
    text_vectors: Annotated[Mapping[str, TextVectors], BY_MODALITY] = {}
    """Feature tables made of titles and words when the data is read, such as ``{text: {dim: 64}}``."""
    built: Built | None = None
    """How it was made; in the card that lies in the folder of the data, never in one you write."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.folders:
            raise explained_error(f"folders: prepared data lies in the folder '{self.name}'; remove the key")
        for field in self.word_fields:
            if field not in self.build.item_fields:
                raise explained_error(f"word_fields: '{field}' is not among build.fields; add it there")
        if twice := set(self.text_vectors) & set(self.build.modalities):
            raise explained_error(f"text_vectors: '{sorted(twice)[0]}' is a modality that 'build' makes already")
        for field in self.build.item_fields:
            if field in AFTER_THE_FACT and field not in self.provenance.fields:
                raise explained_error(
                    f"build.fields: '{field}' tells what users did, or when the page was saved; declare under "
                    f"provenance.fields.{field} what it was made_of"
                )
        self._filter_is_told()
        return self

    def _filter_is_told(self) -> None:
        core, told = self.build.k_core, self.provenance.filter
        if core is None:
            return
        if (
            told is None
            or told == "none"
            or (told.user_rows or 1, told.item_rows or 1) != (core.user_rows, core.item_rows)
        ):
            raise explained_error(
                f"provenance.filter must say what build.k_core does: {{user_rows: {core.user_rows}, "
                f"item_rows: {core.item_rows}}}"
            )

    @property
    def modalities(self) -> tuple[str, ...]:
        """What is built, and what is made of texts."""
        return (*self.build.modalities, *self.text_vectors)

    @property
    def fields(self) -> Mapping[str, str]:
        """Built tables, titles and declared fields; see `DatasetCard.fields`."""
        return {
            **{name: f"{name}.npy" for name in self.build.modalities},
            **{name: name for name in ("title", *self.build.item_fields)},
        }

    @property
    def is_built(self) -> bool:
        """It is."""
        return True

    @property
    def main_file(self) -> str:
        """The interactions."""
        return INTERACTIONS

    def read(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Interactions]:
        """Read the files; see `DatasetCard.read`."""
        chosen = self.chosen(modalities)
        built = self.checked(folder)
        rows, listed = _table(folder / INTERACTIONS), _table(folder / ITEMS)
        users, user_ids = _numbered(rows["user_id"], None)
        items, item_ids = _numbered(rows["item_id"], np.array(listed["item_id"].to_pylist(), np.str_))
        numbers = {
            name: rows[name].to_numpy() for name in ("rating", "timestamp", "x_label") if name in rows.column_names
        }
        interactions = Interactions(
            users, items, len(user_ids), len(item_ids),
            values=numbers.get("rating"), timestamps=numbers.get("timestamp"), labels=numbers.get("x_label"),
        )  # fmt: skip
        if (found := interactions.fingerprint()) != built.fingerprint:
            raise DataError(
                f"{folder / INTERACTIONS}: has the fingerprint {found}, {CARD} says {built.fingerprint}. Prepare "
                "the data set again"
            )
        table = self._items(listed)
        files = {name: folder / f"{name}.npy" for name in chosen if name in self.build.modalities}
        features, told = read_tables(files, len(item_ids))
        features |= {name: made.table(name, table) for name, made in self.text_vectors.items() if name in chosen}
        missing = {name: vectors.n_missing for name, vectors in features.items()}
        report = DataReport(missing=missing, notes=(*map(str, built.problems), *told))
        return Dataset(self.name, interactions, features, table, user_ids, item_ids, report)

    def texts(self, folder: Path, dataset: Dataset[Any], fields: Sequence[str] | None) -> dict[str, list[str]]:
        """Return titles and any declared field, not words alone; see `DatasetCard.texts`."""
        known = ("title", *self.build.item_fields)
        for field in fields or ():
            if field not in known:
                raise self.no_text(field, known)
        listed = _table(folder / ITEMS)
        found = {field: listed[field].to_pylist() for field in fields or dataset.items.text_fields}
        return {
            field: [", ".join(text) if isinstance(text, list) else text or "" for text in texts]
            for field, texts in found.items()
        }

    def checked(self, folder: Path) -> Built:
        """Return how the data set in a folder was made, if it is the one of this card and whole.

        Raises:
            DataError: It was made by another recipe, or a file is missing or has changed.
        """
        card = read_card(folder)
        again = "Prepare it again: `mmrec-bench data prepare` with --replace"
        if card.name != self.name or card.build != self.build or card.built is None:
            raise DataError(
                f"{folder}: holds '{card.name}' as prepared by another recipe than this card's 'build'. {again}"
            )
        for name, facts in card.built.files.items():
            path = folder / name
            if not path.is_file():
                raise DataError(f"{path}: is missing, and {CARD} names it. {again}")
            if (size := path.stat().st_size) != facts.n_bytes:
                raise DataError(f"{path}: has {size} bytes, {CARD} says {facts.n_bytes}; it has changed. {again}")
            if name.endswith(".parquet"):
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != facts.sha256:
                    raise DataError(f"{path}: its content has changed since it was made. {again}")
        return card.built

    def _items(self, listed: Any) -> ItemTable:
        titles, images = (_filled(listed[name]) for name in ("title", "image_url"))
        words = None
        if self.word_fields:
            columns = [(field, listed[field].to_pylist()) for field in self.word_fields]
            words = Words.of(
                [[(field, text) for field, texts in columns for text in texts[row] or ()] for row in range(len(listed))]
            )
        return ItemTable(titles, images, words)


FORMATS.register("prepared", PreparedCard)


def read_card(folder: Path) -> PreparedCard:
    """Return the card that lies in the folder of a prepared data set.

    Raises:
        DataError: There is none, or it cannot be read.
    """
    try:
        return load_yaml(folder / CARD).parse(PreparedCard)
    except MMRecBenchError as error:
        raise DataError(f"{folder}: is no prepared data set. {error}") from None


def _table(path: Path) -> Any:
    try:
        return pq.read_table(path, read_dictionary=["user_id", "item_id"] if path.name == INTERACTIONS else [])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({' '.join(str(error).split())[:200]})") from None


def _numbered(column: Any, external: StringArray | None) -> tuple[IntArray, StringArray]:
    """Return the row numbers of a column of ids, and the ids by row number, in natural order unless they are given."""
    coded = column.unify_dictionaries().combine_chunks()
    external = natural_order(coded.dictionary) if external is None else external
    return rows_of(coded.dictionary, external)[coded.indices.to_numpy()], external


def _filled(column: Any) -> StringArray | None:
    """Return texts, empty where there is none; None where no item has one."""
    texts = [text or "" for text in column.to_pylist()]
    return np.array(texts, np.str_) if any(texts) else None
