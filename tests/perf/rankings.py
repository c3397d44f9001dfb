"""Click simulation, decoding and epochs of the rankers, on made-up lists of ten."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import torch

from mmrec_bench.clicks import CLICK_MODELS
from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.ranking.base import Ranker, RankingContext
from mmrec_bench.models.ranking.padding import PaddedLists
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import Validation
from mmrec_bench.training.trainer import train
from tests.perf.setup import Epochs, seconds

CPU = torch.device("cpu")
LENGTH, N_LISTS, N_ITEMS, N_FEATURES, N_HISTORY = 10, 100_000, 5_000, 16, 10
N_SIMULATED = 1_000_000
EPOCHS_OF = ("inforank", "starank", "mlp", "dla")


def made_up_lists() -> Lists:
    """Return 100,000 lists of ten rows with values, clicks and histories; nothing can be learned from them."""
    rng = np.random.default_rng(0)
    n = N_LISTS * LENGTH
    return Lists(
        list_of=np.repeat(np.arange(N_LISTS), LENGTH),
        items=(rng.integers(0, N_ITEMS, N_LISTS).repeat(LENGTH) + np.tile(np.arange(LENGTH), N_LISTS)) % N_ITEMS,
        n_items=N_ITEMS,
        users=np.arange(N_LISTS),
        n_users=N_LISTS,
        features=rng.standard_normal((n, N_FEATURES), dtype=np.float32),
        positions=np.tile(np.arange(1, LENGTH + 1), N_LISTS),
        clicks=rng.random(n) < 0.1,
        labels=rng.integers(0, 5, n),
        histories=Histories(np.arange(N_LISTS + 1) * N_HISTORY, rng.integers(0, N_ITEMS, N_LISTS * N_HISTORY)),
    )


def print_rankings() -> None:
    """Print the tables."""
    _simulation()
    lists = made_up_lists()
    _decoding(lists)
    _epochs(lists)


def _simulation() -> None:
    print("\n### Clicks on 1,000,000 lists of 10 rows, one thread\n\n| click model | s |\n| :-- | --: |")
    labels = np.random.default_rng(0).integers(0, 5, (N_SIMULATED, LENGTH))
    for name in CLICK_MODELS:
        model = CLICK_MODELS[name].model_validate({"name": name})
        took = seconds(lambda m=model: m.simulate(labels, np.random.default_rng(1)))
        print(f"| {name} | {took:.1f} |")


def _decoding(lists: Lists) -> None:
    print("\n### STARank puts 100,000 lists of 10 rows in order\n\n| decoding | s |\n| :-- | --: |")
    for decoding in ("greedy", "sample", "beam"):
        model = _model("starank", lists, decoding=decoding, item_ids=True)
        padded = PaddedLists(lists, np.arange(N_ITEMS), CPU, model.history_length)
        print(f"| {decoding} | {seconds(lambda m=model, p=padded: _arrange_all(m, p)):.1f} |")


def _arrange_all(model: Ranker, padded: PaddedLists) -> None:
    model.eval()
    with torch.no_grad():
        for part in torch.arange(len(padded)).split(2048):
            model.arrange(padded.inputs(part))


def _epochs(lists: Lists) -> None:
    print("\n### An epoch over 1,000,000 impressions, 1,024 lists a batch\n\n| model | s |\n| :-- | --: |")
    for name in EPOCHS_OF:
        observer = Epochs()
        context = RankingContext(lists, batch_size=1024)
        model = _model(name, lists, learns_from="clicks", item_ids=True)
        config = TrainerConfig(batch_size=1024, max_epochs=3, validate_every=3)
        train(model, context, config, lambda _: Validation(0.0, {}), context.seeds, CPU, None, observer)
        print(f"| {name} | {statistics.median(observer.seconds[1:]):.1f} |")


def _model(name: str, lists: Lists, **settings: Any) -> Ranker:
    entry = MODELS[name]
    model = entry.build(entry.config.model_validate({"name": name, **settings}), RankingContext(lists, batch_size=1024))
    assert isinstance(model, Ranker)
    return model
