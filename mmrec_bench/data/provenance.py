"""What a card declares about how its data came to be; the leak audit reads it, for arrays cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self, TypeAlias

from pydantic import PositiveInt, model_validator

from mmrec_bench.data.moments import Moment
from mmrec_bench.settings import BaseConfig, explained_error

TimePromise: TypeAlias = Literal["global", "user", "none"]
"""What a split promises about time. ``global``: all of train is before all that is held out. ``user``: that holds
within each user. ``none``: nothing."""


class Filter(BaseConfig):
    """A filter that left users or items with few rows out of the data."""

    user_rows: PositiveInt | None = None
    """Rows every user has at least."""
    item_rows: PositiveInt | None = None
    """Rows every item has at least."""
    counted_on: Literal["all", "train"] = "all"
    """Which rows were counted: those of ``all`` parts, or of the delivered ``train`` part alone."""

    @model_validator(mode="after")
    def _filters(self) -> Self:
        if self.user_rows is None and self.item_rows is None:
            raise explained_error("needs user_rows, item_rows or both; write `filter: none` where nothing was filtered")
        return self


class Field(BaseConfig):
    """How a feature table or a field of items was made."""

    made_of: Literal["content", "interactions", "train"] = "content"
    """``content``: of what an item is, known when it appears. ``interactions``: of what users did, in all parts, such
    as reviews, average ratings or sales ranks. ``train``: of what users did in the delivered part train alone."""
    until: Moment | None = None
    """Latest moment of what it was made of: ISO 8601, or seconds since 1970."""


class Provenance(BaseConfig):
    """What is known of the making of a data set that bears on leaks."""

    filter: Filter | Literal["none"] | None = None
    """Filter by number of rows; ``none`` where nothing was filtered. Without it the audit looks for signs of one."""
    fields: Mapping[str, Field] = {}
    """How feature tables, word fields and columns of rows were made, by name."""
    split: TimePromise = "none"
    """What the delivered split promises about time."""
