"""Split rules of single impressions: a cut in time, a window before it that selects, and one behind it that judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import PositiveFloat, model_validator

from mmrec_bench.data.moments import Moment, to_seconds, to_text
from mmrec_bench.data.points import Points
from mmrec_bench.data.provenance import TimePromise
from mmrec_bench.data.split_rule import UNUSED, Fraction, Labelled, SplitConfig, split_rule
from mmrec_bench.errors import ProtocolError
from mmrec_bench.settings import explained_error
from mmrec_bench.types import IntArray

DAY = 86_400


class Window(NamedTuple):
    """Three moments, seconds UTC; each is the first of the part behind it.

    Attributes:
        valid_from: Training ends, validation begins.
        cut: Validation ends, evaluation begins: T.
        until: Evaluation ends.
    """

    valid_from: int
    cut: int
    until: int


@split_rule("time-window")
class TimeWindow(SplitConfig):
    """What comes before a cut T trains, but for a window just before it that validates; a window from T on is tested.

    What comes behind that window is in no part. Rows of one second are never parted; those of a moment itself belong to
    the later part.
    """

    name: Literal["time-window"] = "time-window"
    cut_share: Fraction | None = None
    """Share of all rows that come before T; 0.8 by default."""
    cut_at: Moment | None = None
    """T as a moment: ISO 8601 (``2014-01-01``, UTC where no zone is given), or seconds since 1970."""
    valid_share: Fraction | None = None
    """Share of all rows that are validated; 0.1 by default."""
    valid_days: PositiveFloat | None = None
    """Length of the window that is validated, in days."""
    test_share: Fraction | None = None
    """Share of all rows that are tested; without it and `test_days` all that come behind T."""
    test_days: PositiveFloat | None = None
    """Length of the window that is tested, in days."""

    def promise(self, delivered: TimePromise) -> TimePromise:
        """Return that time is kept across all users."""
        return "global"

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: Any) -> Any:
        """Write defaults out only where nothing else is given, so that a resolved config loads again."""
        if not isinstance(data, Mapping):
            return data
        given = {key: value for key, value in data.items() if value is not None}
        cut = {} if "cut_at" in given else {"cut_share": 0.8}
        valid = {} if "valid_days" in given else {"valid_share": 0.1}
        return {**cut, **valid, **given}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for one, other in (("cut_share", "cut_at"), ("valid_share", "valid_days"), ("test_share", "test_days")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise explained_error(f"takes either {one} or {other}; remove one of the two")
        if self.cut_share is not None and self.cut_share - (self.valid_share or 0) <= 0:
            raise explained_error(
                f"valid_share lies before the cut and must leave rows for training; got cut_share {self.cut_share} and "
                f"valid_share {self.valid_share}"
            )
        if self.cut_share is not None and self.cut_share + (self.test_share or 0) > 1 + 1e-9:
            raise explained_error(
                f"test_share lies behind the cut; got cut_share {self.cut_share} and test_share {self.test_share}, "
                "more than 1 together"
            )
        return self

    def assign_points(self, points: Points) -> Labelled:
        """Return labels by time."""
        window, times = self.window(points.timestamps), points.timestamps
        labels = (times >= window.valid_from).astype(np.int8) + (times >= window.cut).astype(np.int8)
        labels[times >= window.until] = UNUSED
        note = f"validation starts at {to_text(window.valid_from)}, evaluation at T = {to_text(window.cut)}"
        if behind := int((labels == UNUSED).sum()):
            note += f" and ends at {to_text(window.until)}; the {behind} rows from then on are in no part"
        return Labelled(labels, (note,))

    def window(self, times: IntArray) -> Window:
        """Return the moments for rows at these times, non-decreasing.

        Raises:
            ProtocolError: There are no rows, or all are at one time.
        """
        n = len(times)
        if not n or times[0] == times[-1]:
            raise ProtocolError(
                f"split 'time-window' needs rows at different times; got {n}"
                + (f", all at second {times[0]}" if n else "")
                + ". Choose a data set with real timestamps"
            )
        behind = int(times[-1]) + 1

        def at(place: int) -> int:
            return int(times[place]) if place < n else behind

        if self.cut_at is not None:
            cut = to_seconds(self.cut_at)
        else:
            assert self.cut_share is not None
            cut = at(round(self.cut_share * n))
        before = int(np.searchsorted(times, cut))
        if self.valid_days is not None:
            valid_from = cut - round(self.valid_days * DAY)
        else:
            assert self.valid_share is not None
            valid_from = at(max(before - max(round(self.valid_share * n), 1), 0))
        until = behind
        if self.test_days is not None:
            until = min(cut + round(self.test_days * DAY), behind)
        elif self.test_share is not None:
            until = at(before + max(round(self.test_share * n), 1))
        return Window(valid_from, cut, until)
