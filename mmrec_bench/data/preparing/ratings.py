"""Recipe of delimited text: ``user,item,rating,timestamp``, as Amazon and MovieLens offer it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from pydantic import model_validator

from mmrec_bench.data.preparing.recipes import FileRecipe, Files, listed, recipe
from mmrec_bench.data.raw.rows import Column, add_delimited
from mmrec_bench.settings import explained_error

if TYPE_CHECKING:
    from mmrec_bench.data.raw.rows import Cells, Origin, Source
    from mmrec_bench.data.raw.store import Store

Between: TypeAlias = Literal[",", "\t", "::", ";", " "]
"""What stands between two columns."""


@recipe("ratings")
class RatingsRecipe(FileRecipe):
    """From text with a row a line and no quotes around separators; a first line that names its columns is a header."""

    reader: Literal["ratings"] = "ratings"
    """Delimited text."""
    ratings: Files
    """The files, plain or gzip, or ``archive.zip/folder/ratings.csv``."""
    separator: Between = ","
    """What stands between two columns."""
    columns: tuple[Column, ...] = ("user", "item", "rating", "time")
    """What each column holds; ``skip`` is not read, rating or time may be missing. The rating files of Amazon 2018 have
    the item first."""
    timestamp_unit: Literal["s", "ms"] = "s"
    """Unit of times since 1970."""

    @model_validator(mode="after")
    def _all_columns(self) -> Self:
        named = [column for column in self.columns if column != "skip"]
        if len(named) != len(set(named)) or not {"user", "item"} < set(named):
            raise explained_error(
                f"columns must name user, item, and rating, time or both, once each; got {list(self.columns)}"
            )
        if "rating" not in named and self.min_rating is not None:
            raise explained_error("min_rating needs a column 'rating'; name it under columns, or remove min_rating")
        if "time" not in named and self.repeats == "last":
            raise explained_error("repeats: last needs a column 'time'; name it under columns")
        return self

    @property
    def raw_files(self) -> tuple[str, ...]:
        """The files of ratings, and no others."""
        return self.row_files

    @property
    def row_files(self) -> tuple[str, ...]:
        """The files of ratings."""
        return listed(self.ratings)

    def cells(self, source: Source) -> Cells:
        """Return lines."""
        return source.lines()

    def add_rows(self, store: Store, origin: Origin, cells: Cells) -> None:
        """Add rows."""
        per_second = 1000 if self.timestamp_unit == "ms" else 1
        add_delimited(store, origin, cells, self.columns, self.separator, per_second)
