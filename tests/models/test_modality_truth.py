"""In small worlds where it is known which modality users look at, models lose by its loss and not by that of the other.

The slow suite of `docs/synthetic.md` says it of `vbpr` and `freedom` at full length, on five seeds and by verdicts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.synthetic import make_world
from mmrec_bench.data.world import WorldConfig
from mmrec_bench.models.base import MODELS, GradientRecommender, ModelContext, Pairs, Triplets
from mmrec_bench.seeding import Seeds
from mmrec_bench.testing.subjects import all_scores, backward

MODELS_AND_OPTIONS: dict[str, dict[str, Any]] = {
    "smore": {"embedding_dim": 16, "n_layers": 2, "dropout": 0.0},
    "pgl": {"embedding_dim": 16, "image_weight": 0.5, "edge_dropout": 0.3},
    "slmrec": {"embedding_dim": 16},
    "da-mrs": {"embedding_dim": 16},
    "mmgcf": {"embedding_dim": 16},
    "grcn": {"embedding_dim": 16},
    "dualgnn": {"embedding_dim": 16, "hidden_dim": 32, "n_user_neighbors": 20},
    "mmgcn": {"embedding_dim": 16, "image_dim": 16, "n_layers": 1},  # three layers mix the whole of so small a world
    "mvgae": {"embedding_dim": 16, "hidden_dim": 32},
}
SLOW_LEARNERS = {"mvgae"}
"""Models that need smaller and more steps."""

CUTOFF = 20


def world(looked_at: str) -> tuple[ModelContext, Interactions]:
    """Return what is trained on, and every fourth interaction, withheld."""
    config = WorldConfig.model_validate(
        {
            "n_users": 200,
            "n_items": 200,
            "mean_interactions": 10.0,
            "min_interactions": 6,
            "max_interactions": 40,
            "users": {looked_at: 1.0},
            "factor_dim": 4,
            "taste_strength": 3.0,
            "popularity_exponent": 0.1,
            "popularity_drift": 0.0,
            "image": {"dim": 16, "signal": 0.9},
            "text": {"dim": 16, "signal": 0.9},
        }
    )
    data = make_world(config, "truth")
    withheld = np.arange(len(data.payload)) % 4 == 3
    train, test = (replace(data.payload.select(mask), order=None, timestamps=None) for mask in (~withheld, withheld))
    return ModelContext(train, data.features, seeds=Seeds(1)), test


def shuffled(context: ModelContext, modality: str) -> ModelContext:
    """Return the context with the vectors of one modality dealt out among the items."""
    table = context.features[modality]
    order = np.random.default_rng(0).permutation(table.n_items)
    other = FeatureTable(modality, table.values[order], table.present[order], "shuffled")
    return replace(context, features={**context.features, modality: other})


def recall(name: str, context: ModelContext, test: Interactions) -> float:
    """Train on all pairs at once and return the recall of withheld items."""
    context.seeds.seed_global("init")
    model = MODELS[name].build(MODELS[name].config(**MODELS_AND_OPTIONS[name]), context)
    assert isinstance(model, GradientRecommender)
    learning_rate, epochs = (0.005, 100) if name in SLOW_LEARNERS else (0.02, 25)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    users, items = torch.tensor(context.train.users), torch.tensor(context.train.items)
    for epoch in range(epochs):
        context.seeds.seed_global("epoch", epoch)
        model.on_epoch_start(epoch)
        negatives = torch.randint(context.train.n_items, items.shape)
        optimizer.zero_grad()
        backward(model.loss(Pairs(users, items) if model.batch_kind is Pairs else Triplets(users, items, negatives)))
        optimizer.step()
    scores = all_scores(model.eval().export())
    scores[users, items] = -torch.inf
    top = scores.topk(CUTOFF, dim=1).indices.numpy()
    return float((top[test.users] == test.items[:, None]).any(axis=1).mean())


@pytest.mark.parametrize("name", MODELS_AND_OPTIONS)
@pytest.mark.parametrize(
    ("looked_at", "other"), [("image", "text"), pytest.param("text", "image", marks=pytest.mark.slow)]
)
def test_what_users_look_at_is_what_a_model_loses_by(looked_at: str, other: str, name: str) -> None:
    context, test = world(looked_at)
    whole = recall(name, context, test)
    loss, idle = (whole - recall(name, shuffled(context, modality), test) for modality in (looked_at, other))
    assert loss > 0.05 * whole
    assert loss > 2 * idle
