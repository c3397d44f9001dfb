"""Strictly cold items ranked among themselves, as cold-start studies do beside the ranking of the whole catalogue."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmrec_bench.evaluation.retrieval import RetrievalEvaluator, SliceResult
from mmrec_bench.retrieval.base import Representations, Scorer, Scoring
from mmrec_bench.types import IntArray

COLD_ONLY = "items:cold-only"
"""Name of the slice."""


@dataclass(frozen=True, slots=True, eq=False)
class _ScorerOfSome:
    """The scores of some items.

    Attributes:
        scorer: Scores all items.
        items: Item rows, int64 ``[n]``.
    """

    scorer: Scorer
    items: Tensor

    @property
    def n_users(self) -> int:
        """Number of users."""
        return self.scorer.n_users

    @property
    def n_items(self) -> int:
        """Number of these items."""
        return len(self.items)

    def scores(self, users: Tensor) -> Tensor:
        """Return their scores, float32 ``[B, n]``."""
        scores = self.scorer.scores(users)
        return scores.index_select(1, self.items.to(scores.device))


def cold_only(evaluator: RetrievalEvaluator, scoring: Scoring) -> SliceResult | None:
    """Rank items without training interactions among themselves, for users with a relevant one.

    Args:
        evaluator: Of the held-out part.
        scoring: What the model exports.

    Returns:
        The ranking metrics at the cutoffs that do not exceed the number of cold items, or None where there is no such
        cutoff, or no cold item is relevant to anyone.
    """
    cold = evaluator.cold_items
    among = evaluator.among(cold)
    if among is None:
        return None
    evaluation = among.evaluate(_of_some(scoring, cold))
    return SliceResult(len(evaluation.users), len(cold), evaluation.means)


def _of_some(scoring: Scoring, items: IntArray) -> Scoring:
    rows = torch.from_numpy(items)
    if isinstance(scoring, Representations):
        chosen = scoring.items.index_select(0, rows.to(scoring.items.device))
        return Representations(scoring.users, chosen, scoring.similarity)
    return _ScorerOfSome(scoring, rows)
