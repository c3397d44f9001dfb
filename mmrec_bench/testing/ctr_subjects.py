"""What the contract checks of CTR models work on: a tiny log with every oddity, and a model built in it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.points import Points, clicks_before
from mmrec_bench.models.ctr.base import ClosedFormCtrModel, CtrContext, CtrModel, CtrPart, Extra, PointBatch
from mmrec_bench.models.ctr.feed import PointFeed
from mmrec_bench.seeding import Seeds
from mmrec_bench.testing.subjects import Subject, fail

N_USERS, N_ITEMS, N_POINTS = 6, 12, 60


def tiny_points() -> Points:
    """Return impressions of five of six users; user 4 never clicks, item 11 is never shown, and seconds are shared."""
    rng = np.random.default_rng(3)
    users, items = rng.integers(5, size=N_POINTS), rng.integers(N_ITEMS - 1, size=N_POINTS)
    labels = ((rng.random(N_POINTS) < 0.5) & (users != 4)).astype(np.int8)
    return Points(users, items, labels, np.sort(rng.integers(30, size=N_POINTS)), N_USERS, N_ITEMS, "random")


def tiny_ctr_context(seed: int = 0, extra: Extra | None = None) -> CtrContext:
    """Return the tiny log, with one item without image."""
    rng, points = np.random.default_rng(4), tiny_points()
    values = rng.standard_normal((N_ITEMS, 3)).astype(np.float32)
    table = FeatureTable("image", values, np.arange(N_ITEMS) != 5, "random")
    part = CtrPart(points, clicks_before(points, points), extra)
    return CtrContext(part, {"image": table}, seeds=Seeds(seed), batch_size=N_POINTS)


EXTRAS: Mapping[str, Extra] = MappingProxyType(
    {
        "vectors": Extra.of_vectors(np.random.default_rng(5).standard_normal((N_ITEMS, 4)).astype(np.float32)),
        "items of items": Extra(np.array([[(i + 1) % N_ITEMS, -1 if i % 3 else 0] for i in range(N_ITEMS)])),
        "items of impressions": Extra(np.random.default_rng(6).integers(-1, N_ITEMS, (N_POINTS, 1)), by="impression"),
    }
)
"""What an extra slot may hold; some rows are empty."""


def build_ctr(subject: Subject, context: CtrContext) -> CtrModel:
    """Return the untrained model, its initial values drawn from the context's seed."""
    context.seeds.seed_global("contract-init")
    model = subject.entry.build(subject.config(), context)
    if not isinstance(model, CtrModel):
        raise fail(subject, f"{type(model).__name__} must be a CtrModel")
    return model


def fitted_ctr(subject: Subject, context: CtrContext) -> CtrModel:
    """Return the model in evaluation mode, a closed form fitted, any other as it is built."""
    model = build_ctr(subject, context)
    if isinstance(model, ClosedFormCtrModel):
        model.fit(context)
    return model.eval()


def whole_batch(model: CtrModel, context: CtrContext) -> PointBatch:
    """Return all training impressions as one batch."""
    feed = PointFeed(context.train, torch.device("cpu"), model.history_length)
    return feed.batch(torch.arange(len(feed)))


def tensors_of(batch: PointBatch) -> dict[str, Tensor]:
    """Return everything a batch holds, by name."""
    inputs = {name: getattr(batch.inputs, name) for name in ("users", "items", "histories", "extra")}
    return {name: value for name, value in {**inputs, "labels": batch.labels}.items() if value is not None}
