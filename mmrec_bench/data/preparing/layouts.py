"""Recipes of the layouts of other toolkits: MMRec, RecBole, LATTICE, and JSON sequences; read by their own cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, SerializeAsAny, ValidationInfo, field_validator, model_validator

# Importing a format registers its card.
import mmrec_bench.data.formats.lattice
import mmrec_bench.data.formats.mmrec
import mmrec_bench.data.formats.recbole
import mmrec_bench.data.formats.sequences  # noqa: F401
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.formats.base import FORMATS, DatasetCard
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.preparing.recipes import Recipe, recipe
from mmrec_bench.data.raw.metadata import items_schema
from mmrec_bench.data.raw.rows import add_known
from mmrec_bench.errors import DataError
from mmrec_bench.settings import explained_error
from mmrec_bench.types import IntArray

if TYPE_CHECKING:
    from mmrec_bench.data.preparing.reading import Reading

_FILES = {
    "mmrec": ("interactions", "item_ids", "user_ids", "images"),
    "recbole": ("interactions", "items", "users"),
    "lattice": ("train", "valid", "test"),
    "sequences": ("sequences", "items"),
}
"""Keys of the layouts that name files."""


@recipe(*_FILES)
class LayoutRecipe(Recipe):
    """From files that the format of this name reads; all of them are in memory while they are read.

    A split that comes with the files is kept where ``split`` names no rule. Titles, pictures, words and vectors are
    kept.
    """

    reader: Literal["mmrec", "recbole", "lattice", "sequences"]
    """The layout."""
    layout: SerializeAsAny[DatasetCard] = Field(default=None, validate_default=True)
    """Keys of a card of this format, such as ``{interactions: baby.inter}``."""

    @field_validator("layout", mode="before")
    @classmethod
    def _read_layout(cls, layout: Any, told: ValidationInfo) -> Any:
        reader = told.data.get("reader")
        if isinstance(layout, DatasetCard) or reader is None:  # an unknown reader is told on its own
            return layout
        if not isinstance(layout, Mapping):
            raise explained_error(
                "layout: needs the keys of a card of this format, such as {interactions: baby.inter}; got "
                + ("nothing" if layout is None else repr(str(layout)[:80]))
            )
        return FORMATS[reader].model_validate({"schema_version": 1, "name": "layout", "format": reader, **layout})

    @model_validator(mode="after")
    def _only_what_is_read(self) -> Self:
        if getattr(self.layout, "text_vectors", None):
            raise explained_error("layout.text_vectors: write text_vectors on the card itself")
        return self

    @property
    def raw_files(self) -> tuple[str, ...]:
        """Every file that the layout names."""
        named = (getattr(self.layout, key) for key in _FILES[self.reader])
        vectors = tuple(getattr(self.layout, "features", {}).values()) if self.reader in ("mmrec", "lattice") else ()
        return (*(name for name in named if name is not None), *vectors)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those of the layout."""
        return self.layout.modalities

    @property
    def item_fields(self) -> tuple[str, ...]:
        """Fields and columns of words."""
        return (*getattr(self.layout, "word_columns", ()), *getattr(self.layout, "word_fields", ()))

    def read_rows(self, reading: Reading) -> None:
        """Add the interactions."""
        dataset = reading.dataset = self.layout.read(reading.raw, None)
        self._check_repeats(reading, dataset.report.n_duplicates)
        one = dataset.payload
        if self.min_rating is not None and one.values is None:
            raise DataError(
                f"{reading.raw / self.raw_files[0]}: holds no ratings, so that build.min_rating ({self.min_rating:g}) "
                "would do nothing. Leave it out, or name the column of ratings in build.layout"
            )
        n = len(one)
        columns = {
            "file": np.zeros(n, np.int16),
            "line": np.arange(n),
            "user": pa.array(dataset.user_ids[one.users].tolist(), pa.string()),
            "item": pa.array(dataset.item_ids[one.items].tolist(), pa.string()),
            "rating": pa.nulls(n, pa.float32()) if one.values is None else pa.array(one.values),
            "time": pa.nulls(n, pa.int64()) if one.timestamps is None else pa.array(one.timestamps),
            "part": pa.nulls(n, pa.int8()) if one.labels is None else pa.array(one.labels),
        }
        add_known(reading.store, pa.table(columns))

    def _check_repeats(self, reading: Reading, n_repeated: int) -> None:
        """Count the rows that the format's own reader has merged; refuse steps that would have to see them.

        Raises:
            DataError: The first row of a pair was kept before anything asked for another one.
        """
        file = self.raw_files[0]
        asked = "repeats: last" if self.repeats == "last" else "min_rating" if self.min_rating is not None else None
        if n_repeated and asked is not None:
            raise DataError(
                f"{reading.raw / file}: {n_repeated:,} rows repeat a pair of user and item, and the reader "
                f"'{self.reader}' keeps the first of each before build.{asked} is looked at. Read the file by the "
                f"reader 'ratings', remove the repeated rows, or leave out build.{asked}"
            )
        reading.problems.add(file, "repeated-pair", 0, n_repeated)

    def write_items(self, reading: Reading, item_ids: Any) -> None:
        """Write titles, pictures, words and vectors of the items that are left."""
        dataset = reading.dataset
        assert dataset is not None, "rows are read first"
        places = {item: row for row, item in enumerate(dataset.item_ids.tolist())}
        rows = np.array([places[item] for item in item_ids.to_pylist()])
        reading.write_table(_described(dataset, rows, self.item_fields))
        for modality, table in dataset.features.items():
            np.save(reading.folder / f"{modality}.npy", table.values[rows], allow_pickle=False)
            reading.missing[modality] = int((~table.present[rows]).sum())


def _described(dataset: Dataset[Interactions], rows: IntArray, fields: tuple[str, ...]) -> Any:
    """Return the table of ``items.parquet`` for some items."""
    items = dataset.items
    columns: dict[str, Any] = {"item_id": dataset.item_ids[rows].tolist()}
    for name, texts in (("title", items.titles), ("image_url", items.images)):
        columns[name] = [None] * len(rows) if texts is None else [text or None for text in texts[rows].tolist()]
    for field in fields:
        columns[field] = [
            [value for name, value in items.words.of_item(row) if name == field] or None if items.words else None
            for row in rows.tolist()
        ]
    return pa.table(columns, schema=items_schema(fields))
