"""How validation scores rise while models train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import fmean
from typing import Any, Literal, TypeAlias

from mmrec_bench.reports.collect import Row, TableKey, n_of
from mmrec_bench.reports.plots.base import COLOURS, Plot, draw, stem_of, subtitle_of
from mmrec_bench.reports.plots.curves import Curve, curves_chart

Axis: TypeAlias = Literal["epochs", "seconds"]
TITLES: dict[Axis, str] = {"epochs": "epochs", "seconds": "seconds of training, without validation"}

Step: TypeAlias = tuple[float, float]
"""How far training has come, and the validation score there."""


def steps_of(history: Sequence[Mapping[str, Any]], metric: str, axis: Axis) -> list[Step]:
    """Return every validation of a run.

    Args:
        history: One record an epoch.
        metric: A validation metric.
        axis: What counts how far training has come.
    """
    far = accumulate(1.0 if axis == "epochs" else record["train_seconds"] for record in history)
    return [(at, record["valid"][metric]) for at, record in zip(far, history, strict=True) if "valid" in record]


def learning_curve(label: str, runs: Sequence[Sequence[Step]]) -> Curve | None:
    """Return the curve of a row; None where no run is validated more than once.

    The number of a validation is what the runs share: a point is the mean over the runs that come so far. The first of
    the best validations of a run is marked, mean over runs: its weights are kept.

    Args:
        label: Name of the row.
        runs: The validations of each run.
    """
    longest = max((len(steps) for steps in runs), default=0)
    if longest < 2:
        return None
    spots, band = [], []
    for number in range(longest):
        there = [steps[number] for steps in runs if number < len(steps)]
        spots.append((fmean(at for at, _ in there), fmean(score for _, score in there)))
        band.append((min(score for _, score in there), max(score for _, score in there)))
    chosen = [max(steps, key=lambda step: step[1]) for steps in runs if steps]
    mark = fmean(at for at, _ in chosen), fmean(score for _, score in chosen)
    return Curve(label, tuple(sorted(spots)), tuple(band) if len(runs) > 1 else (), mark)


def learning_plots(key: TableKey, rows: Sequence[Row]) -> list[Plot]:
    """Return validation scores by epochs and by seconds; none where nothing is learned in steps."""
    histories = {row.fingerprint: [run.history() for run in row.runs] for row in rows}
    return [plot for axis in TITLES if (plot := _plot(key, rows, histories, axis)) is not None]


def _plot(
    key: TableKey, rows: Sequence[Row], histories: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], axis: Axis
) -> Plot | None:
    curves, left_out = [], []
    for row in rows:
        runs = [steps_of(history, key.select_by, axis) for history in histories[row.fingerprint]]
        curve = learning_curve(row.label, runs)
        curves += [] if curve is None else [curve]
        left_out += [row.label] if curve is None else []
    if not curves:
        return None
    drawn = [row for row in rows if row.label not in left_out]
    band = "; the band goes from the least to the greatest over seeds" if any(curve.band for curve in curves) else ""
    note = (
        f"Validation {key.select_by} of {len(curves)} rows by {TITLES[axis]}, mean over the seeds that still train "
        f"({n_of(drawn)}){band}. Dots: where the kept weights are from, mean over seeds."
    )
    if len(curves) > len(COLOURS):
        note += f" The best {len(COLOURS)} by validation have colours."
    if left_out:
        note += f" Validated once, and not drawn: {', '.join(left_out)}."
    chart = curves_chart(curves, TITLES[axis], f"validation {key.select_by}", steps=False, log=axis == "seconds")
    return draw(f"{stem_of(key)}-learning-{axis}", f"{key.heading}: learning by {axis}", note, chart, subtitle_of(key))
