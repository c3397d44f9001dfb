"""Small data without a leak, into which each test plants one."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import pytest

from mmrec_bench.audit import Subject
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.provenance import TimePromise
from mmrec_bench.data.rules import SPLITS, Labelled, Random811, SplitConfig
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.data.splitting import make_list_split, make_split

N_USERS, N_ITEMS = 600, 200


class BrokenPromise(SplitConfig):
    """A rule that promises time and draws by chance."""

    name: Literal["broken"] = "broken"
    promised: Literal["global", "user"] = "global"
    """What it promises."""

    def promise(self, delivered: TimePromise) -> TimePromise:
        return self.promised

    def assign(self, interactions: Interactions) -> Labelled:
        return Random811().assign(interactions)


class Plant:
    """Makes subjects."""

    def interactions(self) -> Interactions:
        """Users of one row or more, rarer the more they are, at times of their own: no filter and no tie."""
        rng = np.random.default_rng(3)
        counts = rng.geometric(0.15, N_USERS)
        users = np.repeat(np.arange(N_USERS), counts)
        popularity = 1 / np.arange(1, N_ITEMS + 1) ** 0.8
        items = np.concatenate([rng.choice(N_ITEMS, n, False, popularity / popularity.sum()) for n in counts])
        times = rng.permutation(np.arange(len(users))) * 60 + 1_600_000_000
        return Interactions(users, items, N_USERS, N_ITEMS, timestamps=times)

    def table(self, name: str = "image", dim: int = 16) -> FeatureTable:
        values = np.random.default_rng(5).standard_normal((N_ITEMS, dim)).astype(np.float32)
        return FeatureTable(name, values, np.arange(N_ITEMS) != 7, "drawn")

    def dataset(self, payload: Any = None, *tables: FeatureTable, titles: list[str] | None = None) -> Dataset[Any]:
        payload = self.interactions() if payload is None else payload
        names = [f"Title {row}" for row in range(payload.n_items)] if titles is None else titles
        return Dataset(
            "planted",
            payload,
            {table.modality: table for table in (tables or (self.table(),))} if payload.n_items == N_ITEMS else {},
            ItemTable(titles=np.array(names)),
            np.array([f"u{row}" for row in range(payload.n_users)]),
            np.array([f"i{row}" for row in range(payload.n_items)]),
        )

    def lists(self) -> Lists:
        """Queries of one or two lists, with features of their own."""
        rng = np.random.default_rng(9)
        n_lists, length = 180, 6
        users = np.sort(rng.permutation(np.concatenate((np.arange(120), np.arange(60)))))
        return Lists(
            list_of=np.repeat(np.arange(n_lists), length),
            items=np.concatenate([rng.choice(N_ITEMS, length, False) for _ in range(n_lists)]),
            n_items=N_ITEMS,
            users=users,
            n_users=120,
            features=rng.standard_normal((n_lists * length, 4)).astype(np.float32),
            labels=rng.integers(0, 3, n_lists * length),
            timestamps=1_600_000_000 + np.arange(n_lists),
        )

    def subject(
        self, dataset: Dataset[Any] | None = None, rule: str | SplitConfig = "global-time", **facts: Any
    ) -> Subject:
        """Return the subject of a data set under a rule; ``facts`` replace what it says."""
        dataset = self.dataset() if dataset is None else dataset
        config = SPLITS[rule]() if isinstance(rule, str) else rule
        split: Any = (make_list_split if isinstance(dataset.payload, Lists) else make_split)(dataset.payload, config)
        test = split.test.open("planting a leak", VaultLedger())
        return Subject(dataset, config, split.train, split.valid, test, **facts)

    def with_row(self, part: Interactions, user: int, item: int, time: int) -> Interactions:
        """Return a part with one more row."""
        one = {"users": user, "items": item, "timestamps": time}
        return dataclasses.replace(part, **{name: np.append(getattr(part, name), value) for name, value in one.items()})


@pytest.fixture
def plant() -> Plant:
    return Plant()
