"""How sessions went, from what their transcripts show and what their users want."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmrec_bench.errors import DataError, ProtocolError
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.session_candidates import Sessions
from mmrec_bench.evaluation.sessions import InteractiveEvaluator
from mmrec_bench.evaluation.simulated_users import ImpatientUser
from mmrec_bench.leaderboard.alignment import told
from mmrec_bench.metrics.sessions import Courses
from mmrec_bench.types import BoolArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Rows of a transcript: one a session, round and slot.

    Attributes:
        session: Number, int64 ``[N]``.
        round: From 1; the last guess stands in the round after the last, int64 ``[N]``.
        slot: From 1, int64 ``[N]``.
        item: Row number of an item, -1 for queries and fields, int64 ``[N]``.
        clicked: bool ``[N]``.
        rank: Place of the first wanted item when the round began, 0 where none is left, int64 ``[N]``.
    """

    session: IntArray
    round: IntArray
    slot: IntArray
    item: IntArray
    clicked: BoolArray
    rank: IntArray


def courses_of(shown: Shown, evaluator: InteractiveEvaluator, protocol: InteractiveProtocol) -> Courses:
    """Return how sessions went.

    Which items are wanted, and so whether and when a session succeeds, follows from the data alone. The rank of the
    first wanted item is that of the system's own scores, which no transcript holds: it is taken as told, and checked
    where the last guess shows it.

    Raises:
        ProtocolError: The protocol is one whose transcripts do not tell all that is judged.
        DataError: Rows that no such sessions could have.
    """
    if not protocol.last_guess or isinstance(protocol.user, ImpatientUser):
        raise ProtocolError(
            "transcripts tell ranks when a round begins, so that after the last round, and when a user has left, they "
            "lack one. Judge them with protocol.last_guess: true and users who stay"
        )
    rounds = protocol.cutoffs[-1]
    numbers = np.concatenate([block.numbers for block in evaluator.held])
    row = _rows(shown, numbers, rounds, protocol.slots)
    is_item = shown.item >= 0
    is_open, wanted = _looked_up(shown, row, evaluator.held)
    if (wrong := is_item & ~is_open).any():
        raise DataError(
            f"items that are not on the table are shown in session(s) {told(np.unique(shown.session[wrong]))}"
        )
    played = shown.round <= rounds
    clicked = wanted & ~_missed(shown, numbers, row, protocol)
    if (wrong := played & is_item & (clicked != shown.clicked)).any():
        liars = np.unique(shown.session[wrong])
        raise DataError(f"answers to items are not those of the simulated user in session(s) {told(liars)}")
    found = np.full(len(numbers), rounds + 1, np.int64)
    np.minimum.at(found, row[played & clicked], shown.round[played & clicked] - 1)
    if (late := shown.round - 1 > found[row]).any():
        raise DataError(f"rounds go on after an item was found in session(s) {told(np.unique(shown.session[late]))}")
    n_candidates = np.concatenate([block.open.sum(axis=1) for block in evaluator.held])
    if ((shown.rank < 0) | (shown.rank > n_candidates[row])).any():
        raise DataError("ranks must be 1 to the number of candidates, or 0 where no wanted item is left")
    if (wrong := ~played & ((shown.rank == 1) != wanted)).any():
        raise DataError(
            f"the last guess is wanted exactly if the rank is 1; not so in session(s) {told(shown.session[wrong])}"
        )
    ranks = np.zeros((len(numbers), rounds + 1), np.int64)
    ranks[row, shown.round - 1] = shown.rank
    ranks[np.arange(rounds + 1) > found[:, None]] = 1
    found[found > rounds] = -1
    return Courses(found, ranks, np.full(len(numbers), -1, np.int64), n_candidates)


def _rows(shown: Shown, numbers: IntArray, rounds: int, slots: int) -> IntArray:
    """Return the place of each row's session among those that are held, int64 ``[N]``."""
    if len(strangers := np.setdiff1d(shown.session, numbers)):
        raise DataError(f"{len(strangers)} session(s) are not held: {told(strangers)}")
    if len(missing := np.setdiff1d(numbers, shown.session)):
        raise DataError(f"{len(missing)} session(s) are missing: {told(missing)}")
    last = np.where(shown.round > rounds, 1, slots)
    if ((shown.round < 1) | (shown.round > rounds + 1) | (shown.slot < 1) | (shown.slot > last)).any():
        raise DataError(f"rounds must be 1 to {rounds}, and {rounds + 1} for the last guess; slots 1 to {slots}")
    places = (shown.session * (rounds + 2) + shown.round) * (slots + 1) + shown.slot
    items = np.stack([shown.session, shown.item])[:, shown.item >= 0]
    if len(np.unique(places)) < len(places) or np.unique(items, axis=1).shape != items.shape:
        raise DataError("a slot, or an item, stands twice in a session")
    return np.searchsorted(numbers, shown.session).astype(np.int64)


def _looked_up(shown: Shown, row: IntArray, held: list[Sessions]) -> tuple[BoolArray, BoolArray]:
    """Return whether what is shown is an item on the table, and whether it is wanted, bool ``[N]`` each."""
    is_open, wanted = np.zeros(len(row), np.bool_), np.zeros(len(row), np.bool_)
    start = 0
    for block in held:
        rows = np.flatnonzero((row >= start) & (row < start + len(block.numbers)) & (shown.item >= 0))
        at, item = row[rows] - start, shown.item[rows]
        there = np.ones(len(rows), np.bool_)
        if block.items is not None:
            same = block.items[at] == item[:, None]
            there, item = same.any(axis=1), same.argmax(axis=1)
        is_open[rows] = there & block.open[at, item]
        wanted[rows] = there & block.wanted[at, item]
        start += len(block.numbers)
    return is_open, wanted


def _missed(shown: Shown, numbers: IntArray, row: IntArray, protocol: InteractiveProtocol) -> BoolArray:
    """Return which rows the simulated user overlooks, bool ``[N]``; never the last guess."""
    moment = (shown.round - 1) * protocol.slots + shown.slot - 1
    n_moments = protocol.cutoffs[-1] * protocol.slots
    missed: BoolArray = np.stack([protocol.user.misses(numbers, number) for number in range(n_moments)])
    overlooked: BoolArray = missed[np.minimum(moment, n_moments - 1), row] & (moment < n_moments)
    return overlooked
