"""A small data set in the form of 2014, for tests of preparing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from mmrec_bench.data.cards import parse_card
from mmrec_bench.data.formats.prepared import PreparedCard
from mmrec_bench.settings import Document

BUILD = {
    "reader": "amazon-2014",
    "reviews": "reviews.json.gz",
    "metadata": "meta.json.gz",
    "fields": ["brand", "categories"],
    "min_rating": 2,
    "k_core": {"user_rows": 3, "item_rows": 4},
    "split": {"name": "random-811", "seed": 3},
}
FILTER = {"user_rows": 3, "item_rows": 4}


def card_of(build: dict[str, Any] = BUILD, **more: Any) -> PreparedCard:
    told = {"provenance": {"filter": FILTER}} if "k_core" in build else {}
    document = {"schema_version": 1, "name": "tiny", "format": "prepared", "build": build, **told, **more}
    card = parse_card(Document("tiny.yaml", document))
    assert isinstance(card, PreparedCard)
    return card


def reviews(seed: int = 0, n: int = 900) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    users, items = rng.zipf(1.5, n) % 70, rng.zipf(1.4, n) % 40
    return [
        {"reviewerID": f"U{u}", "asin": f"{i}" if i % 3 else f"B{i:03}", "overall": float(r), "unixReviewTime": int(t)}
        for u, i, r, t in zip(users, items, rng.integers(1, 6, n), rng.integers(1e9, 1e9 + 50, n), strict=True)
    ]


def metadata() -> list[dict[str, Any]]:
    ids = [f"{i}" if i % 3 else f"B{i:03}" for i in range(40) if i % 5]
    return [
        {"asin": i, "title": f"Item &amp; {i}", "imUrl": f"http://a/{i}.jpg", "categories": [["Baby", i], ["Baby"]],
         "salesRank": {"Baby": 4}, **({"brand": "Acme"} if i < "B" else {})}
        for i in ids
    ]  # fmt: skip


def write(folder: Path, rows: list[dict[str, Any]] | None = None, items: list[dict[str, Any]] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    with gzip.open(folder / "reviews.json.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in (reviews() if rows is None else rows))
    with gzip.open(folder / "meta.json.gz", "wt") as file:
        file.writelines(repr(row) + "\n" for row in (metadata() if items is None else items))
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.suffix != ".lock" and path.name != ".partial")
