"""Label propagation over words, queries and items: what an answer means for everything that is related to it."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator
from torch import Tensor

from mmrec_bench.graph.links import Links, Normalisation, Spread
from mmrec_bench.models.interactive.base import Feedback, InteractiveConfig, InteractiveSystem, State
from mmrec_bench.models.interactive.board import Candidates
from mmrec_bench.models.interactive.guess import GUESSES, Guess
from mmrec_bench.settings import explained_error
from mmrec_bench.types import FloatArray


class PropagationConfig(InteractiveConfig):
    """What systems share that propagate labels."""

    guess: Guess = "gain"
    """What is shown next."""
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of what a step takes from related nodes; 0 propagates nothing."""
    n_steps: PositiveInt = 7
    """Propagation steps after each round."""
    inhibition: NonNegativeFloat = 1.0
    """Weight of all inhibitions beside the improvements; 0 leaves them out."""
    normalisation: Normalisation = "joint"
    """``joint``: by the degree of both relations together. ``by-relation``: of each for itself, so that the many
    inhibitions do not drown the few improvements."""
    anchor: Literal["last", "first"] = "last"
    """What propagation is held to: the scores after the ``last`` round, or those the session began with."""
    clip: bool = True
    """Whether scores are cut to [0, 1] after each step."""

    @model_validator(mode="after")
    def _reads_all(self) -> Self:
        told = [name for name in ("n_steps", "inhibition", "normalisation") if name in self.model_fields_set]
        if self.alpha == 0 and told:
            raise explained_error(f"alpha: 0 propagates nothing, so {', '.join(told)} would do nothing; remove it")
        return self


@dataclass(frozen=True, slots=True)
class PropagationState(State):
    """A state with what propagation needs.

    Attributes:
        spread: One step over the relations of each session.
        anchor: What propagation is held to, float32 ``[S, C + Q]``.
        known: Which items and terms have an answer, bool ``[S, C + Q]``.
        labels: Their answers, 0 or 1, float32 ``[S, C + Q]``; the last one counts where answers contradict each other.
    """

    spread: Spread
    anchor: Tensor
    known: Tensor
    labels: Tensor


class PropagatingSystem(InteractiveSystem):
    """Keeps the relevance of items and terms, and propagates every answer over their signed relations.

    Answers: a clicked query and its words have label 1, a query that was not clicked has 0 (its words keep what they
    have, unless it is a word itself), an item that was not clicked has 0. After each round, with L the labelled nodes
    and S the normalised signed relations, ``s <- (1 - alpha) r + alpha S s``, ``s_L <- y_L``, cut to [0, 1], `n_steps`
    times from s = r.

    Source: a reconstruction of the updater of MAGUS, Jin et al., KDD 2025, https://arxiv.org/abs/2412.10787, with the
    recurrence, normalisation and clamping of the same first author's label propagation (Jin et al., ICLR 2022).
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
        anchor = torch.where(known, labels, state.anchor)
        scores, alpha = anchor, self.config.alpha
        for _ in range(self.config.n_steps if alpha else 0):
            scores = (1 - alpha) * anchor + alpha * state.spread(scores)
            scores = torch.where(known, labels, scores.clamp(0, 1) if self.config.clip else scores)
        moved = scores if self.config.anchor == "last" else state.anchor
        return dataclasses.replace(state, scores=scores, anchor=moved, known=known, labels=labels)

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
    n_items, n_nodes = board.n_items, board.n_items + board.n_terms
    for slot in range(feedback.shown.shape[1]):
        shown, clicked = feedback.shown[:, slot], feedback.clicked[:, slot].unsqueeze(1)
        given = torch.zeros_like(known).scatter(1, shown.clamp(min=0).unsqueeze(1), True)
        given &= (shown >= 0).unsqueeze(1)
        inside, _ = board.nested((shown - n_items).masked_fill((shown < n_items) | (shown >= n_nodes), -1))
        given[:, n_items:] |= inside & board.words & clicked
        known, labels = known | given, torch.where(given, clicked.float(), labels)
    return known, labels
