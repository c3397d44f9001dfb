"""From an address to a table: what a suite needs and is not there is fetched, prepared and run."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrec_bench.cli import app as cli
from mmrec_bench.data.cards import DATA_VARIABLE, find_data, load_card, load_dataset
from mmrec_bench.experiments.obtaining import missing_cards, obtain
from mmrec_bench.reports.inspection.inspect import inspect
from tests.data.fetching.server import Answer, Server

CARD = """\
schema_version: 1
name: tiny-2014
format: prepared
downloads:
  - {{file: reviews.json.gz, urls: ["{url}/reviews.json.gz"]}}
  - {{file: meta.json.gz, urls: ["{url}/meta.json.gz"]}}
  - {{file: image.b, urls: ["{url}/image.b"]}}
build:
  reader: amazon-2014
  reviews: reviews.json.gz
  metadata: meta.json.gz
  fields: [brand]
  image_features: image.b
  k_core: {{user_rows: 5, item_rows: 5}}
  split: {{name: random-811, seed: 0}}
word_fields: [brand]
text_vectors: {{text: {{dim: 3}}}}
provenance: {{filter: {{user_rows: 5, item_rows: 5}}, fields: {{brand: {{made_of: content}}}}}}
"""
SUITE = """\
schema_version: 1
title: Tiny
seeds: [0]
experiments:
  - config: popularity.yaml
  - config: vbpr.yaml
"""
RUN = """\
schema_version: 1
dataset: {{card: card.yaml}}
protocol: {{split: x-label, exclude: [train], cutoffs: [5], select_by: recall@5}}
model: {{name: {name}}}
{trainer}seeds: [0]
"""
TRAINER = (
    "trainer: {optimizer: adam, learning_rate: 0.01, batch_size: 512, max_epochs: 2, validate_every: 1, patience: 2}\n"
)


def packed(rows: list[dict[str, Any]], loose: bool = False) -> bytes:
    return gzip.compress("".join((repr(row) if loose else json.dumps(row)) + "\n" for row in rows).encode(), mtime=0)


def raw_files(seed: int = 0) -> dict[str, bytes]:
    """Files as of 2014: a dense part that the 5-core keeps, users and items that it removes, and loose metadata."""
    rng = np.random.default_rng(seed)
    pairs = {(f"U{user}", f"B{item:09}") for user in range(40) for item in rng.choice(30, 8, replace=False)}
    pairs |= {(f"R{user}", f"B{user % 30:09}") for user in range(50)}
    rows = [
        {"reviewerID": user, "asin": item, "overall": 4.0, "unixReviewTime": 1_400_000_000 + place, "reviewText": "x"}
        for place, (user, item) in enumerate(sorted(pairs))
    ]
    items = [
        {"asin": f"B{item:09}", "title": f"Item {'abcdefghij'[item % 10]} {item}", "brand": f"Brand {item % 4}"}
        for item in range(30)
    ]
    vectors = b"".join(
        f"B{item:09}".encode() + rng.random(4096, np.float32).tobytes() for item in range(28)
    )  # the last two items have none
    return {"reviews.json.gz": packed(rows), "meta.json.gz": packed(items, loose=True), "image.b": vectors}


def serve(server: Server, prefix: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        server.at(f"{prefix}/{name}", Answer(data))


def write_suite(folder: Path, url: str) -> Path:
    (folder / "card.yaml").write_text(CARD.format(url=url))
    (folder / "popularity.yaml").write_text(RUN.format(name="popularity", trainer=""))
    (folder / "vbpr.yaml").write_text(RUN.format(name="vbpr", trainer=TRAINER))
    (folder / "suite.yaml").write_text(SUITE)
    return folder / "suite.yaml"


def bench(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str) -> int:
    fixed = (
        "--out",
        str(folder / "runs"),
        "--report-dir",
        str(folder / "reports"),
        "--threads",
        "1",
        "--device",
        "cpu",
    )
    monkeypatch.setattr(sys, "argv", ["mmrec-bench", "bench", str(folder / "suite.yaml"), *fixed, *arguments])
    try:
        cli.main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_a_suite_fetches_prepares_and_runs(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = raw_files()
    serve(server, "/2014", files)
    server.at("/2014/image.b", Answer(files["image.b"], cut=200_000), Answer(files["image.b"]))
    write_suite(tmp_path, f"{server.url}/2014")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    assert bench(monkeypatch, tmp_path) == 1
    assert server.asked == [], "nobody is asked unless one says so"
    assert bench(monkeypatch, tmp_path, "--fetch") == 0
    printed = capsys.readouterr().out
    assert "data set 'tiny-2014' is not there and is fetched" in printed
    assert server.ranges()[-1] == "bytes=200000-"
    made = load_dataset(load_card(tmp_path / "card.yaml"))
    assert made.payload.n_users == 40
    assert len(made.payload) == 320
    assert set(made.features) == {"image", "text"}
    assert made.features["image"].n_missing == 2
    assert (tmp_path / "data" / "raw" / "tiny-2014" / "image.b.fetched.json").is_file()
    assert not list((tmp_path / "data" / "raw" / "tiny-2014").glob("*.part"))
    report = (tmp_path / "reports" / "suite" / "report.md").read_text()
    assert "popularity" in report
    assert "vbpr" in report
    asked = len(server.asked)
    assert bench(monkeypatch, tmp_path, "--fetch") == 0
    assert len(server.asked) == asked, "what is there is not fetched again"


def test_what_cannot_be_fetched_ends_the_suite_with_the_place_for_the_file(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = raw_files()
    del files["image.b"]
    serve(server, "/2014", files)
    write_suite(tmp_path, f"{server.url}/2014")
    assert bench(monkeypatch, tmp_path, "--fetch", "--data-dir", str(tmp_path / "data")) == 2
    told = capsys.readouterr().err
    assert "answers 404" in told
    assert str(tmp_path / "data" / "raw" / "tiny-2014" / "image.b") in told
    assert find_data(load_card(tmp_path / "card.yaml"), tmp_path / "data") is None


def test_a_card_of_ones_own_is_built_beside_it(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    serve(server, "/2014", raw_files())
    write_suite(tmp_path, f"{server.url}/2014")
    (card,) = missing_cards([str(tmp_path / "card.yaml")] * 2, None)
    assert obtain(card, None) == tmp_path / "tiny-2014"
    assert missing_cards([str(tmp_path / "card.yaml")], None) == []
    found = inspect(card, None, "c")
    assert found.sections[0].data["found"]["n_interactions"] == 320
    (built,) = (section for section in found.sections if section.name == "built")
    assert [row[1:] for row in built.tables[0].rows][-1] == ("320", "40", "30")
    assert {row[0] for row in built.tables[1].rows} == {"reviews.json.gz", "meta.json.gz", "image.b"}
    assert "2 items came without image." in built.facts


def test_what_needs_no_file_or_cannot_be_fetched_is_left_alone(tmp_path: Path) -> None:
    assert missing_cards(["synthetic", "tiktok", "amazon-baby"], tmp_path) == []
    assert [card.name for card in missing_cards(["amazon-2023:All_Beauty"], tmp_path)] == ["amazon-2023-all-beauty"]


@pytest.mark.data
@pytest.mark.slow
def test_the_bundled_baby_of_2014_is_built_of_a_mirror(
    server: Server, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raw files made of the interactions of `amazon-baby` give the published counts and the same pairs."""
    baby = load_dataset(load_card("amazon-baby"), data_dir, modalities=())
    pairs = zip(baby.user_ids[baby.payload.users].tolist(), baby.item_ids[baby.payload.items].tolist(), strict=True)
    rows = [
        {"reviewerID": user, "asin": item, "overall": 5.0, "unixReviewTime": 1_400_000_000 + place}
        for place, (user, item) in enumerate(pairs)
    ]
    rows += [{**rows[0], "reviewerID": f"ONCE{place}"} for place in range(500)]
    items = [
        {"asin": item, "title": f"word{place % 97} of {item}", "brand": "B", "categories": [["Baby"]]}
        for place, item in enumerate(baby.item_ids.tolist())
    ]
    vector = np.ones(4096, np.float32)
    files = {
        "reviews_Baby.json.gz": packed(rows),
        "meta_Baby.json.gz": packed(items, loose=True),
        "image_features_Baby.b": b"".join(
            item.encode().ljust(10) + vector.tobytes() for item in baby.item_ids[:50].tolist()
        ),
    }
    serve(server, "/mirror/amazon-baby-2014", files)
    (card,) = missing_cards(["amazon-baby-2014"], tmp_path)
    obtain(card, tmp_path, f"{server.url}/mirror")
    made = load_dataset(card, tmp_path)
    assert len(made.payload) == 160_792
    assert made.pairs_digest() == baby.pairs_digest()
