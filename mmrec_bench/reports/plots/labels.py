"""Names beside points, so that no two overlap where that is possible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels; y grows downwards."""

CHARACTER = 0.58
"""Mean width of a letter of a font without serifs, as a share of its size."""
NEAR, FAR, FAR_COST = 9.0, (24.0, 40.0), 30.0
"""Distances of names from their points, in pixels; the far ones need a line to them, and cost what covering ten pixels
of a line of three pixels does."""


@dataclass(frozen=True, slots=True)
class Label:
    """Where a name stands.

    Attributes:
        x: Left edge, middle or right edge of the text, as `align` says, in pixels.
        y: Its middle, in pixels.
        align: Which end of the text `x` is.
        far: Whether it needs a line to its point.
    """

    x: float
    y: float
    align: Literal["left", "center", "right"]
    far: bool


def place(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    width: float,
    height: float,
    size: float,
    lines: Sequence[Box] = (),
) -> list[Label]:
    """Return where the name of each point stands, those given first first: each takes the place that is least covered.

    Args:
        points: Places of the points, in pixels.
        names: Their names.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        size: Of the font, in pixels.
        lines: What else is drawn, as thin boxes; it may be covered rather than a name.
    """
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    labels = []
    for number, ((x, y), name) in enumerate(zip(points, names, strict=True)):
        text = CHARACTER * size * len(name)
        others = [box for place, box in enumerate(taken) if place != number]
        options = [(label, _box(label, text, size)) for label in _around(x, y)]
        costs = [
            100 * (sum(_overlap(box, other) for other in others) + _outside(box, width, height))
            + sum(_overlap(box, other) for other in lines) + FAR_COST * label.far
            for label, box in options
        ]  # fmt: skip
        label, box = options[min(range(len(options)), key=costs.__getitem__)]
        labels.append(label)
        taken.append(box)
    return labels


def _around(x: float, y: float) -> Iterator[Label]:
    """Yield the places around a point, the dearest first."""
    yield Label(x + NEAR, y, "left", False)
    yield Label(x - NEAR, y, "right", False)
    yield Label(x, y - 13, "center", False)
    yield Label(x, y + 13, "center", False)
    for down in (-11.0, 11.0):
        yield Label(x + NEAR - 2, y + down, "left", False)
        yield Label(x - NEAR + 2, y + down, "right", False)
    for far in FAR:
        for down in (-far, far):
            yield Label(x + 12, y + down, "left", True)
            yield Label(x - 12, y + down, "right", True)


def _box(label: Label, text: float, size: float) -> Box:
    left = label.x - {"left": 0.0, "center": text / 2, "right": text}[label.align]
    return left, label.y - size / 2, left + text, label.y + size / 2


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def _outside(box: Box, width: float, height: float) -> float:
    inside = _overlap(box, (0.0, 0.0, width, height))
    return (box[2] - box[0]) * (box[3] - box[1]) - inside


def spread(wanted: Sequence[float], gap: float, first: float, last: float) -> list[float]:
    """Return places as near to those wanted as a gap between any two allows, in the order given.

    Places that are too near are pooled and stand around their mean, so that the sum of squared moves is the least.

    Args:
        wanted: Places, in pixels.
        gap: Between two of them, at least.
        first: The least place; places leave the range only where it has no room for all.
        last: The greatest place.
    """
    order = sorted(range(len(wanted)), key=lambda place: (wanted[place], place))
    pools: list[tuple[float, int]] = []  # mean of wanted minus own shift, and how many
    for rank, place in enumerate(order):
        value, count = float(wanted[place] - gap * rank), 1
        while pools and pools[-1][0] >= value:
            other, others = pools.pop()
            value, count = (value * count + other * others) / (count + others), count + others
        pools.append((value, count))
    shifts = [value for value, count in pools for _ in range(count)]
    highest = last - gap * (len(wanted) - 1)
    found = [0.0] * len(wanted)
    for rank, place in enumerate(order):
        found[place] = max(min(shifts[rank], highest), first) + gap * rank
    return found
