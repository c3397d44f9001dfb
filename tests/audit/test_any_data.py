"""Whatever can be split can be audited: an audit must never lose a run."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from mmrec_bench.audit import Audit, Made, Subject, audit
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable
from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.data.points import Points
from mmrec_bench.data.provenance import Field, Filter, Provenance
from mmrec_bench.data.rules import SPLITS
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.data.splitting import make_list_split, make_point_split, make_split
from mmrec_bench.errors import ProtocolError

DECLARED = (
    Provenance(),
    Provenance(filter="none", split="user"),
    Provenance(filter=Filter(item_rows=2, counted_on="train"), split="global"),
    Provenance(fields={"image": Field(made_of="train", until=3), "text": Field(until="1970-01-01")}),
)


def some(rng: np.random.Generator, n: int, kind: int) -> Any:
    """Return random times of n rows: none, all equal, few, or many; negative ones too."""
    return [None, np.full(n, 5), rng.integers(-2, 2, n), rng.integers(0, 10**9, n)][kind]


def interactions(rng: np.random.Generator) -> Interactions:
    n_users, n_items = int(rng.integers(1, 12)), int(rng.integers(1, 15))
    keys = np.flatnonzero(rng.random(n_users * n_items) < rng.random())
    n, kind = len(keys), int(rng.integers(4))
    order, labels = rng.permutation(n) if rng.random() < 0.5 else None, rng.integers(0, 3, n).astype(np.int8)
    times = some(rng, n, kind)
    return Interactions(keys // n_items, keys % n_items, n_users, n_items, None, order, times, labels)


def lists(rng: np.random.Generator) -> Lists:
    n_users, n_items, lengths = 6, 15, rng.integers(1, 4, int(rng.integers(3, 20)))
    n, n_lists = int(lengths.sum()), len(lengths)
    begins = np.concatenate([[0], np.cumsum(rng.integers(0, 3, n_lists))])
    return Lists(
        np.repeat(np.arange(n_lists), lengths), rng.integers(0, n_items, n), n_items,
        rng.integers(0, n_users, n_lists), n_users,
        features=rng.integers(-1, 2, (n, 2)).astype(np.float32) if rng.random() < 0.6 else None,
        labels=rng.integers(0, 2, n) if rng.random() < 0.6 else None,
        timestamps=some(rng, n_lists, int(rng.integers(4))),
        parts=rng.choice([[0, 0, 2], [0, 1, 2]][int(rng.integers(2))], n_lists).astype(np.int8),
        histories=Histories(begins, rng.integers(0, n_items, begins[-1])) if rng.random() < 0.6 else None,
    )  # fmt: skip


def points(rng: np.random.Generator) -> Points:
    n = int(rng.integers(8, 60))
    times = np.sort(some(rng, n, int(rng.integers(2, 4))))
    labels = rng.integers(0, 2, n).astype(np.int8)
    return Points(rng.integers(0, 5, n), rng.integers(0, 15, n), labels, times, 5, 15, "drawn")


MAKE = {
    "interactions": (interactions, make_split),
    "lists": (lists, make_list_split),
    "points": (points, make_point_split),
}


@pytest.mark.parametrize("kind", MAKE)
def test_what_can_be_split_can_be_audited(kind: str) -> None:
    draw, split = MAKE[kind]
    made = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        payload: Any = draw(rng)
        values = rng.integers(-1, 2, (payload.n_items, 3)).astype(np.float32)
        tables = {
            name: FeatureTable(name, values[:, : 1 + row], rng.random(payload.n_items) < 0.7, "drawn")
            for row, name in enumerate(("image", "text"))
        }
        titles = np.array([" ", "A", "a b", ""])[rng.integers(0, 4, payload.n_items)]
        names = [
            np.array([f"{what}{row}" for row in range(n)])
            for what, n in (("u", payload.n_users), ("i", payload.n_items))
        ]
        dataset: Dataset[Any] = Dataset("drawn", payload, tables, ItemTable(titles=titles), *names)
        for name in SPLITS:
            if (rule := SPLITS[name]).model_fields.keys() & {"of"} or rule().refusal(kind) is not None:  # type: ignore[arg-type]
                continue
            try:
                parted: Any = split(payload, rule())  # type: ignore[operator]
            except ProtocolError:
                continue
            subject = Subject(
                dataset, rule(), parted.train, parted.valid, parted.test.open("fuzz", VaultLedger()),
                DECLARED[seed % len(DECLARED)], {"image": "", "text": "reviews.npy"},
                (Made("text", "ica"),) * (seed % 2), [None, 1, 10**9][seed % 3],
            )  # fmt: skip
            found = audit(subject)
            assert isinstance(found, Audit)
            json.dumps(found.as_json(), allow_nan=False)
            made += 1
    assert made > 100, made
