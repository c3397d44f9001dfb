"""CTR models built on the tiny log of the contract checks."""

from __future__ import annotations

from typing import Any

from mmrec_bench.models.base import MODELS
from mmrec_bench.models.ctr.base import CtrContext, CtrModel, PointBatch
from mmrec_bench.testing.ctr_subjects import build_ctr, tiny_ctr_context, whole_batch
from mmrec_bench.testing.subjects import Subject

odd_context = tiny_ctr_context


def build(name: str, context: CtrContext, **settings: Any) -> CtrModel:
    """Return an untrained model."""
    return build_ctr(Subject(MODELS[name], settings), context)


def whole(model: CtrModel, context: CtrContext) -> PointBatch:
    """Return all training impressions as one batch."""
    return whole_batch(model, context)
