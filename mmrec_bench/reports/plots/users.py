"""How single users fare with each row beside the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np

from mmrec_bench.reports.collect import Row, TableKey, n_of
from mmrec_bench.reports.plots.base import COLOURS, INK, SIZE, Plot, draw, records, stem_of, subtitle_of
from mmrec_bench.statistics.scores import user_differences
from mmrec_bench.types import DoubleArray

BINS = 15
"""Of a histogram, on each side of zero."""
WIDTH, HEIGHT, COLUMNS = 190, 110, 3


@dataclass(frozen=True, slots=True)
class Differences:
    """Users by how much better a row serves them than the best row does.

    Attributes:
        label: Name of the row.
        better: Share of users served better.
        equal: Share of users served alike.
        worse: Share of users served worse.
        edges: Ends of the bins, ``[2 * BINS + 1]``, zero in the middle.
        shares: Share of all users in each bin, ``[2 * BINS]``; those served alike are in none.
    """

    label: str
    better: float
    equal: float
    worse: float
    edges: DoubleArray
    shares: DoubleArray


def differences_of(rows: Sequence[Row], scores: Mapping[str, DoubleArray]) -> list[Differences]:
    """Return the differences of users between each row and the first one, averaged over seeds.

    Args:
        rows: Two or more, the best on validation first.
        scores: By fingerprint of a row, test scores ``[n_seeds, n_users]``.
    """
    best = scores[rows[0].fingerprint]
    found = {row.label: user_differences(scores[row.fingerprint], best) for row in rows[1:]}
    size = max(float(np.abs(values).max()) for values in found.values()) or 1.0
    edges = np.linspace(-size, size, 2 * BINS + 1)
    made = []
    for label, values in found.items():
        below, _ = np.histogram(values[values < 0], edges[: BINS + 1])
        above, _ = np.histogram(-values[values > 0], edges[: BINS + 1])  # mirrored: a bin ends where it is farther off
        shares = np.concatenate([below, above[::-1]]) / len(values)
        better, worse = float((values > 0).mean()), float((values < 0).mean())
        made.append(Differences(label, better, float((values == 0).mean()), worse, edges, shares))
    return made


def differences_plot(key: TableKey, rows: Sequence[Row], scores: Mapping[str, DoubleArray]) -> Plot | None:
    """Return a histogram a row; None for one row, and for CTR metrics, of which users have no score of their own."""
    if len(rows) < 2 or key.task == "ctr":
        return None
    made = differences_of(rows, scores)
    panels = [f"{one.label}\n{_percent(one.better)} better, {_percent(one.worse)} worse" for one in made]
    shown = [
        {"panel": panel, "low": low, "high": high, "share": share, "better": low >= 0}
        for panel, one in zip(panels, made, strict=True)
        for low, high, share in zip(one.edges[:-1].tolist(), one.edges[1:].tolist(), one.shares.tolist(), strict=True)
        if share
    ]
    reach = float(made[0].edges[-1])
    bars = (
        alt.Chart(width=WIDTH, height=HEIGHT)
        .mark_bar(binSpacing=0.5)
        .encode(
            x=alt.X("low:Q", bin="binned", title="difference", scale=alt.Scale(domain=[-reach, reach], nice=False)),
            x2="high:Q",
            y=alt.Y("share:Q", title="users", axis=alt.Axis(format="~%")),
            color=alt.condition("datum.better", alt.value(COLOURS[0]), alt.value(COLOURS[5])),
        )
    )
    zero = alt.Chart().mark_rule(color=INK).encode(x=alt.datum(0))
    header = alt.Header(title=None, labelFontSize=SIZE - 1, labelAnchor="start", labelOrient="top")
    chart = alt.layer(bars, zero, data=records(shown)).facet(
        facet=alt.Facet("panel:N", sort=panels, header=header), columns=COLUMNS
    )
    n_users = scores[rows[0].fingerprint].shape[1]
    note = (
        f"Test {key.select_by} of each of {n_users:,} users, averaged over seeds ({n_of(rows)}): a row minus "
        f"'{rows[0].label}', the best on validation. Bars: share of all users, to the right of zero (blue) served "
        "better, to the left (orange) worse; users served alike are in no bar."
    )
    title = f"{key.heading}: users beside {rows[0].label}"
    return draw(f"{stem_of(key)}-users", title, note, chart, subtitle_of(key))


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
