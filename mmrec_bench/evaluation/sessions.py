"""The evaluator of the interactive task: holds sessions with simulated users, and measures them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import ProtocolError
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.session_candidates import Sessions, sessions
from mmrec_bench.metrics.identity import MetricId
from mmrec_bench.metrics.sessions import SESSION_METRICS, Courses
from mmrec_bench.models.interactive.base import Feedback, InteractiveSystem, State
from mmrec_bench.types import BoolArray, DoubleArray, IntArray

ITEM, TERM, FIELD = 0, 1, 2
"""Kinds of what is shown."""


@dataclass(frozen=True, slots=True, eq=False)
class Transcript:
    """What was shown and answered: one row a session, round and slot, in this order.

    Attributes:
        session: int64 ``[N]``.
        round: From 1, int64 ``[N]``.
        slot: From 1, int64 ``[N]``.
        kind: `ITEM`, `TERM` or `FIELD`, int64 ``[N]``.
        node: Item row, term of the lexicon, or closed field, int64 ``[N]``.
        clicked: Whether the user clicked, or named words of the field, bool ``[N]``.
        wanted: Whether a user who answers the truth would, bool ``[N]``.
        rank: Place of the first wanted item when the round began, int64 ``[N]``; 0 where none was left.
    """

    session: IntArray
    round: IntArray
    slot: IntArray
    kind: IntArray
    node: IntArray
    clicked: BoolArray
    wanted: BoolArray
    rank: IntArray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SessionMeasures:
    """How the sessions of one held-out part went, in numbers.

    Attributes:
        numbers: Number of each session, int64 ``[S]``.
        users: User of each session, int64 ``[S]``.
        n_wanted: Wanted items among the candidates of each session, int64 ``[S]``.
        courses: How sessions went.
        per_session: By metric such as ``success@5``, float64 ``[S]``, unrounded.
        means: By metric, the mean over sessions, unrounded.
    """

    numbers: IntArray
    users: IntArray
    n_wanted: IntArray
    courses: Courses
    per_session: Mapping[str, DoubleArray]
    means: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class InteractiveEvaluation(SessionMeasures):
    """Everything measured of one system on one held-out part.

    Attributes:
        transcript: What was shown and answered.
        last_guess: Item that was shown once more after the last round, int64 ``[S]``; -1 where none was.
        curve: Mean over sessions after 0, 1, ..., R rounds, by name: ``found``, the share that has found an item, and
            ``first_rank``.
        n_clicked_queries: Queries that were clicked.
        n_violations: Those after which some item with all words of the query stands below one that contradicts it and
            that it stood above, or level with, before.
    """

    transcript: Transcript
    last_guess: IntArray
    curve: Mapping[str, list[float]]
    n_clicked_queries: int
    n_violations: int


class InteractiveEvaluator:
    """Holds the sessions of one held-out part with any system.

    Args:
        protocol: What is on the table, who answers, what counts.
        known: Rows that the base has learned from.
        truth: Held-out rows: what users want.
        device: Where systems live.

    Raises:
        ProtocolError: No user wants any of the candidates.
    """

    def __init__(
        self, protocol: InteractiveProtocol, known: Interactions, truth: Interactions, device: torch.device
    ) -> None:
        self._protocol, self._device = protocol, device
        self.held: list[Sessions] = []
        """What is on the table of each session, a block at a time."""
        self.n_without_wanted = 0
        """Sessions that were not held, for nothing on the table was wanted."""
        for block in sessions(protocol.candidates, protocol.sessions_per_user, known, truth):
            self.held.append(_with_wanted(block))
            self.n_without_wanted += len(block.users) - len(self.held[-1].users)
        if not any(len(block.users) for block in self.held):
            raise ProtocolError("no user wants any of the candidates, so no session can be held. Change protocol.split")

    def listed(self) -> tuple[IntArray, IntArray, BoolArray]:
        """Return session, item and whether it is wanted, of all candidates that `Sessions.listed` names."""
        sessions, items, wanted = zip(*(block.listed() for block in self.held), strict=True)
        return np.concatenate(sessions), np.concatenate(items), np.concatenate(wanted)

    def judged(self, courses: Courses) -> SessionMeasures:
        """Measure how all sessions went, in the order of `held`, whoever has held them."""
        per_session = {
            str(MetricId(name, k)): SESSION_METRICS[name].compute(courses, k, self._protocol.options)
            for name in self._protocol.metrics
            for k in self._protocol.cutoffs
        }
        return SessionMeasures(
            numbers=np.concatenate([block.numbers for block in self.held]),
            users=np.concatenate([block.users for block in self.held]),
            n_wanted=np.concatenate([block.wanted.sum(axis=1) for block in self.held]),
            courses=courses,
            per_session=per_session,
            means={name: float(values.mean()) for name, values in per_session.items()},
        )

    @torch.no_grad()
    def evaluate(self, system: InteractiveSystem) -> InteractiveEvaluation:
        """Hold all sessions."""
        rounds = self._protocol.cutoffs[-1]
        held = [_Block(block, system, self._protocol, self._device) for block in self.held if len(block.users)]
        for block in held:
            block.play(rounds)
        courses = Courses(
            np.concatenate([block.found for block in held]),
            np.concatenate([block.ranks for block in held]),
            np.concatenate([block.left for block in held]),
            np.concatenate([block.sessions.open.sum(axis=1) for block in held]),
        )
        shown = [np.concatenate(columns) for columns in zip(*(block.transcript() for block in held), strict=True)]
        judged = self.judged(courses)
        found, after = courses.found[:, None], np.arange(rounds + 1)
        first = np.where(courses.ranks > 0, courses.ranks, courses.n_candidates[:, None])
        return InteractiveEvaluation(
            numbers=judged.numbers,
            users=judged.users,
            n_wanted=judged.n_wanted,
            courses=courses,
            per_session=judged.per_session,
            means=judged.means,
            transcript=Transcript(*shown),
            last_guess=np.concatenate([block.last_guess for block in held]),
            curve={
                "found": [float(share) for share in ((found >= 0) & (found < after)).mean(axis=0)],
                "first_rank": [float(mean) for mean in first.mean(axis=0)],
            },
            n_clicked_queries=sum(block.n_clicked_queries for block in held),
            n_violations=sum(block.n_violations for block in held),
        )


class _Block:
    """Sessions that are held at once."""

    def __init__(
        self, held: Sessions, system: InteractiveSystem, protocol: InteractiveProtocol, device: torch.device
    ) -> None:
        self.sessions = held
        self._system, self._user, self._slots = system, protocol.user, protocol.slots
        self._guesses_last = protocol.last_guess
        self._wanted = torch.from_numpy(held.wanted).to(device)
        self._device = device
        n = len(held.users)
        self.found, self.left, self.last_guess = (np.full(n, -1, np.int64) for _ in range(3))
        self.ranks = np.zeros((n, protocol.cutoffs[-1] + 1), np.int64)
        self.n_clicked_queries = self.n_violations = 0
        self._rows: list[tuple[IntArray, ...]] = []

    def play(self, rounds: int) -> None:
        """Play all rounds with every session that is not over."""
        numbers = self.sessions.numbers
        state = self._system.start(self.sessions.candidates(self._device))
        board = state.board
        truth = board.matching(self._wanted.float()) > 0  # terms whose words some wanted item has
        fruitless = np.zeros(len(numbers), np.int64)
        for number in range(rounds):
            self._note_ranks(state, number)
            playing = (self.found < 0) & (self.left < 0)
            if not playing.any():
                self.ranks[:, number + 1 :] = self.ranks[:, number : number + 1]
                break
            shown = self._system.propose(state, self._slots)
            shown = shown.masked_fill(~torch.from_numpy(playing).to(self._device).unsqueeze(1), -1)
            right, clicked, named = self._answers(state, shown, truth, number)
            self._record(state, shown, clicked, right, number)
            found = (clicked & (shown < board.n_items)).any(dim=1).cpu().numpy()
            self.found[playing & found] = number
            fruitless = np.where(clicked.any(dim=1).cpu().numpy(), 0, fruitless + 1)
            leaves = playing & (self.found < 0) & self._user.leaves(numbers, number, fruitless)
            self.left[leaves] = number + 1
            before = state
            state = self._system.observe(state, Feedback(shown, clicked, named))
            self._count_violations(before, state, shown, clicked)
        else:
            self._note_ranks(state, rounds)
            if self._guesses_last:
                self.last_guess = np.where((self.found < 0) & (self.left < 0), _best_items(state), -1)
        for number in range(self.ranks.shape[1]):
            self.ranks[(self.found >= 0) & (self.found < number), number] = 1

    def transcript(self) -> tuple[IntArray, ...]:
        """Return the columns of `Transcript`, sorted."""
        columns = [np.concatenate(column) for column in zip(*self._rows, strict=True)]
        order = np.lexsort((columns[2], columns[1], columns[0]))
        return tuple(column[order] for column in columns)

    def _answers(self, state: State, shown: Tensor, truth: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return what should be clicked and what is, bool ``[S, N]``, and which words are named, ``[S, Q]``."""
        board, user, numbers = state.board, self._user, self.sessions.numbers
        none = torch.zeros(len(truth), board.n_fields + 1, dtype=torch.bool, device=truth.device)
        of_fields = none.scatter(1, board.fields.masked_fill(~truth, -1) + 1, True)[:, 1:]
        right = torch.cat((self._wanted, truth, of_fields), dim=1).gather(1, shown.clamp(min=0)) & (shown >= 0)
        is_term = board.as_terms(shown) >= 0
        clicked = right.clone()
        for slot in range(shown.shape[1]):
            moment = number * shown.shape[1] + slot
            misses = torch.from_numpy(user.misses(numbers, moment)).to(self._device)
            slips = torch.from_numpy(user.slips(numbers, moment)).to(self._device)
            clicked[:, slot] &= ~misses
            clicked[:, slot] |= slips & is_term[:, slot] & ~right[:, slot]
        if not user.clicks_queries:
            clicked &= board.as_items(shown) >= 0
        asked = none.scatter(1, (board.as_fields(shown) + 1).masked_fill(~clicked, 0), True)
        asked[:, 0] = False  # terms of no closed field
        return right, clicked, truth & asked.gather(1, board.fields + 1)

    def _record(self, state: State, shown: Tensor, clicked: Tensor, right: Tensor, number: int) -> None:
        board = state.board
        n_items, n_terms = board.n_items, board.n_terms
        slots = shown.cpu().numpy()
        session, slot = (slots >= 0).nonzero()
        picked = slots[session, slot]
        kind = np.where(picked < n_items, ITEM, np.where(picked < n_items + n_terms, TERM, FIELD))
        fields = torch.arange(board.n_fields, device=shown.device).expand(len(slots), -1)
        nodes = torch.cat((board.item_rows(), board.terms, fields), dim=1)
        node = nodes.gather(1, shown.clamp(min=0)).cpu().numpy()[session, slot]
        answers, wanted = (column.cpu().numpy()[session, slot] for column in (clicked, right))
        ranks = self.ranks[session, number]
        numbers = self.sessions.numbers[session]
        self._rows.append((numbers, np.full_like(numbers, number + 1), slot + 1, kind, node, answers, wanted, ranks))

    def _note_ranks(self, state: State, number: int) -> None:
        """Note the ranks when some rounds are over; for those who have left before, nothing moves any more."""
        gone = (self.left >= 0) & (self.left < number)
        self.ranks[:, number] = np.where(gone, self.ranks[:, number - 1], self._first_ranks(state))

    def _first_ranks(self, state: State) -> IntArray:
        """Return the place of the first wanted item among those not shown, 0 where none is left, int64 ``[S]``."""
        values, is_open = state.item_values, state.open[:, : state.board.n_items]
        ties = state.board.ties[:, : state.board.n_items]
        wanted = self._wanted & is_open
        best = values.masked_fill(~wanted, -torch.inf).max(dim=1, keepdim=True).values
        first = ties.masked_fill(~(wanted & (values == best)), torch.iinfo(torch.int64).max).min(dim=1, keepdim=True)
        ahead = is_open & ((values > best) | ((values == best) & (ties < first.values)))
        ranks = (ahead.sum(dim=1) + 1).masked_fill(~wanted.any(dim=1), 0)
        return ranks.cpu().numpy()

    def _count_violations(self, before: State, after: State, shown: Tensor, clicked: Tensor) -> None:
        board = before.board
        queries = board.as_terms(shown).masked_fill(~clicked, -1)
        for slot in range(shown.shape[1]):
            terms = queries[:, slot]
            rows = (terms >= 0).nonzero().squeeze(1)
            if not len(rows):
                continue
            having, against = board.items_of(terms), board.contradicting(terms)
            is_open = after.open[:, : board.n_items]
            self.n_clicked_queries += len(rows)
            tables = (before.item_values, after.item_values, having & is_open, against & is_open)
            self.n_violations += int(_overtaken(*(table.index_select(0, rows) for table in tables)).sum())


def _best_items(state: State) -> IntArray:
    """Return the best item that has not been shown, int64 ``[S]``; -1 where none is left."""
    best = state.board.best(state.item_values)
    rows = state.board.item_rows().gather(1, best.clamp(min=0).unsqueeze(1)).squeeze(1)
    return rows.masked_fill(best < 0, -1).cpu().numpy()


def _overtaken(before: Tensor, after: Tensor, having: Tensor, against: Tensor) -> Tensor:
    """Return where an item of `against` that was not above one of `having` before is above it after, bool ``[S]``."""
    # By falling value before, level ones of `having` first: whatever of `against` follows was not above.
    order = torch.argsort(having.int(), dim=1, descending=True, stable=True)
    order = order.gather(1, torch.argsort(before.gather(1, order), dim=1, descending=True, stable=True))
    now = after.gather(1, order)
    lowest = now.masked_fill(~having.gather(1, order), torch.inf).cummin(dim=1).values
    return (against.gather(1, order) & (now > lowest)).any(dim=1)


def _with_wanted(held: Sessions) -> Sessions:
    rows = held.wanted.any(axis=1)
    items = None if held.items is None else held.items[rows]
    return Sessions(held.numbers[rows], held.users[rows], items, held.open[rows], held.wanted[rows])
