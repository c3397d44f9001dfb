"""On the checkerboard every sane personalised model ranks the withheld item of each user first.

The training loop and the ranking are written out here in a few lines, so that a fault of the trainer or the retriever
cannot hide one of a model.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mmrec_bench.data.checkerboard import checkerboard
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.models.base import (
    MODELS,
    ClosedFormRecommender,
    GradientRecommender,
    ModelContext,
    Pairs,
    Preset,
    Recommender,
    Triplets,
)
from mmrec_bench.testing.subjects import Subject, all_scores, backward, every_subject

EXEMPT = {
    "popularity": "one ranking for all users: items of both parities are equally popular, so it cannot tell them apart",
    "recent-popularity": "one ranking for all users, as popularity",
}
"""Models that cannot pass by theory, and why."""
FAULTY = {f"{label}-released": "the loss reads users where items stand" for label in ("mvgae", "motor(mvgae)")}
"""Published behaviour that learns nothing of items, and why."""

SIDE = 24
PRESETS: tuple[Preset, ...] = ("clean", "released")
OPTIONS = {
    # Released: neighbours are kept by consumed item, so an item among nobody's ten nearest is never scored. With as
    # many neighbours as items of one parity there is no such item.
    ("itemknn-content", "released"): {"n_neighbors": SIDE // 2},
    # At this learning rate one of three starts of three layers ends with 22 of 24 items in place.
    ("mmgcn", "clean"): {"n_layers": 2},
    # There are two kinds of items. More tokens than that stand for the noise in their features alone, and so few items
    # share one that some hosts learn it by heart.
    ("motor", "clean"): {"n_subspaces": 1, "n_codes": 2},
    ("motor", "released"): {"n_subspaces": 1, "n_codes": 2},
}
EPOCHS = 150


def board() -> tuple[ModelContext, Interactions]:
    """Return the context of the training cells, and the withheld cells."""
    data = checkerboard(SIDE, SIDE)
    labels = data.payload.labels
    assert labels is not None
    train, withheld = (
        replace(data.payload.select(mask), labels=None, order=np.arange(mask.sum()))
        for mask in (labels == 0, labels != 0)
    )
    return ModelContext(train, data.features, data.items, batch_size=len(train)), withheld


def train(model: Recommender, context: ModelContext) -> None:
    """Fit, or take one Adam step an epoch on all pairs with fresh negatives."""
    if isinstance(model, ClosedFormRecommender):
        model.fit(context)
        return
    assert isinstance(model, GradientRecommender)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    users, items = torch.tensor(context.train.users), torch.tensor(context.train.items)
    seen = context.train.matrix().toarray()[context.train.users] > 0
    model.train()
    for epoch in range(EPOCHS):
        context.seeds.seed_global("epoch", epoch)
        model.on_epoch_start(epoch)
        draws = np.where(seen, -1.0, context.seeds.numpy("negatives", epoch).random(seen.shape))
        triplets = Triplets(users, items, torch.tensor(draws.argmax(axis=1)))
        optimizer.zero_grad()
        backward(model.loss(Pairs(users, items) if model.batch_kind is Pairs else triplets))
        optimizer.step()


def places(model: Recommender, context: ModelContext, withheld: Interactions) -> np.ndarray:
    """Return the place of each withheld item among the items not seen in train, 0 = first; equals come before it."""
    scores = all_scores(model.eval().export()).numpy().copy()
    own = scores[withheld.users, withheld.items].copy()
    scores[context.train.users, context.train.items] = -np.inf
    return np.asarray((scores[withheld.users] >= own[:, None]).sum(axis=1) - 1)


SUBJECTS = [
    subject.with_options(**OPTIONS.get((subject.entry.name, preset), {}))
    for preset in PRESETS
    for subject in every_subject(preset)
    if subject.entry.name not in EXEMPT and str(subject) not in FAULTY
]


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_the_withheld_item_comes_first(subject: Subject) -> None:
    context, withheld = board()
    assert sorted(withheld.users) == list(range(SIDE))
    model = subject.build(context)
    train(model, context)
    recall = float((places(model, context, withheld) == 0).mean())
    assert recall == 1.0


@pytest.mark.parametrize("name", EXEMPT)
def test_the_exempt_cannot_do_it(name: str) -> None:
    context, withheld = board()
    model = Subject(MODELS[name]).build(context)
    train(model, context)
    assert (places(model, context, withheld) == 0).mean() < 1.0


@pytest.mark.parametrize("subject", [one for one in every_subject("released") if str(one) in FAULTY], ids=str)
def test_the_faulty_cannot_do_it(subject: Subject) -> None:
    context, withheld = board()
    model = subject.build(context)
    train(model, context)
    assert (places(model, context, withheld) == 0).mean() < 0.5
