"""What an interactive system is: it starts sessions, proposes what to show next, and observes what users answer."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import torch
from pydantic import PositiveFloat, model_validator
from torch import Tensor, nn

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lexicon import Lexicon, matrix_of
from mmrec_bench.graph.relations import Relations, relate
from mmrec_bench.models.base import ClosedForm, Model, ModelConfig
from mmrec_bench.models.interactive.board import Board, Candidates
from mmrec_bench.models.interactive.board_kinds import CatalogueBoard, SampledBoard, SharedTensors
from mmrec_bench.retrieval.base import Representations, Scoring
from mmrec_bench.seeding import Seeds
from mmrec_bench.settings import explained_error
from mmrec_bench.types import IntArray

Initialiser: TypeAlias = Literal["sigmoid", "min-max", "softmax", "uniform"]
"""How scores of the base become relevance in [0, 1] among the candidates of a session: ``sigmoid`` of standardised
scores, stretched to [0, 1]; ``min-max``: stretched alone; ``softmax`` of standardised scores, over its maximum;
``uniform``: 1 for all, as if the user were unknown."""


class InteractiveConfig(ModelConfig):
    """Base of the configs of all interactive systems."""

    initialiser: Initialiser = "softmax"
    """How scores of the base become relevance in [0, 1] among the candidates of a session."""

    def relevance(self, scores: Tensor, is_open: Tensor) -> Tensor:
        """Return the relevance of the candidates; see `relevance_of`."""
        return relevance_of(scores, is_open, self.initialiser)

    def changed(self, names: Sequence[str]) -> list[str]:
        """Return which of these settings are not the default."""
        return [name for name in names if getattr(self, name) != type(self).model_fields[name].default]


class GuessingConfig(InteractiveConfig):
    """Base of the configs of systems that weigh items against queries."""

    sharpness: PositiveFloat = 2.0
    """Of the softmax: standardised scores are multiplied by it. The surer the base, the sooner items are shown."""

    @model_validator(mode="after")
    def _sharpness_is_read(self) -> Self:
        if self.initialiser != "softmax" and self.changed(("sharpness",)):
            raise explained_error(f"sharpness is read by the initialiser softmax, not {self.initialiser}; remove it")
        return self

    def relevance(self, scores: Tensor, is_open: Tensor) -> Tensor:
        """Return the relevance of the candidates; see `relevance_of`."""
        return relevance_of(scores, is_open, self.initialiser, self.sharpness)


@dataclass(frozen=True, slots=True)
class InteractiveContext:
    """Everything an interactive system may be built from.

    Attributes:
        train: Interactions of offline users; those who come online are not among them.
        lexicon: Words and queries.
        base: What the trained base model exports.
        ties: Canonical order of equal items, int64 ``[n_items]``.
        seeds: Random streams of the run.
        batch_size: Configured batch size.
    """

    train: Interactions
    lexicon: Lexicon
    base: Scoring
    ties: IntArray
    seeds: Seeds = field(default_factory=lambda: Seeds(0))
    batch_size: int = 2048


@dataclass(frozen=True, slots=True)
class Feedback:
    """What users answered in a round.

    Attributes:
        shown: Slots that were shown, int64 ``[S, N]``; -1 where nothing was.
        clicked: Which of them were clicked, bool ``[S, N]``; a clicked item that the user wants ends the session.
        named: Words that were named of the fields that were asked for, bool ``[S, Q]``.
    """

    shown: Tensor
    clicked: Tensor
    named: Tensor

    def by_slot(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what was shown, int64 ``[S]``, and whether it was clicked, bool ``[S, 1]``, one slot at a time."""
        for slot in range(self.shown.shape[1]):
            yield self.shown[:, slot], self.clicked[:, slot].unsqueeze(1)


@dataclass(frozen=True, slots=True)
class State:
    """Where the sessions of a block stand.

    Attributes:
        board: Their slots: C items, Q terms, F closed fields.
        initial: Relevance of each candidate when the session began, float32 ``[S, C]``.
        scores: Relevance of items and terms, float32 ``[S, C + Q]``.
        alive: Candidates that no answer has ruled out, bool ``[S, C]``.
        open: What may still be shown, bool ``[S, C + Q + F]``.
    """

    board: Board
    initial: Tensor
    scores: Tensor
    alive: Tensor
    open: Tensor

    @property
    def relevance(self) -> Tensor:
        """Relevance of the candidates that may still be shown and are not ruled out, 0 for others, ``[S, C]``."""
        n_items = self.board.n_items
        return self.scores[:, :n_items] * (self.open[:, :n_items] & self.alive)

    @property
    def item_values(self) -> Tensor:
        """What candidates are ranked by, ``[S, C]``: those ruled out come last, those not open are -inf."""
        n_items = self.board.n_items
        values = torch.where(self.alive, self.scores[:, :n_items], self.scores[:, :n_items] - 2)
        return values.masked_fill(~self.open[:, :n_items], -torch.inf)


class InteractiveSystem(Model):
    """An interactive system around a base model; subclasses say what is worth showing and what answers mean."""

    config: InteractiveConfig

    def __init__(self, config: InteractiveConfig, context: InteractiveContext) -> None:
        super().__init__()
        self.config = config
        self._context = context

    @cached_property
    def relations(self) -> Relations:
        """How items and terms are related."""
        return relations_of(self._context.lexicon)

    def start(self, candidates: Candidates) -> State:
        """Begin sessions: score the candidates by the base, and terms by the mean of what they match."""
        shared = self._shared(candidates.open.device)
        kind = CatalogueBoard if candidates.items is None else SampledBoard
        board = kind(candidates, self.relations, shared)
        raw = base_scores(self._context.base, candidates.users, board.item_rows())
        if self.config.initialiser != "uniform":
            board.ties = _ties_by(raw, candidates.open, board.ties)
        initial = self.config.relevance(raw, candidates.open)
        sizes = board.matching(candidates.open.float())
        terms = board.matching(initial) / sizes.clamp(min=1)
        closed = torch.zeros(len(raw), board.n_fields, dtype=torch.bool, device=raw.device)
        is_open = torch.cat((candidates.open, (sizes > 0) & (board.terms >= 0), closed), dim=1)
        return State(board, initial, torch.cat((initial, terms), dim=1), candidates.open, is_open)

    @abstractmethod
    def values(self, state: State) -> Tensor:
        """Return what each slot is worth showing, float32 ``[S, C + Q + F]``; what is not open is not looked at."""

    def propose(self, state: State, n_slots: int) -> Tensor:
        """Return the slots to show, best first, int64 ``[S, n_slots]``, -1 where nothing is left.

        Slots are filled greedily. Of equal values, items come before terms, items by the base, then in canonical order.
        No two say the same: where one is shown, terms inside it and around it, and items that have all its words, wait.
        """
        values = self.values(state).masked_fill(~state.open, -torch.inf)
        chosen = []
        for slot in range(n_slots):
            chosen.append(state.board.best(values))
            if slot + 1 < n_slots:
                values = values.masked_fill(_told_by(chosen[-1], state.board), -torch.inf)
        return torch.stack(chosen, dim=1)

    def observe(self, state: State, feedback: Feedback) -> State:
        """Return the state after a round; what was shown, and what its answer implies, is not shown again."""
        return self.update(dataclasses.replace(state, open=state.open & ~_answered(state, feedback)), feedback)

    @abstractmethod
    def update(self, state: State, feedback: Feedback) -> State:
        """Return the state with what the answers mean for the relevance of items and terms."""

    def _shared(self, device: torch.device) -> SharedTensors:
        if (known := self.__dict__.get("_tensors")) is None or known.terms.device != device:
            lexicon, relations = self._context.lexicon, self.relations
            of_words = fields_of(lexicon)
            field_of = np.concatenate([of_words, np.full(lexicon.queries.n_items, -1, np.int64)])
            known = SharedTensors(relations, field_of, len(of_words), self._context.ties, device)
            self.__dict__["_tensors"] = known
        return known


class ClosedFormSystem(ClosedForm, InteractiveSystem):
    """An interactive system that learns nothing but from its base."""

    def fit(self, context: Any) -> None:
        """Do nothing: the base is trained already."""


def fields_of(lexicon: Lexicon) -> IntArray:
    """Return the closed field of each word, int64 ``[n_words]``; -1 for words of open fields."""
    return np.array(
        [lexicon.fields.index(name) if name in lexicon.fields else -1 for name, _ in lexicon.vocabulary], np.int64
    )


def relations_of(lexicon: Lexicon) -> Relations:
    """Return how the items and terms of a lexicon are related."""
    return relate(
        matrix_of(lexicon.items), matrix_of(lexicon.queries), lexicon.specified.astype(np.float32), fields_of(lexicon)
    )


def base_scores(base: Scoring, users: Tensor, items: Tensor) -> Tensor:
    """Return the base's scores of items, float32 ``[S, C]``; of padding (-1) those of item 0.

    Args:
        base: What the base exports.
        users: int64 ``[S]``.
        items: int64 ``[S, C]``.
    """
    rows, slots = users, items.clamp(min=0)
    if not isinstance(base, Representations):
        return base.scores(rows).to(items.device).gather(1, slots)
    left, right = base.users.to(items.device), base.items.to(items.device)
    if base.similarity == "cosine":
        left, right = nn.functional.normalize(left), nn.functional.normalize(right)
    return (left.index_select(0, rows) @ right.T).gather(1, slots)


def relevance_of(scores: Tensor, is_open: Tensor, initialiser: Initialiser, sharpness: float = 1.0) -> Tensor:
    """Return relevance in [0, 1] of the open candidates of each session, 0 for others, float32 ``[S, C]``."""
    if initialiser == "uniform":
        return is_open.float()
    counts = is_open.sum(dim=1, keepdim=True).clamp(min=1)
    kept = scores.double().masked_fill(~is_open, 0.0)  # counts of a popularity model are large
    centred = (scores - kept.sum(dim=1, keepdim=True) / counts).masked_fill(~is_open, 0.0)
    standard = centred / (centred.square().sum(dim=1, keepdim=True) / counts).sqrt().clamp(min=1e-12)
    if initialiser == "softmax":
        top = standard.masked_fill(~is_open, -torch.inf).max(dim=1, keepdim=True).values
        return (sharpness * (standard - top)).exp().masked_fill(~is_open, 0.0).float()
    values = standard.sigmoid() if initialiser == "sigmoid" else standard
    low = values.masked_fill(~is_open, torch.inf).min(dim=1, keepdim=True).values
    high = values.masked_fill(~is_open, -torch.inf).max(dim=1, keepdim=True).values
    spread = high - low
    stretched = torch.where(spread > 0, (values - low) / spread.clamp(min=1e-300), torch.ones_like(values))
    return stretched.masked_fill(~is_open, 0.0).float()


def _ties_by(scores: Tensor, is_open: Tensor, ties: Tensor) -> Tensor:
    """Return an order among equals in which items go by the base first, int64 ``[S, C + Q + F]``.

    In a large catalogue scores lie so far apart that most items are equally irrelevant in float32, yet not to the base.
    """
    order = ties[:, : scores.shape[1]].argsort(dim=1)
    known = scores.masked_fill(~is_open, -torch.inf).gather(1, order)
    order = order.gather(1, known.argsort(dim=1, descending=True, stable=True))
    places = torch.arange(scores.shape[1], device=ties.device).expand_as(order)
    return torch.cat((torch.empty_like(order).scatter_(1, order, places), ties[:, scores.shape[1] :]), dim=1)


def _told_by(picked: Tensor, board: Board) -> Tensor:
    """Return the slots that say the same as the picked ones, bool ``[S, C + Q + F]``, itself among them."""
    as_term = board.as_terms(picked)
    inside, around = board.nested(as_term)
    terms = inside | around | board.terms_of(board.as_items(picked)) | board.words_of(board.as_fields(picked))
    told = board.marked(picked)
    told[:, : board.n_items] |= board.items_of(as_term)
    told[:, board.n_items : board.n_items + board.n_terms] |= terms
    return told


def _answered(state: State, feedback: Feedback) -> Tensor:
    """Return the slots that need not be shown any more, bool ``[S, C + Q + F]``."""
    board = state.board
    told = torch.zeros_like(state.open)
    for shown, clicked in feedback.by_slot():
        told |= board.marked(shown)
        inside, around = board.nested(board.as_terms(shown))
        terms = torch.where(clicked, inside, around) | board.words_of(board.as_fields(shown))
        told[:, board.n_items : board.n_items + board.n_terms] |= terms
    return told
