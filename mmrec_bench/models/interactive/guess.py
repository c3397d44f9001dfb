"""What a slot is worth showing, by what is known of the relevance of items.

Source of the certainty gain: CORE, formulas as released; s_v is the relevance of an item that may still be shown, S
their sum. To learn that a user does not want v, with probability ``1 - s_v / S``, settles s_v; that he does settles
all. A term splits the items into those that have its words, with the sum S_q, and the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from mmrec_bench.models.interactive.base import State

Guess: TypeAlias = Literal["gain", "score", "items", "queries"]
"""What is shown next: ``gain``: the item or query with the greatest expected certainty gain; ``score``: the one with
the greatest relevance; ``items``: the most relevant item; ``queries``: the query with the greatest gain, an item only
where no query tells anything."""


def gains(state: State) -> Tensor:
    """Return the expected certainty gain of every slot, float32 ``[S, C + Q + F]``.

    ``(1 - p) s_v + p S`` with ``p = s_v / S`` for an item, ``2 p (1 - p) S`` with ``p = S_q / S`` for a term, and for a
    field the sum over its words.
    """
    board, relevance = state.board, state.relevance
    total = relevance.sum(dim=1, keepdim=True)
    safe = total.clamp(min=1e-12)
    share = relevance / safe
    items = (1 - share) * relevance + share * total
    of_terms = (board.matching(relevance) / safe).clamp(0, 1)
    terms = 2 * of_terms * (1 - of_terms) * total
    fields = terms.new_zeros(len(terms), board.n_fields + 1)
    fields.scatter_add_(1, board.fields + 1, terms)  # terms of no closed field fall into the first column
    return torch.cat((items, terms, fields[:, 1:]), dim=1)


def scores(state: State) -> Tensor:
    """Return the relevance of items and terms; fields are worth nothing."""
    return torch.cat((state.item_values, state.scores[:, state.board.n_items :], _no_fields(state)), dim=1)


def items_alone(state: State) -> Tensor:
    """Return the relevance of items; all else is never shown."""
    terms = state.scores.new_full((len(state.scores), state.board.n_terms), -torch.inf)
    return torch.cat((state.item_values, terms, _no_fields(state)), dim=1)


def queries_alone(state: State) -> Tensor:
    """Return the gain of terms that tell something, and far below it the relevance of items."""
    terms = gains(state)[:, state.board.n_items : state.board.n_items + state.board.n_terms]
    return _before_items(state, terms)


def entropies(state: State) -> Tensor:
    """Return, in bits, how evenly terms split the items that are left, each counted alike; below it, items."""
    board = state.board
    left = (state.open[:, : board.n_items] & state.alive).float()
    share = (board.matching(left) / left.sum(dim=1, keepdim=True).clamp(min=1)).clamp(0, 1)
    return _before_items(
        state, -(torch.xlogy(share, share) + torch.xlogy(1 - share, 1 - share)) / torch.log(share.new_tensor(2.0))
    )


GUESSES: Mapping[Guess, Callable[[State], Tensor]] = {
    "gain": gains,
    "score": scores,
    "items": items_alone,
    "queries": queries_alone,
}


def _before_items(state: State, terms: Tensor) -> Tensor:
    """Return values by which every term that tells something comes before any item, and one that does not never."""
    terms = torch.where(terms > 1e-9, terms + 2, -torch.inf)  # relevance is 1 at most
    return torch.cat((state.item_values, terms, _no_fields(state)), dim=1)


def _no_fields(state: State) -> Tensor:
    return state.scores.new_full((len(state.scores), state.board.n_fields), -torch.inf)
