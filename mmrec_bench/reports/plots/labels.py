"""Names beside points, so that no two overlap where that is possible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from mmrec_bench.types import DoubleArray

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels; y grows downwards."""

CHARACTER = 0.58
"""Mean width of a letter of a font without serifs, as a share of its size."""
NEAR, FAR = 9.0, (24.0, 40.0, 60.0, 84.0)
"""Distances of names from their points, in pixels; the far ones need a line to them."""
NAME_COST, FAR_COST = 100.0, 0.7
"""What covering a pixel of a name or point costs, and what each pixel of a leader; covering one of a line costs 1."""
SWEEPS, STARTS = 8, 25
"""How often at most each name is placed again, and with how many names, at most, all are begun with."""


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
    """Return where the name of each point stands, so that as little as can be found is covered.

    Args:
        points: Places of the points, in pixels.
        names: Their names.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        size: Of the font, in pixels.
        lines: What else is drawn, as thin boxes; it may be covered rather than a name.
    """
    options = [list(_around(x, y)) for x, y in points]
    boxes = np.array([
        [_box(label, CHARACTER * size * len(name), size) for label in each]
        for each, name in zip(options, names, strict=True)
    ])  # fmt: skip
    leaders = np.array([
        [(x, y, label.x - x, label.y - y) if label.far else (x, y, 0.0, 0.0) for label in each]
        for each, (x, y) in zip(options, points, strict=True)
    ])  # fmt: skip
    marks = np.array([(x - 5, y - 5, x + 5, y + 5) for x, y in points])
    frame = np.array([(0.0, 0.0, width, height)])
    foreign = ~np.eye(len(points), dtype=bool)[:, None]
    covered = np.where(foreign, _overlap(boxes, marks), 0.0).sum(axis=-1)
    outside = np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) - _overlap(boxes, frame)[..., 0]
    own = NAME_COST * (covered + outside) + FAR_COST * np.hypot(leaders[..., 2], leaders[..., 3])
    own += np.where(foreign, _crossing(leaders, marks), 0.0).sum(axis=-1)
    if len(lines):
        own += _overlap(boxes, np.array(lines)).sum(axis=-1)
    return [each[place] for each, place in zip(options, _settled(own, boxes, leaders), strict=True)]


def _settled(own: DoubleArray, boxes: DoubleArray, leaders: DoubleArray) -> list[int]:
    """Return which option each name takes: the best that is found with each name, or some of many, first in turn.

    Names take what costs least beside those that stand, one after the other and again until nobody moves.

    Args:
        own: What each option costs, whoever stands beside it, ``[n, k]``.
        boxes: What it covers, ``[n, k, 4]``.
        leaders: Its line to its point: start and what it goes from there, ``[n, k, 4]``.
    """
    n, k = own.shape
    beside = np.empty((n, k, n, k), np.float32)
    for number in range(n):
        beside[number] = NAME_COST * (
            _overlap(boxes[number], boxes.reshape(-1, 4))
            + _crossing(leaders[number], boxes.reshape(-1, 4))
            + _crossing(leaders.reshape(-1, 4), boxes[number]).T
        ).reshape(k, n, k)
        beside[number, :, number] = 0
    best, least = np.zeros(n, np.int64), np.inf
    starts = min(n, STARTS)
    for order in (np.roll(np.arange(n), -(start * n // starts)) for start in range(starts)):
        found, stands = np.zeros(n, np.int64), np.zeros(n, np.bool_)
        for _ in range(SWEEPS):
            before = found.copy()
            for number in order.tolist():
                others = np.flatnonzero(stands)
                costs = own[number] + beside[number, :, others, found[others]].sum(axis=0)
                found[number] = int(costs.argmin())
                stands[number] = True
            if (found == before).all():
                break
        every = np.arange(n)
        total = own[every, found].sum() + sum(beside[one, found[one], every, found].sum() for one in every) / 2
        if total < least - 1e-3:  # what machines round differently decides nothing
            best, least = found, total
    return best.tolist()


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
            for across in (12.0, far):
                yield Label(x + across, y + down, "left", True)
                yield Label(x - across, y + down, "right", True)


def _box(label: Label, text: float, size: float) -> Box:
    left = label.x - {"left": 0.0, "center": text / 2, "right": text}[label.align]
    return left, label.y - size / 2, left + text, label.y + size / 2


def _overlap(boxes: DoubleArray, others: DoubleArray) -> DoubleArray:
    """Return the area that boxes ``[..., 4]`` share with each of others ``[m, 4]``, as ``[..., m]``."""
    sides = [
        np.minimum(boxes[..., None, axis + 2], others[:, axis + 2])
        - np.maximum(boxes[..., None, axis], others[:, axis])
        for axis in (0, 1)
    ]
    shared: DoubleArray = np.maximum(sides[0], 0.0) * np.maximum(sides[1], 0.0)
    return shared


def _crossing(leaders: DoubleArray, boxes: DoubleArray) -> DoubleArray:
    """Return what leaders ``[..., 4]``, three pixels thick, cover of each of boxes ``[m, 4]``, as ``[..., m]``."""
    first, last = np.zeros(1), np.ones(1)  # shares of the way between which it is in the box
    for axis in (0, 1):
        start, way = leaders[..., None, axis], leaders[..., None, axis + 2]
        steps = np.where(way == 0, 1.0, way)  # a leader goes both across and down, or nowhere
        ends = (boxes[:, axis] - start) / steps, (boxes[:, axis + 2] - start) / steps
        first, last = np.maximum(first, np.minimum(*ends)), np.minimum(last, np.maximum(*ends))
    long = np.hypot(leaders[..., 2], leaders[..., 3])[..., None]
    covered: DoubleArray = 3.0 * long * np.maximum(last - first, 0.0)
    return covered


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
