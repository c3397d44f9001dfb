"""Data sets rebuilt from raw files: the same pairs as the sets that others prepared, and real files parsed whole."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmrec_bench.data.cards import load_card, load_dataset, parse_card
from mmrec_bench.data.formats.prepared import PreparedCard
from mmrec_bench.data.pairs_digest import pairs_digest
from mmrec_bench.data.preparing.prepare import Means, prepare
from mmrec_bench.settings import Document

FILTER = {"user_rows": 5, "item_rows": 5}


def review(user: str, item: str, rng: np.random.Generator) -> dict[str, Any]:
    moment = int(rng.integers(1_000_000_000, 1_400_000_000))
    return {"reviewerID": str(user), "asin": str(item), "overall": float(rng.integers(1, 6)), "unixReviewTime": moment}


def noise(users: list[str], items: list[str], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Return reviews that no 5-core keeps, for they fall one after another: every row has a new user or a new item."""
    new_items = [f"N{n:09}" for n in range(1000)]
    rows = []
    for n in range(6_000):  # users with too few reviews
        known = items if n % 2 else new_items
        rows += [(f"NOISE{n}", item) for item in rng.choice(known, rng.integers(1, 5), replace=False)]
    for item in new_items:  # then items that had enough of these users, and too few real ones
        rows += [(user, item) for user in rng.choice(users, rng.integers(0, 3), replace=False)]
    for n in range(60):  # then users who had enough of these items
        rows += [(f"LATE{n}", item) for item in rng.choice(new_items, 9, replace=False)]
    return [review(user, item, rng) for user, item in rows]


@pytest.mark.data
def test_baby_rebuilt_from_raw_files_has_the_pairs_of_the_import(tmp_path: Path, data_dir: Path) -> None:
    imported = load_dataset(load_card("amazon-baby"), data_dir, [])
    pairs = imported.payload
    users, items = imported.user_ids[pairs.users].tolist(), imported.item_ids[pairs.items].tolist()
    rng = np.random.default_rng(0)
    rows = [review(user, item, rng) for user, item in zip(users, items, strict=True)]
    rows += noise(sorted(set(users)), sorted(set(items)), rng)
    rows += [row | {"overall": 1.0} for row in rows[:500]]  # some wrote twice
    order = rng.permutation(len(rows)).tolist()
    with gzip.open(tmp_path / "reviews_Baby.json.gz", "wt", compresslevel=1) as file:
        for place, row in enumerate(order):
            file.write((repr(rows[row]) if place % 50 == 0 else json.dumps(rows[row])) + "\n")
            if place % 10_000 == 0:
                file.write("<html>404 Not Found</html>\n")
    with gzip.open(tmp_path / "meta_Baby.json.gz", "wt", compresslevel=1) as file:
        file.writelines(
            repr({"asin": item, "title": f"Baby's {item}"}) + "\n" for item in imported.item_ids.tolist()[7:]
        )
    build = {
        "reader": "amazon-2014", "reviews": "reviews_Baby.json.gz", "metadata": "meta_Baby.json.gz", "k_core": FILTER,
        "split": "random-811",
    }  # fmt: skip
    document = {"schema_version": 1, "name": "rebuilt", "format": "prepared", "build": build}
    card = parse_card(Document("x", document | {"provenance": {"filter": FILTER}}))
    assert isinstance(card, PreparedCard)
    done = prepare(card, tmp_path, tmp_path / "data", Means(1024, 1))
    assert done.built.pairs_digest == imported.pairs_digest()
    assert done.built.pairs_digest != pairs_digest(pairs.users, pairs.items[::-1], imported.user_ids, imported.item_ids)
    sizes = [stage.rows for stage in done.built.steps]
    assert sizes[0] == len(rows)
    assert len(set(sizes)) >= 5, "several rounds take the noise away"
    assert [problem.kind for problem in done.built.problems] == ["not-json"]
    assert done.built.missing["title"] == 7
    rebuilt = load_dataset(card, tmp_path / "data")
    assert rebuilt.item_ids.tolist() == sorted(
        imported.item_ids.tolist(), key=lambda i: (not i.isdigit() or i[0] == "0", i)
    )
    assert rebuilt.pairs_digest() == imported.pairs_digest()
    assert rebuilt.payload.n_items == 7050


@pytest.mark.data
def test_metadata_of_magazines_is_parsed_whole(tmp_path: Path, data_dir: Path) -> None:
    """3,385 lines about 2,320 items; most titles are code of the page."""
    (path,) = (data_dir / "amazon-magazine-raw").glob("*.json.gz")
    with gzip.open(path, "rt") as file:
        known = [json.loads(line) for line in file]
    ids = sorted({row["asin"] for row in known})
    reviews = [{"reviewerID": "u", "asin": item, "overall": 5, "unixReviewTime": 1} for item in [*ids, "unknown"]]
    (tmp_path / "r.json").write_text("".join(json.dumps(row) + "\n" for row in reviews))
    (tmp_path / path.name).symlink_to(path)
    fields = ["brand", "category", "description"]
    build = {"reader": "amazon-2018", "reviews": "r.json", "metadata": path.name, "fields": fields}
    card = parse_card(Document("x", {"schema_version": 1, "name": "magazines", "format": "prepared", "build": build}))
    assert isinstance(card, PreparedCard)
    done = prepare(card, tmp_path, tmp_path / "data")
    found = {problem.kind: problem.count for problem in done.built.problems}
    assert len(ids) == 2320
    assert found["repeated-item"] == 3385 - 2320
    first = {row["asin"]: row for row in reversed(known)}
    junk = [item for item in ids if first[item]["title"].startswith("<span") or first[item]["title"].endswith("/>")]
    assert found == {"repeated-item": 1065, "title-junk": len(junk)}
    stored = {row["item_id"]: row for row in pq.read_table(done.folder / "items.parquet").to_pylist()}
    assert len(stored) == 2321
    untitled = [item for item, row in stored.items() if row["title"] is None]
    assert set(untitled) == {*junk, "unknown", *(item for item in ids if not first[item]["title"])}
    assert stored["unknown"] == {"item_id": "unknown", "title": None, "image_url": None, **dict.fromkeys(fields)}
    texts = [text for row in stored.values() for field in fields for text in row[field] or ()]
    assert not any("&amp;" in text or "<span" in text for text in texts)
    assert sum(row["image_url"] is not None for row in stored.values()) == sum(
        bool(first[item]["imageURLHighRes"] or first[item]["imageURL"]) for item in ids
    )
