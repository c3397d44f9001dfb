"""Label propagation over words, queries and items: what an answer means for everything that is related to it."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self, TypeAlias

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from mmrec_bench.graph.links import Links, Normalisation, Spread
from mmrec_bench.models.interactive.base import Feedback, GuessingConfig, InteractiveSystem, State
from mmrec_bench.models.interactive.board import Candidates
from mmrec_bench.models.interactive.guess import GUESSES, Guess
from mmrec_bench.settings import explained_error
from mmrec_bench.types import FloatArray

SMALLEST = 1e-6
"""Relevance below which candidates are alike; what is never relevant can still be asked back by answers."""

Update: TypeAlias = Literal["votes", "scores"]
"""What is propagated. ``votes``: answers; they weigh the relevance that the base gives. ``scores``: relevance itself,
held to the base, with answers clamped in."""


class PropagationConfig(GuessingConfig):
    """What systems share that propagate labels."""

    OF_WEIGHTS: ClassVar[Sequence[str]] = ()
    """Settings by which weights are found; without a step, ``scores`` reads no weights."""
    READ_BY: ClassVar[Mapping[Update, Sequence[str]]] = {"votes": ("trust",), "scores": ("anchor", "clip")}

    guess: Guess = "gain"
    """What is shown next."""
    update: Update = "votes"
    """``votes``: answers are propagated, and weigh the relevance that the base gives. ``scores``: relevance itself is,
    held to the base, with answers clamped in; in a large graph degrees thin these out until they move nothing."""
    trust: PositiveFloat = 2.0
    """How much a vote weighs: it multiplies relevance by ``exp(trust)``; read by ``votes``."""
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of what a step takes from related nodes; with 0, votes move only what is related to an answer directly, and
    scores nothing but what was answered."""
    n_steps: PositiveInt = 2
    """Propagation steps after each round."""
    inhibition: NonNegativeFloat = 1.0
    """Weight of all inhibitions beside the improvements; 0 leaves them out."""
    normalisation: Normalisation = "joint"
    """``joint``: by the degree of both relations together. ``by-relation``: of each for itself, so that the many
    inhibitions do not drown the few improvements."""
    anchor: Literal["last", "first"] = "last"
    """What relevance is held to: that after the ``last`` round, or that the session began with; read by ``scores``."""
    clip: bool = True
    """Whether relevance is cut to [0, 1] after each step; read by ``scores``."""

    @model_validator(mode="after")
    def _reads_all(self) -> Self:
        for update, names in self.READ_BY.items():
            if update != self.update and (told := self.changed(names)):
                raise explained_error(f"{', '.join(told)}: read with update: {update}, not {self.update}; remove it")
        steps = ("n_steps", "normalisation", *(("inhibition", *self.OF_WEIGHTS) if self.update == "scores" else ()))
        if self.alpha == 0 and (told := self.changed(steps)):
            raise explained_error(f"alpha: 0 takes no step, so {', '.join(told)} would do nothing; remove it")
        return self


@dataclass(frozen=True, slots=True)
class PropagationState(State):
    """A state with what propagation needs.

    Attributes:
        spread: Relations of the items and terms of each session.
        anchor: What relevance is held to, float32 ``[S, C + Q]``.
        known: Which items and terms have an answer, bool ``[S, C + Q]``.
        labels: Their answers, 0 or 1, float32 ``[S, C + Q]``; the last one counts where answers contradict each other.
    """

    spread: Spread
    anchor: Tensor
    known: Tensor
    labels: Tensor


class PropagatingSystem(InteractiveSystem):
    """Propagates every answer over the signed relations of items and terms.

    Answers: a clicked query and its words have label 1, a query that was not clicked has 0 (its words keep what they
    have, unless it is a word itself), an item that was not clicked has 0. With L the labelled nodes, A+ and A- the
    weighted relations, and S both together, normalised:

    - ``votes``: ``e0 = A+ (yes - no) - A- yes``, then ``e <- e0 + alpha S e`` with ``e_L = 0`` inside the product, for
      labelled nodes have voted already, `n_steps` times from e0. An item has ``s_v ~ r_v exp(trust e_v)``, over the
      maximum of its session; a term the mean of the items that have its words; ``s_L = y_L``.
    - ``scores``: ``s <- (1 - alpha) r + alpha S s``, ``s_L <- y_L``, cut to [0, 1], `n_steps` times from s = r.

    Source: both reconstruct the updater of MAGUS, Jin et al., KDD 2025, https://arxiv.org/abs/2412.10787. ``scores``
    has the recurrence, normalisation and clamping of the same first author's label propagation (Jin et al., ICLR
    2022), ``votes`` its idea to use labels and scores in parallel.
    """

    config: PropagationConfig

    @abstractmethod
    def weights(self) -> tuple[FloatArray, FloatArray]:
        """Return the weights of improvements ``[E]`` and the strengths of nodes in inhibition ``[n]``; see `Links`."""

    def start(self, candidates: Candidates) -> PropagationState:
        """Begin sessions, with no answer known."""
        state = super().start(candidates)
        empty = torch.zeros_like(state.scores)
        spread = state.board.spread(self._links(candidates.open.device))
        facts = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
        return PropagationState(**facts, spread=spread, anchor=state.scores, known=empty.bool(), labels=empty)

    def values(self, state: State) -> Tensor:
        """Return what the guess makes of the scores."""
        return GUESSES[self.config.guess](state)

    def update(self, state: State, feedback: Feedback) -> State:
        """Label what was answered, and propagate."""
        assert isinstance(state, PropagationState)
        known, labels = _labelled(state, feedback)
        moved = dataclasses.replace(state, known=known, labels=labels)
        return self._voted(moved) if self.config.update == "votes" else self._smoothed(moved)

    def _voted(self, state: PropagationState) -> PropagationState:
        """Weigh the relevance that the session began with by all answers."""
        yes = state.labels * state.known
        direct = state.spread.votes(yes, state.known.float() - yes)
        votes = direct
        for _ in range(self.config.n_steps if self.config.alpha else 0):
            votes = direct + self.config.alpha * state.spread(votes.masked_fill(state.known, 0.0))
        board, is_open = state.board, state.board.candidates.open
        weighed = state.initial.clamp(min=SMALLEST).log() + self.config.trust * votes[:, : board.n_items]
        weighed = weighed.masked_fill(~is_open, -torch.inf)
        items = (weighed - weighed.max(dim=1, keepdim=True).values).exp()
        items = torch.where(votes[:, : board.n_items].any(dim=1, keepdim=True), items, state.initial)  # nothing said
        terms = board.matching(items) / board.matching(is_open.float()).clamp(min=1)
        scores = torch.cat((items, terms), dim=1)
        return dataclasses.replace(state, scores=torch.where(state.known, state.labels, scores))

    def _smoothed(self, state: PropagationState) -> PropagationState:
        """Propagate relevance, with all answers clamped in."""
        alpha, known, labels = self.config.alpha, state.known, state.labels
        anchor = torch.where(known, labels, state.anchor)
        scores = anchor
        for _ in range(self.config.n_steps if alpha else 0):
            scores = (1 - alpha) * anchor + alpha * state.spread(scores)
            scores = torch.where(known, labels, scores.clamp(0, 1) if self.config.clip else scores)
        return dataclasses.replace(
            state, scores=scores, anchor=scores if self.config.anchor == "last" else state.anchor
        )

    def _links(self, device: torch.device) -> Links:
        if (links := self.__dict__.get("_known_links")) is None:
            improving, strengths = self.weights()
            config = self.config
            links = Links(self.relations, improving, strengths, config.inhibition, config.normalisation, device)
            self.__dict__["_known_links"] = links
        return links

    def train(self, mode: bool = True) -> Self:
        """Forget the propagation when weights may change."""
        self.__dict__.pop("_known_links", None)
        return super().train(mode)


def _labelled(state: PropagationState, feedback: Feedback) -> tuple[Tensor, Tensor]:
    """Return which items and terms have an answer, and which, after this round."""
    board, known, labels = state.board, state.known, state.labels
    for shown, clicked in feedback.by_slot():
        given = board.marked(shown)[:, : board.n_items + board.n_terms]
        inside, _ = board.nested(board.as_terms(shown))
        given[:, board.n_items :] |= inside & board.words & clicked
        known, labels = known | given, torch.where(given, clicked.float(), labels)
    return known, labels
