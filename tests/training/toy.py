"""Small models and data for the tests of training; run as a program it trains one model, to be killed and resumed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.models.base import (
    ClosedFormRecommender,
    GradientRecommender,
    LossTerms,
    ModelContext,
    Pairs,
    Recommender,
    Triplets,
)
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.checkpoint import CheckpointStore
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import TrainingResult, Validation
from mmrec_bench.training.trainer import train

CPU = torch.device("cpu")


def random_interactions(n_users: int = 40, n_items: int = 30, share: float = 0.2, seed: int = 0) -> Interactions:
    """Users and items at random; every user has seen something, nobody everything."""
    seen = np.random.default_rng(seed).random((n_users, n_items)) < share
    seen[:, 0] = True
    seen[:, -1] = np.arange(n_users) % 2 == 0
    users, items = np.nonzero(seen)
    return Interactions(users, items, n_users, n_items)


def checkerboard(n: int = 24) -> tuple[Interactions, np.ndarray]:
    """Users like items of their own parity; the item of a user's own number is withheld."""
    users, items = np.nonzero((np.add.outer(np.arange(n), np.arange(n)) % 2 == 0) & ~np.eye(n, dtype=bool))
    return Interactions(users, items, n, n), np.arange(n)


class ToyMF(GradientRecommender):
    """BPR matrix factorisation with a squared regulariser."""

    batch_kind = Triplets

    def __init__(self, context: ModelContext, dim: int = 8) -> None:
        super().__init__()
        self.users = nn.Parameter(torch.randn(context.train.n_users, dim) * 0.1)
        self.items = nn.Parameter(torch.randn(context.train.n_items, dim) * 0.1)

    def loss(self, batch: Triplets) -> LossTerms:
        users = F.embedding(batch.users, self.users)
        positives, negatives = F.embedding(batch.positives, self.items), F.embedding(batch.negatives, self.items)
        return {
            "bpr": F.softplus((users * (negatives - positives)).sum(1)).mean(),
            "reg": 1e-3 * (users.square().sum() + positives.square().sum()) / len(users),
        }

    def export(self) -> Representations:
        return Representations(self.users.detach(), self.items.detach())


class ToyRandom(ToyMF):
    """Eats pairs; random in every way a model may be: dropout, an item mask drawn per epoch, a global draw, an MLP."""

    batch_kind = Pairs

    def __init__(self, context: ModelContext, dim: int = 8) -> None:
        super().__init__(context, dim)
        self.seeds = context.seeds
        self.tower = nn.Sequential(nn.Linear(dim, dim), nn.BatchNorm1d(dim), nn.Dropout(0.3), nn.Linear(dim, dim))
        self.register_buffer("mask", torch.ones(context.train.n_items), persistent=False)

    def on_epoch_start(self, epoch: int) -> None:
        generator = self.seeds.generator("mask", epoch, self.items.device)
        self.mask = (torch.rand(len(self.items), generator=generator) < 0.9).float()

    def loss(self, batch: Pairs) -> LossTerms:
        users, items = F.embedding(batch.users, self.users), F.embedding(batch.items, self.items)
        noisy = self.tower(items * self.mask.index_select(0, batch.items).unsqueeze(1)) + 0.01 * torch.randn_like(items)
        return {"align": (users - noisy).square().sum(1).mean(), "norm": (users.norm(dim=1) - 1).square().mean()}


class ToyClosed(ClosedFormRecommender):
    """Popularity."""

    def fit(self, context: ModelContext) -> None:
        counts = torch.tensor(context.train.item_counts(), dtype=torch.float32).unsqueeze(1)
        self.register_buffer("counts", counts)
        self.n_users = context.train.n_users

    def export(self) -> Representations:
        return Representations(torch.ones(self.n_users, 1), self.counts)


MODELS = {"mf": ToyMF, "random": ToyRandom}


def validate(model: Recommender) -> Validation:
    """A smooth, wavering score of whatever the model exports."""
    out = model.export()
    score = float(torch.sin(20 * (out.users @ out.items.T).double()).mean())
    return Validation(score, {"toy": score, "twice": 2 * score})


def recall_at_1(train_part: Interactions, truth: np.ndarray, model: Recommender) -> float:
    out = model.export()
    scores: Tensor = out.users @ out.items.T
    scores[torch.tensor(train_part.users), torch.tensor(train_part.items)] = -torch.inf
    return float((scores.argmax(1).numpy() == truth).mean())


def build(name: str, seed: int = 3) -> tuple[GradientRecommender, ModelContext]:
    context = ModelContext(random_interactions(), seeds=Seeds(seed))
    context.seeds.seed_global("init")
    return MODELS[name](context), context


def run(name: str, config: TrainerConfig, **options: object) -> tuple[GradientRecommender, TrainingResult]:
    """Build and train with seed 3 on the CPU."""
    model, context = build(name)
    return model, train(model, context, config, validate, context.seeds, CPU, **options)


def outcome(model: nn.Module, result: TrainingResult) -> dict[str, object]:
    """Everything that must be bit-identical, as JSON text can hold it; seconds are left out."""
    return {
        "weights": {name: value.double().flatten().tolist() for name, value in model.state_dict().items()},
        "best": [result.best_epoch, result.best_score, dict(result.best_metrics)],
        "epochs": [result.epochs_run, result.stopped_by],
        "history": [
            [record.epoch, record.learning_rate, record.loss, dict(record.terms), record.valid and dict(record.valid)]
            for record in result.history
        ],
    }


if __name__ == "__main__":
    _name, _config, _folder = sys.argv[1], TrainerConfig.model_validate_json(sys.argv[2]), Path(sys.argv[3])
    _model, _result = run(_name, _config, checkpoints=CheckpointStore(_folder / "checkpoint", "toy"), resume=True)
    (_folder / "outcome.json").write_text(json.dumps(outcome(_model, _result)))
