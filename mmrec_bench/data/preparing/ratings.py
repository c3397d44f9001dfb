"""Recipe of delimited text: ``user,item,rating,timestamp``, as Amazon and MovieLens offer it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from pydantic import model_validator

from mmrec_bench.data.preparing.recipes import Files, Recipe, listed, recipe
from mmrec_bench.data.raw.rows import Column, add_delimited
from mmrec_bench.settings import explained_error

if TYPE_CHECKING:
    from mmrec_bench.data.preparing.reading import Reading

Between: TypeAlias = Literal[",", "\t", "::", ";", " "]
"""What stands between two columns."""


@recipe("ratings")
class RatingsRecipe(Recipe):
    """From text with a row a line and no quotes around separators; a first line without a number is a header."""

    reader: Literal["ratings"] = "ratings"
    """Delimited text."""
    ratings: Files
    """The files, plain or gzip, or ``archive.zip/folder/ratings.csv``."""
    separator: Between = ","
    """What stands between two columns."""
    columns: tuple[Column, ...] = ("user", "item", "rating", "time")
    """What each column holds; ``skip`` is not read. The rating files of Amazon 2018 have the item first. Every
    row has the rating 1 where no column is of ratings."""
    timestamp_unit: Literal["s", "ms"] = "s"
    """Unit of times since 1970."""

    @model_validator(mode="after")
    def _all_columns(self) -> Self:
        named = [column for column in self.columns if column != "skip"]
        if sorted(named) != sorted(set(named)) or not {"user", "item", "time"} <= set(named):
            raise explained_error(
                f"columns must name user, item and time once, and rating at most once; got {list(self.columns)}"
            )
        if self.min_rating is not None and "rating" not in named:
            raise explained_error("min_rating needs a column of ratings; name it in 'columns', or leave min_rating out")
        return self

    @property
    def raw_files(self) -> tuple[str, ...]:
        """The files of ratings."""
        return listed(self.ratings)

    def read_rows(self, reading: Reading) -> None:
        """Add the rows."""
        per_second = 1000 if self.timestamp_unit == "ms" else 1
        for source in reading.sources(listed(self.ratings)):
            add_delimited(reading.store, source, self.columns, self.separator, per_second)
