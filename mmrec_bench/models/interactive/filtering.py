"""Systems that take answers at their word: what an answer rules out is out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mmrec_bench.data.chance import pair_chance
from mmrec_bench.models.base import MODELS, Citation
from mmrec_bench.models.interactive.base import (
    ClosedFormSystem,
    Feedback,
    GuessingConfig,
    InteractiveConfig,
    State,
)
from mmrec_bench.models.interactive.board import Candidates
from mmrec_bench.models.interactive.guess import entropies, gains, items_alone


class FilteringSystem(ClosedFormSystem):
    """After a clicked query only items with all its words are left; after one that was not clicked, those go.

    A field that was asked for leaves the items with one of the words that were named. Where no item is left, because
    answers contradict each other, all that have not been shown come back.
    """

    drops_on_no: bool = True

    def update(self, state: State, feedback: Feedback) -> State:
        """Rule out items."""
        board, alive = state.board, state.alive
        for shown, clicked in feedback.by_slot():
            term = board.as_terms(shown)
            having = board.items_of(term)
            kept = torch.where(clicked, having, ~having if self.drops_on_no else torch.ones_like(having))
            alive = torch.where((term >= 0).unsqueeze(1), alive & kept, alive)
            named = feedback.named & board.words_of(board.as_fields(shown))
            alive = torch.where(named.any(dim=1, keepdim=True), alive & board.items_of_any(named), alive)
        is_open = state.open[:, : board.n_items]
        alive = torch.where((alive & is_open).any(dim=1, keepdim=True), alive, is_open)
        return dataclasses.replace(state, alive=alive)


class ItemOnlyConfig(InteractiveConfig):
    """Settings of `ItemOnly`."""

    name: Literal["item-only"] = "item-only"


@MODELS.add("item-only", task="interactive", config=ItemOnlyConfig, paper=None)
class ItemOnly(FilteringSystem):
    """Shows items by falling score of the base: what a recommender does that asks nothing."""

    def values(self, state: State) -> Tensor:
        """Return the relevance of items."""
        return items_alone(state)


class QueryOnlyConfig(InteractiveConfig):
    """Settings of `QueryOnly`."""

    name: Literal["query-only"] = "query-only"


@MODELS.add("query-only", task="interactive", config=QueryOnlyConfig, paper=None)
class QueryOnly(FilteringSystem):
    """Asks the query that splits the remaining items most evenly; shows items only where no query splits them."""

    def values(self, state: State) -> Tensor:
        """Return entropies of terms."""
        return entropies(state)


class RandomConfig(InteractiveConfig):
    """Settings of `RandomChoice`."""

    name: Literal["random"] = "random"


@MODELS.add("random", task="interactive", config=RandomConfig, paper=None)
class RandomChoice(ClosedFormSystem):
    """Shows any item or query that was not shown, each with the same chance; ranks by chance, and learns nothing."""

    draws = True

    def start(self, candidates: Candidates) -> State:
        """Begin with relevance by chance, a hash of session and node, which no block of sessions changes."""
        state = super().start(candidates)
        board = state.board
        nodes = torch.cat((board.item_rows(), board.terms + self.relations.n_items), dim=1).cpu().numpy()
        sessions = board.candidates.sessions.cpu().numpy()[:, None]
        drawn = pair_chance(sessions.repeat(nodes.shape[1], axis=1), nodes, self._context.seeds.seed, "random-choice")
        chance = torch.from_numpy(drawn).float().to(state.scores.device)
        return dataclasses.replace(state, initial=chance[:, : board.n_items], scores=chance)

    def values(self, state: State) -> Tensor:
        """Return chance; items and queries that would tell nothing have the same."""
        fields = state.scores.new_full((len(state.scores), state.board.n_fields), -torch.inf)
        return torch.cat((state.scores, fields), dim=1)

    def update(self, state: State, feedback: Feedback) -> State:
        """Return the state as it is."""
        return state


class COREConfig(GuessingConfig):
    """Settings of `CORE`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"on_no": "keep"}

    name: Literal["core"] = "core"
    ask: Literal["queries", "attributes"] = "queries"
    """``queries``: words and compound queries, answered by a click or none. ``attributes``: closed fields, answered by
    the words of all wanted items; the answer tells more than a click."""
    on_no: Literal["drop", "keep"] = "drop"
    """What becomes of items with all words of a query that was not clicked. The gain counts on ``drop``; ``keep``, as
    released, only forgets the query."""


@MODELS.add(
    "core",
    task="interactive",
    config=COREConfig,
    paper=Citation(
        title="Lending Interaction Wings to Recommender Systems with Conversational Agents",
        authors="Jin et al.",
        venue="NeurIPS 2023",
        url="https://arxiv.org/abs/2310.04230",
    ),
    deviations=(
        "gains are of items that may still be shown; the released code takes those of all candidates",
        "compound queries are asked, too, where the lexicon has some",
    ),
)
class CORE(FilteringSystem):
    """Shows the item, or asks what promises the greatest gain in certainty (`guess.gains`), and filters by answers.

    Source: Jin et al., NeurIPS 2023, https://arxiv.org/abs/2310.04230; formulas as in the released code.
    """

    config: COREConfig

    @property
    def drops_on_no(self) -> bool:  # type: ignore[override]
        """Whether a query without a click rules items out."""
        return self.config.on_no == "drop"

    def start(self, candidates: Candidates) -> State:
        """Begin with fields to ask for, where attributes are asked."""
        state = super().start(candidates)
        if self.config.ask == "queries":
            return state
        board = state.board
        first = board.n_items + board.n_terms
        is_open = state.open.clone()
        is_open[:, board.n_items : first] = False
        is_open[:, first:] = board.present_fields()
        return dataclasses.replace(state, open=is_open)

    def values(self, state: State) -> Tensor:
        """Return gains."""
        return gains(state)
