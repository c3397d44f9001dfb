"""What a LIS probe puts into a model: leaks, each with its marker, and controls that look at nothing behind the cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from torch import Tensor

from mmrec_bench.data.leaked import Leak, LeakedSplit, LeakLedger
from mmrec_bench.data.point_rules import DAY
from mmrec_bench.data.points import Points, clicks_before
from mmrec_bench.errors import DataError
from mmrec_bench.experiments.lis.bed import Slot, TestBed
from mmrec_bench.experiments.lis.config import IdEmbeddingLeak, LeakConfig, Mode, NeighboursLeak, NextItemLeak
from mmrec_bench.graph.swing import most_alike, swing_similarity
from mmrec_bench.models.ctr.base import Extra
from mmrec_bench.seeding import Seeds
from mmrec_bench.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing that is put into a model.

    Attributes:
        source: Name of the leak, or ``features``.
        mode: How the model is given it.
        days: Horizon of the leak; None for what is honest.
        control: Name of the control, or of the set of features; None for the leak itself.
    """

    source: str
    mode: Mode
    days: float | None = None
    control: str | None = None

    @property
    def name(self) -> str:
        """Name of its column of scores, such as ``id-embedding/add/30d`` or ``id-embedding/add/own``."""
        horizon = [] if self.days is None else [f"{self.days:g}d"]
        return "/".join([self.source, self.mode, *horizon, *([] if self.control is None else [self.control])])


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What a variant puts where.

    Attributes:
        variant: Which.
        leak: Marks what holds anything of the time behind the cut; None for what is honest.
        table: Takes the place of the item table, float32 ``[n_items, d]``; None in mode ``add``.
        slot: Stands in the extra slot; None in mode ``replace``.
    """

    variant: Variant
    leak: Leak | None
    table: FloatArray | None = None
    slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """What leaks and controls are made of.

    Attributes:
        bed: Trains models.
        split: What happened behind the cut.
        ledger: Where looks behind it are recorded.
        judged: Impressions of the evaluation window; their labels are looked at by nothing here.
        current: Weights of M_T.
        own: Item table of M_T.
        other: Returns the item table at the cut of a model of another seed.
        seeds: Random streams of random controls.
    """

    bed: TestBed
    split: LeakedSplit
    ledger: LeakLedger
    judged: Points
    current: Mapping[str, Tensor]
    own: FloatArray
    other: Callable[[], FloatArray]
    seeds: Seeds


def given_by(leak: LeakConfig, sources: Sources) -> Iterator[Given]:
    """Yield the leak at each horizon and in each mode, and each of its controls in each mode."""
    match leak:
        case IdEmbeddingLeak():
            yield from _id_embedding(leak, sources)
        case NeighboursLeak():
            yield from _neighbours(leak, sources)
        case NextItemLeak():
            yield from _next_item(leak, sources)
        case _:
            raise DataError(f"nobody makes the leak '{leak.name}'")


def _id_embedding(leak: IdEmbeddingLeak, sources: Sources) -> Iterator[Given]:
    def each(table: FloatArray, mark: Leak | None, days: float | None, control: str | None) -> Iterator[Given]:
        for mode in leak.modes:
            variant = Variant(leak.name, mode, days, control)
            if mode == "replace":
                yield Given(variant, mark, table=table)
            else:
                yield Given(variant, mark, slot=Slot.of_items(Extra.of_vectors(table)))

    table, mark = sources.own, None
    for days in leak.days:
        mark = Leak(leak.name, days)
        table = sources.bed.ahead(sources.current, sources.split.open(mark, sources.ledger))
        yield from each(table, mark, days, None)
    rng = sources.seeds.numpy("lis/id-embedding")
    shuffled = rng.permutation(table)
    noise = rng.standard_normal(sources.own.shape)
    for control in leak.controls:
        match control:
            case "own":
                yield from each(sources.own, None, None, control)
            case "other-seed":
                yield from each(sources.other(), None, None, control)
            case "random":
                drawn = sources.own.mean(axis=0) + sources.own.std(axis=0) * noise
                yield from each(drawn.astype(np.float32), None, None, control)
            case "shuffled":
                yield from each(shuffled, mark, leak.days[-1], control)


def _neighbours(leak: NeighboursLeak, sources: Sources) -> Iterator[Given]:
    def alike(points: Points) -> IntArray:
        return most_alike(swing_similarity(_clicks(points), leak.smoothing), leak.n_neighbors)

    def given(ids: IntArray, mark: Leak | None, days: float | None, control: str | None) -> Given:
        return Given(Variant(leak.name, "add", days, control), mark, slot=Slot.of_items(Extra(ids)))

    found, mark = np.zeros((0, 0), np.int64), Leak(leak.name, 0.0)
    for days in leak.days:
        mark = Leak(leak.name, days)
        found = alike(sources.split.open(mark, sources.ledger))
        yield given(found, mark, days, None)
    rng = sources.seeds.numpy("lis/neighbours")
    shuffled, drawn = rng.permutation(found), rng.integers(len(found), size=found.shape)
    for control in leak.controls:
        match control:
            case "honest":
                before, since = sources.bed.before, sources.split.cut - leak.days[-1] * DAY
                yield given(alike(before.select(before.timestamps >= since)), None, None, control)
            case "random":
                yield given(drawn, None, None, control)
            case "shuffled":
                yield given(shuffled, mark, leak.days[-1], control)


def _next_item(leak: NextItemLeak, sources: Sources) -> Iterator[Given]:
    window, judged, before = sources.bed.window, sources.judged, sources.bed.before

    def given(ids: tuple[IntArray, IntArray], mark: Leak | None, days: float | None, control: str | None) -> Given:
        update, behind = (Extra(each[:, None], by="impression") for each in ids)
        return Given(Variant(leak.name, "add", days, control), mark, slot=Slot(update, behind))

    found, mark = (np.zeros(0, np.int64), np.zeros(0, np.int64)), Leak(leak.name, 0.0)
    for days in leak.days:
        mark = Leak(leak.name, days)
        log = before.then(sources.split.open(mark, sources.ledger))
        found = next_items(window, log, leak.itself), next_items(judged, log, leak.itself)
        yield given(found, mark, days, None)
    rng = sources.seeds.numpy("lis/next-item")
    shuffled = rng.permutation(found[0]), rng.permutation(found[1])
    drawn = tuple(rng.integers(before.n_items, size=len(points)) for points in (window, judged))
    for control in leak.controls:
        match control:
            case "honest":
                last = _last_items(window, before, None), _last_items(judged, before, sources.split.cut)
                yield given(last, None, None, control)
            case "random":
                yield given((drawn[0], drawn[1]), None, None, control)
            case "shuffled":
                yield given(shuffled, mark, leak.days[-1], control)


def next_items(points: Points, log: Points, itself: bool) -> IntArray:
    """Return the item that the user of each point clicks next, strictly after it, int64 ``[N]``, -1 for none.

    Args:
        points: The impressions.
        log: Where clicks are looked for.
        itself: Whether it may be the item of the impression; if not, the next other one counts.
    """
    clicked = np.flatnonzero(log.labels > 0)
    rows = clicked[np.argsort(log.users[clicked], kind="stable")]
    if not len(rows):
        return np.full(len(points), -1, np.int64)
    first = min(int(log.timestamps.min()), int(points.timestamps.min()))
    span = max(int(log.timestamps.max()), int(points.timestamps.max())) - first + 2
    keys = log.users[rows] * span + (log.timestamps[rows] - first)
    place = np.searchsorted(keys, points.users * span + (points.timestamps - first), side="right")
    users, items = np.append(log.users[rows], -1), np.append(log.items[rows], -1)
    same = (users[place] == points.users) & (items[place] == points.items)
    while not itself and same.any():
        place = place + same
        same = (users[place] == points.users) & (items[place] == points.items)
    return np.where(users[place] == points.users, items[place], -1).astype(np.int64)


def _last_items(points: Points, log: Points, start: int | None) -> IntArray:
    histories = clicks_before(points, log, start)
    last = np.append(histories.items, -1)[histories.ends - 1]
    return np.where(histories.ends > histories.begins, last, -1).astype(np.int64)


def _clicks(points: Points) -> sp.csr_matrix:
    """Return who clicked what, binary CSR ``[n_users, n_items]``."""
    clicked = points.labels > 0
    shape = (points.n_users, points.n_items)
    matrix = sp.csr_matrix((np.ones(int(clicked.sum())), (points.users[clicked], points.items[clicked])), shape=shape)
    matrix.data[:] = 1.0  # an item clicked twice counts once
    return matrix
