"""When rows happened."""

from __future__ import annotations

from datetime import UTC, datetime

import altair as alt
import numpy as np
import pandas as pd

from mmrec_bench.reports.inspection.base import Rows, Section, percent
from mmrec_bench.reports.plots.base import COLOURS, Plot, draw, file_stem, records
from mmrec_bench.types import IntArray

DAY = 86_400
STEPS = {"day": ("D", 1), "week": ("W", 7), "month": ("M", 30), "quarter": ("Q", 91), "year": ("Y", 365)}
"""Names of bars, their period for pandas, and days."""
MOST_BARS = 150
EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp(), datetime(2035, 1, 1, tzinfo=UTC).timestamp()
"""Times outside are of another unit, or stand-ins."""


def times(name: str, rows: Rows, *, ordered: bool) -> Section:
    """Return the span of time, and how busy it was.

    Args:
        name: Name of the data set.
        rows: Its rows.
        ordered: Whether the order of a user's rows is known where their times are not.
    """
    if rows.timestamps is None or not len(rows.timestamps):
        told = "but the order of each user's rows is" if ordered else "and no order either"
        return Section("time", "Time", (f"Times of rows are not known, {told}.",), data={"known": False})
    stamps = rows.timestamps
    first, last = int(stamps.min()), int(stamps.max())
    facts = [
        f"From {_date(first)} to {_date(last)} (UTC), {(last - first) / DAY:,.0f} days; half of all rows are from "
        f"{_date(int(np.median(stamps)))} on."
    ]
    if strange := int(((stamps < EARLIEST) | (stamps >= LATEST)).sum()):
        facts.append(
            f"Careful: {strange:,} rows ({percent(strange, len(stamps))}) are of before 1990 or after 2034: another "
            "unit of time, or stand-ins for unknown times."
        )
    together = shared_moments(rows)
    facts.append(f"{percent(together, len(stamps))} of all rows share their second with another row of the same user.")
    whole_days = bool((stamps % DAY == 0).all())
    if whole_days:
        facts.append("All times are midnights: days are known, not times of day.")
    data = {
        "known": True, "first": first, "last": last, "median": int(np.median(stamps)), "strange": strange,
        "shared_moments": together, "whole_days": whole_days,
    }  # fmt: skip
    plots = () if strange or first == last else (_plot(name, rows.noun, stamps),)
    return Section("time", "Time", tuple(facts), plots=plots, data=data)


def shared_moments(rows: Rows) -> int:
    """Return how many rows share user and second with another row: their order is not known."""
    assert rows.timestamps is not None
    order = np.lexsort((rows.timestamps, rows.users))
    users, stamps = rows.users[order], rows.timestamps[order]
    same = (users[1:] == users[:-1]) & (stamps[1:] == stamps[:-1])
    return int((np.append(same, False) | np.append(False, same)).sum())


def _date(stamp: int) -> str:
    """Return the day of a moment; years beyond the calendar are told as seconds."""
    try:
        return datetime.fromtimestamp(stamp, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return f"second {stamp:,}"


def _plot(name: str, noun: str, stamps: IntArray) -> Plot:
    moments = pd.to_datetime(pd.Series(stamps), unit="s", utc=True).dt.tz_localize(None)
    span = (moments.max() - moments.min()).days
    step = next((step for step, (_, days) in STEPS.items() if span / days <= MOST_BARS), "year")
    counts = moments.groupby(moments.dt.to_period(STEPS[step][0])).size()
    periods = pd.PeriodIndex(counts.index)
    shown = [
        {"from": str(start.date()), "to": str(end.date()), "rows": int(count)}
        for start, end, count in zip(periods.start_time, periods.end_time, counts.tolist(), strict=True)
    ]
    chart = (
        alt.Chart(records(shown), width=470, height=220)
        .mark_bar(color=COLOURS[0], binSpacing=0.5)
        .encode(
            x=alt.X("from:T", title=None, scale=alt.Scale(type="utc"), axis=alt.Axis(labelOverlap=True)),
            x2="to:T",
            y=alt.Y("rows:Q", title=f"{noun} a {step}", axis=alt.Axis(format="~s")),
            y2=alt.datum(0),
        )
    )
    note = f"Number of {noun} in each {step}, UTC."
    return draw(f"{file_stem(name)}-time", f"{name}: {noun} a {step}", note, chart)
