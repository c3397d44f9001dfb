"""Lists of canaries in the form that a track judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.points import Points
from mmrec_bench.evaluation.ctr_protocol import CtrProtocol
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.protocol import ProtocolConfig, RetrievalProtocol
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.evaluation.retrieval import exclusions_of
from mmrec_bench.evaluation.session_candidates import Sessions
from mmrec_bench.evaluation.sessions import InteractiveEvaluator
from mmrec_bench.experiments.prepare import Prepared
from mmrec_bench.experiments.stations.base import part_column
from mmrec_bench.leaderboard.canaries import CANARIES, Canary, Pairs, train_copy
from mmrec_bench.leaderboard.scoring import CPU, HasProtocol, held_out
from mmrec_bench.leaderboard.words import PARTS
from mmrec_bench.retrieval.base import Exclusions
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from mmrec_bench.types import DoubleArray, IntArray


def canary_lists(name: str, track: HasProtocol, prepared: Prepared, seed: int = 0) -> pd.DataFrame:
    """Return the lists of a canary for both parts of a track, in the columns of ``rankings.parquet``.

    Args:
        name: One of `CANARIES`.
        track: Whose protocol.
        prepared: Data and split.
        seed: Of the chance of ``random``.

    Raises:
        RegistryError: There is no such canary.
        ProtocolError: The task is none for it.
    """
    canary, protocol = CANARIES[name], track.protocol
    popularity = _popularity(prepared.split.train)
    make = partial(_MAKERS[type(protocol)], canary, protocol, prepared, popularity, seed)
    frames = []
    for part in PARTS:
        columns = make(part, held_out(prepared, part))
        n = len(columns["user_id"])
        ids = {"user_id": prepared.dataset.user_ids[columns["user_id"]]}
        ids["item_id"] = prepared.dataset.item_ids[columns["item_id"]]
        frames.append(pd.DataFrame({"part": part_column(part, PARTS, n), **columns, **ids}))
    return pd.concat(frames, ignore_index=True)


Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Scorer:
    """A canary as a model; see `retrieval.base.Scorer`."""

    canary: Canary
    truth: Interactions
    train: Interactions
    popularity: DoubleArray
    seed: int

    @property
    def n_users(self) -> int:
        return self.truth.n_users

    @property
    def n_items(self) -> int:
        return self.truth.n_items

    def scores(self, users: Tensor) -> Tensor:
        rows = users.cpu().numpy()
        wanted, known = (part.matrix()[rows].toarray().ravel() for part in (self.truth, self.train))
        pairs = Pairs(
            np.repeat(rows, self.n_items), np.tile(np.arange(self.n_items), len(rows)),
            wanted.astype(np.float64), known > 0, self.popularity, self.seed,
        )  # fmt: skip
        values = self.canary(pairs).astype(np.float32).reshape(len(rows), self.n_items)
        return torch.from_numpy(values)


def _retrieved(
    canary: Canary, protocol: RetrievalProtocol, prepared: Prepared, popularity: DoubleArray, seed: int, part: str,
    truth: Interactions,
) -> Columns:  # fmt: skip
    split, users = prepared.split, np.unique(truth.users)
    excluded = exclusions_of(
        [split.train, split.valid] if part == "test" and "valid" in protocol.exclude else [split.train]
    )
    if canary is train_copy:
        excluded = Exclusions.none(truth.n_users)
    scorer = _Scorer(canary, truth, split.train, popularity, seed)
    retriever = build_retriever(RetrieverConfig(backend="torch"), CPU)
    found = retriever.top_k(scorer, users, protocol.cutoffs[-1], excluded, prepared.ties)
    row, place = (found.items >= 0).nonzero()
    return {
        "user_id": users[row],
        "rank": place + 1,
        "item_id": found.items[row, place],
        "score": found.scores[row, place],
    }


def _arranged(
    canary: Canary, protocol: RankingProtocol, prepared: Prepared, popularity: DoubleArray, seed: int, part: str,
    lists: Lists,
) -> Columns:  # fmt: skip
    users = lists.users[lists.list_of]
    assert lists.labels is not None  # the evaluator refuses lists without
    values = canary(Pairs(users, lists.items, lists.labels.astype(np.float64), None, popularity, seed))
    order = np.lexsort((prepared.ties[lists.items], -values, lists.list_of))
    return {
        "list": lists.list_of[order],
        "user_id": users[order],
        "rank": np.arange(len(lists)) - lists.offsets()[lists.list_of] + 1,
        "item_id": lists.items[order],
        "score": values[order].astype(np.float32),
        "label": lists.labels[order].astype(np.int32),
    }


def _clicked(
    canary: Canary, protocol: CtrProtocol, prepared: Prepared, popularity: DoubleArray, seed: int, part: str,
    points: Points,
) -> Columns:  # fmt: skip
    values = canary(Pairs(points.users, points.items, points.labels.astype(np.float64), None, popularity, seed))
    return {
        "user_id": points.users,
        "item_id": points.items,
        "timestamp": points.timestamps,
        "label": points.labels,
        "probability": values.astype(np.float32),
    }


def _held(
    canary: Canary, protocol: InteractiveProtocol, prepared: Prepared, popularity: DoubleArray, seed: int, part: str,
    truth: Interactions,
) -> Columns:  # fmt: skip
    """Return transcripts of sessions in which items alone are shown, the best first."""
    held = InteractiveEvaluator(protocol, prepared.split.train, truth, CPU).held
    found = [_session_columns(canary, protocol, block, prepared.ties, popularity, seed) for block in held]
    return {name: np.concatenate([columns[name] for columns in found]) for name in found[0]}


def _session_columns(
    canary: Canary, protocol: InteractiveProtocol, block: Sessions, ties: IntArray, popularity: DoubleArray, seed: int
) -> Columns:
    """Show the candidates of some sessions in the order of their values, until one that is wanted is clicked."""
    width = block.open.shape[1]
    items = np.broadcast_to(np.arange(width), block.open.shape) if block.items is None else np.maximum(block.items, 0)
    users = np.repeat(block.users, width)
    pairs = Pairs(users, items.ravel(), block.wanted.ravel().astype(np.float64), None, popularity, seed)
    values = np.where(block.open, canary(pairs).reshape(block.open.shape), -np.inf)
    order = np.lexsort((ties[items], -values), axis=1)
    items, wanted, there = (np.take_along_axis(table, order, axis=1) for table in (items, block.wanted, block.open))
    slots, n_shown = protocol.slots, protocol.slots * protocol.cutoffs[-1]
    place = np.arange(width)
    missed = np.stack([protocol.user.misses(block.numbers, moment) for moment in range(n_shown)], axis=1)
    overlooked = np.zeros_like(wanted)
    overlooked[:, :n_shown] = missed[:, :width]
    clicked = wanted & ~overlooked
    over = np.where(clicked[:, :n_shown].any(axis=1), clicked[:, :n_shown].argmax(axis=1) // slots, n_shown)
    # Places from each one on until the next that is wanted; of the last guess alone, whoever is wanted is the end.
    next_wanted = np.minimum.accumulate(np.where(wanted, place, width)[:, ::-1], axis=1)[:, ::-1]
    first = np.minimum(place, n_shown) // slots * slots
    ahead = next_wanted[:, first] - first + 1
    shown = there & (place <= n_shown) & (place // slots <= over[:, None])
    ranks = np.where(next_wanted[:, first] < width, ahead, 0)
    row, column = shown.nonzero()
    session, listed, is_wanted = block.listed()
    at = np.searchsorted(block.numbers, session)
    starts = np.searchsorted(session, block.numbers)
    n, none = len(session), np.zeros(len(session), np.int64)
    columns = {  # what lies on the table, in round 0, then what is shown
        "session": (session, block.numbers[row]),
        "user_id": (block.users[at], block.users[row]),
        "round": (none, column // slots + 1),
        "slot": (np.arange(n) - starts[at] + 1, column % slots + 1),
        "kind": (np.full(n, "item"), np.full(len(row), "item")),
        "item_id": (listed, items[row, column]),
        "text": (np.full(n, None), np.full(len(row), None)),
        "answer": (np.full(n, None), np.full(len(row), None)),
        "clicked": (none > 0, clicked[row, column]),
        "wanted": (is_wanted, wanted[row, column]),
        "rank": (ranks[at, 0], ranks[row, column]),
    }
    return {name: np.concatenate(parts) for name, parts in columns.items()}


_MAKERS: Mapping[type[ProtocolConfig], Callable[..., Columns]] = {
    RetrievalProtocol: _retrieved,
    RankingProtocol: _arranged,
    CtrProtocol: _clicked,
    InteractiveProtocol: _held,
}


def _popularity(train: Any) -> DoubleArray:
    chosen = getattr(train, "labels", None)
    counts = np.bincount(train.items, None if chosen is None else chosen > 0, train.n_items).astype(np.float64)
    return counts / max(float(counts.max(initial=0)), 1.0)
