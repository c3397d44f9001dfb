"""Contexts of models with absent modalities or a third one, and what slow references need of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.models.base import GradientRecommender, ModelContext
from mmrec_bench.retrieval.base import Representations


def lacking(context: ModelContext, items: Mapping[str, Sequence[int]]) -> ModelContext:
    """Return a context where some items lack a modality."""
    tables = dict(context.features)
    for modality, absent in items.items():
        present = tables[modality].present.copy()
        present[list(absent)] = False
        tables[modality] = FeatureTable(modality, tables[modality].values, present, "test")
    return replace(context, features=tables)


def with_audio(context: ModelContext) -> ModelContext:
    """Return a context with a third modality: the texts in reverse order."""
    text = context.features["text"]
    audio = FeatureTable("audio", text.values[::-1].copy(), np.ones(len(text.values), np.bool_), "test")
    return replace(context, features={**context.features, "audio": audio})


def exported(model: GradientRecommender) -> Representations:
    """Return what a model exports, which are vectors."""
    vectors = model.export()
    assert isinstance(vectors, Representations)
    return vectors


def dense_adjacency(block: Tensor) -> Tensor:
    """Return the matrix ``[U + I, U + I]`` of which a block of users by items is the upper right part."""
    n_users, n_items = block.shape
    adjacency = torch.zeros(n_users + n_items, n_users + n_items)
    adjacency[:n_users, n_users:], adjacency[n_users:, :n_users] = block, block.T
    return adjacency


def normalised_block(context: ModelContext) -> Tensor:
    """Return ``1 / sqrt(n_u n_i)`` at every interaction, dense ``[n_users, n_items]``."""
    history = torch.from_numpy(context.train.matrix().toarray())
    return history / (history.sum(1, keepdim=True) * history.sum(0)).sqrt().clamp(min=1)
