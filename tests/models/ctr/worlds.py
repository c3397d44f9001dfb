"""Impressions to test CTR models on: a tiny odd part, and clicks whose cause is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.points import Points, clicks_before
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.ctr.base import CtrContext, CtrModel, CtrPart, Extra
from mmrec_bench.models.ctr.feed import PointFeed
from mmrec_bench.seeding import Seeds

CPU = torch.device("cpu")
N_USERS, N_ITEMS = 6, 12


def odd_points(n: int = 60, seed: int = 3) -> Points:
    """Impressions of five of six users; user 4 never clicks, and item 11 is never shown."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(5, size=n), rng.integers(N_ITEMS - 1, size=n)
    labels = ((rng.random(n) < 0.5) & (users != 4)).astype(np.int8)
    return Points(users, items, labels, np.sort(rng.integers(30, size=n)), N_USERS, N_ITEMS, "random")


def odd_context(seed: int = 0, extra: Extra | None = None) -> CtrContext:
    """The odd impressions, with one item without image."""
    rng = np.random.default_rng(4)
    points = odd_points()
    table = FeatureTable(
        "image", rng.standard_normal((N_ITEMS, 3)).astype(np.float32), np.arange(N_ITEMS) != 5, "random"
    )
    part = CtrPart(points, clicks_before(points, points), extra)
    return CtrContext(part, {"image": table}, seeds=Seeds(seed), batch_size=len(points))


def build(name: str, context: CtrContext, **settings: Any) -> CtrModel:
    """Return an untrained model."""
    context.seeds.seed_global("init")
    entry = MODELS[name]
    model = entry.build(entry.config.model_validate({"name": name, **settings}), context)
    assert isinstance(model, CtrModel)
    return model


def whole(model: CtrModel, context: CtrContext) -> Any:
    """Return all training impressions as one batch."""
    feed = PointFeed(context.train, CPU, model.history_length)
    return feed.batch(torch.arange(len(feed)))


EXTRAS = {
    "vectors": Extra.of_vectors(np.random.default_rng(5).standard_normal((N_ITEMS, 4)).astype(np.float32)),
    "neighbours": Extra(np.array([[(i + 1) % N_ITEMS, -1 if i % 3 else (i + 2) % N_ITEMS] for i in range(N_ITEMS)])),
    "by-impression": Extra(np.random.default_rng(6).integers(-1, N_ITEMS, (60, 1)), by="impression"),
}
"""What an extra slot may hold; some rows are empty."""
