"""Pictures of a board: accuracy against parameters and against seconds of training."""

from __future__ import annotations

from mmrec_bench.leaderboard.board import Board, Entry
from mmrec_bench.leaderboard.board_tables import hardware_words
from mmrec_bench.leaderboard.record import RECOMPUTED
from mmrec_bench.reports.directions import lower_is_better
from mmrec_bench.reports.plots.base import Plot, draw, file_stem
from mmrec_bench.reports.plots.pareto import COSTS, FORMATS, pareto_front
from mmrec_bench.reports.plots.scatter import Point, scatter_chart
from mmrec_bench.statistics.contrast import LEVEL

MOST = 25
"""Points of a picture, unless more are on its front; with more, names have no room."""

MAX_LABEL = 32
"""Letters of a title beside its point: a longer one would make the picture as wide as itself."""


def plots_of(board: Board) -> list[Plot]:
    """Return the plots of a board; none for tracks that are ranked by a metric of which less is better."""
    if lower_is_better(board.track.headline[:1]):
        return []
    return [plot for cost in COSTS if (plot := _pareto(board, cost)) is not None]


def _pareto(board: Board, cost: str) -> Plot | None:
    """Return accuracy against a cost, with the Pareto front; None for fewer than two points."""
    metric, titles, replaced = board.track.headline[0], board.titles(), board.replaced
    known = [
        (entry, found, value)
        for entry in board.entries
        if entry.record.status in RECOMPUTED
        and entry.name not in replaced
        and (found := entry.test(metric)) is not None
        and (value := _cost(entry, cost)) is not None
    ]
    front = pareto_front([(value, found.mean) for _, found, value in known])
    # Those on the front first: a picture of the best alone would hide what costs little.
    order = sorted(range(len(known)), key=lambda place: (not front[place], place))[: max(MOST, sum(front))]
    points = []
    for place in sorted(order):
        entry, found, value = known[place]
        low = found.mean if found.low is None else found.low
        high = found.mean if found.high is None else found.high
        points.append(Point(_short(titles[entry.name]), value, found.mean, low, high, front[place]))
    if len(points) < 2 or not any(point.cost > 0 for point in points):
        return None
    what = COSTS[cost][0]
    note = (
        f"Mean test {metric} of {len(points)} entries whose numbers were recomputed; lines are {LEVEL:.0%} intervals "
        f"over users, and seeds where there are two or more; {what.lower()}, as cards tell, mean over seeds, "
        "logarithmic. Filled: on the Pareto front, the line of what no other entry gives for less; it is of means, and "
        "entries whose intervals meet may swap."
    )
    if len(known) > len(points):
        note += f" Shown are those on the front and the next best of {len(known)}."
    if any(point.cost == 0 for point in points):
        note += " A cost of zero stands at the left."
    if cost == "seconds" and (kinds := len({hardware_words(known[place][0].record.hardware) for place in order})) > 1:
        note += f" They ran on {kinds} kinds of hardware, so that seconds cannot be compared."
    title = f"{board.track.title}: accuracy and {what.lower()}"
    chart = scatter_chart(metric, what, FORMATS[cost], points)
    return draw(file_stem(f"{board.track.name}-{cost}"), title, note, chart, f"protocol {board.track.protocol.id}")


def _short(title: str) -> str:
    return title if len(title) <= MAX_LABEL else f"{title[: MAX_LABEL - 1]}…"


def _cost(entry: Entry, cost: str) -> float | None:
    if cost == "parameters":
        return float(entry.record.n_parameters)
    train = entry.card.cost.seconds.get("train")
    return None if train is None else train.mean
