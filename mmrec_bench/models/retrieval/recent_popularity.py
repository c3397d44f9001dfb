"""Recent popularity: every user is shown what was consumed most shortly before the end of training."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import MODELS, Citation, ModelConfig, ModelContext
from mmrec_bench.models.closed_form import FittedRecommender
from mmrec_bench.models.retrieval.popularity import exact_counts
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.types import IntArray

Share: TypeAlias = Annotated[float, Field(gt=0, le=1)]


class RecentPopularityConfig(ModelConfig):
    """Settings of `RecentPopularity`; times are shares of the training period, so they suit any clock."""

    name: Literal["recent-popularity"] = "recent-popularity"
    weighting: Literal["window", "decay"] = "decay"
    """``window`` counts the interactions of the last `window` of the training period; ``decay`` counts all, each
    halved for every `half_life` of its age."""
    window: Share = 0.1
    """Length of the window, as a share of the time between the first and the last training interaction."""
    half_life: Share = 0.05
    """Age at which an interaction counts half, as a share of the same time."""


@MODELS.add(
    "recent-popularity",
    task="retrieval",
    config=RecentPopularityConfig,
    paper=Citation(
        title="A Re-visit of the Popularity Baseline in Recommender Systems",
        authors="Ji, Sun, Zhang, Li",
        venue="SIGIR 2020",
        url="https://arxiv.org/abs/2005.13829",
    ),
    deviations=(
        "One ranking, made at the end of train, serves all users; the paper makes one at each test interaction.",
        "Decay is a smooth half-life; the paper sums over consecutive windows.",
    ),
    needs_time=True,
)
class RecentPopularity(FittedRecommender):
    """Scores ``y_ui = sum over (v, i, t) in train of w(T - t)``, T the last training time, the same for every user.

    ``w(a) = [a < window]`` or ``w(a) = 2^(-a / half_life)``.
    Source: Ji et al., SIGIR 2020, https://arxiv.org/abs/2005.13829.

    Raises:
        ModelError: The interactions have neither timestamps nor an order.
    """

    popularity: Tensor
    """float32 ``[n_items]``."""

    def __init__(self, config: RecentPopularityConfig, context: ModelContext) -> None:
        super().__init__()
        _clock(context.train)
        self.config = config
        self.n_users = context.train.n_users
        self.register_buffer("popularity", torch.zeros(context.train.n_items))

    def compute(self, context: ModelContext) -> None:
        """Weigh and count."""
        train, clock = context.train, _clock(context.train)
        last = clock.max(initial=0)
        span = max(int(last - clock.min(initial=last)), 1)
        age = (last - clock) / span
        if self.config.weighting == "window":
            recent = train.select(age < self.config.window)
            self.popularity.copy_(exact_counts(recent.item_counts()))
        else:
            weights = np.exp2(-age / self.config.half_life)
            popularity = np.bincount(train.items, weights=weights, minlength=train.n_items)
            self.popularity.copy_(torch.from_numpy(popularity.astype(np.float32)))

    def scoring(self) -> Representations:
        """Return one-dimensional vectors: 1 for users, the popularity for items."""
        return Representations(self.popularity.new_ones(self.n_users, 1), self.popularity[:, None].clone())


def _clock(train: Interactions) -> IntArray:
    if (clock := train.clock()) is None:
        raise ModelError(
            "recent-popularity needs the time of each interaction (timestamps or an order); this data set has neither. "
            "Use popularity instead"
        )
    return clock
