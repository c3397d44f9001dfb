"""The quality report as a whole: every kind of data set, its page in a browser, and text of data that is markup."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrec_bench.data.cards import card_names, find_data, load_card
from mmrec_bench.errors import DataError
from mmrec_bench.reports.errors.thumbnails import Thumbnails
from mmrec_bench.reports.inspection.inspect import Inspection, inspect
from mmrec_bench.reports.inspection.pages import markdown, page, write
from tests.pages import Page

MARKUP = '<b onclick="alert(1)">bold</b> & <script>window.broken = 1</script> | `x`'
NAMES = ("mug", "pan", "pan and mug", "tin", "pan and tin", "one more pan")
CARD = """\
schema_version: 1
name: shop
title: "A <i>shop</i>"
format: sequences
sequences: shop.json
items: items.json
title_field: title
word_fields: {brand: whole}
text_vectors: {text: {dim: 4}}
counts: {n_users: 7, n_items: 12, n_interactions: 36}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(CARD)
    sequences = {f"u{user}": [f"i{(user + 2 * step) % 12}" for step in range(6)] for user in range(6)}
    (tmp_path / "shop.json").write_text(json.dumps(sequences))
    described = {f"i{item}": {"title": f"{MARKUP} {NAMES[item // 2]}", "brand": MARKUP} for item in range(12)}
    (tmp_path / "items.json").write_text(json.dumps(described))
    return tmp_path / "shop.yaml"


def found_of(shop: Path, pictures: Thumbnails | None = None) -> Inspection:
    return inspect(load_card(shop), None, "mmrec-bench data inspect shop.yaml", pictures)


def test_counts_that_differ_are_no_reason_to_show_nothing(shop: Path, tmp_path: Path) -> None:
    found = found_of(shop)
    assert ("sizes", "Careful: users: 6 found, 7 published.") in found.warnings()
    written = {path.name: path for path in write(found, tmp_path / "out")}
    told = json.loads(written["inspection.json"].read_text())
    assert told["sizes"]["found"] == {"n_users": 6, "n_items": 12, "n_interactions": 36}
    assert told["time"]["known"] is False
    assert written["inspection.html"].read_text() == page(found)
    assert "plots/shop-degrees.svg" in written["inspection.md"].read_text()
    assert (tmp_path / "out" / "plots" / "shop-degrees.svg").is_file()


def test_the_same_data_gives_the_same_bytes() -> None:
    first, second = (inspect(load_card("synthetic"), None, "c") for _ in range(2))
    assert page(first) == page(second)
    assert markdown(first) == markdown(second)


def test_text_of_data_is_shown_as_text(shop: Path) -> None:
    html, text = page(found_of(shop)), markdown(found_of(shop))
    assert "<script>window.broken" not in html
    assert "<b onclick" not in html
    assert "&lt;script&gt;window.broken" in html
    assert "<script>window.broken" not in text


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (400, "dark"), (1400, "light"), (1400, "dark")])
def test_a_browser_opens_it_without_a_request_an_error_or_overflow(
    shop: Path, tmp_path: Path, browser: Any, width: int, scheme: str
) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "pictures").mkdir()
    image.new("RGB", (400, 300), "red").save(tmp_path / "pictures" / "i3.png")
    write(found_of(shop, Thumbnails(tmp_path / "pictures")), tmp_path / "out")
    shown = Page(browser, tmp_path / "out" / "inspection.html", width, scheme)
    opened = shown.page
    assert shown.said == []
    assert len(shown.asked) == 1
    assert shown.widths[0] <= shown.widths[1]
    assert opened.evaluate("window.broken") is None
    assert MARKUP in opened.locator(".items").inner_text()
    assert opened.locator(".items img").evaluate_all("all => all.map(one => one.naturalWidth)") == [96]
    dead = opened.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.hash)).length"
    )
    assert dead == 0
    shown.close()


def test_addresses_of_pictures_are_links_and_only_of_the_web(shop: Path) -> None:
    found = found_of(shop)
    first, second = found.sample[:2]
    sample = (
        dataclasses.replace(first, link="https://example.org/a.jpg"),
        dataclasses.replace(second, link=""),
    )
    html = page(dataclasses.replace(found, sample=sample))
    assert html.count('rel="noreferrer"') == 1


@pytest.mark.parametrize("name", ["synthetic", "synthetic-ranking", "synthetic-clicks", "synthetic-diverse"])
def test_made_data_sets_are_inspected(name: str) -> None:
    found = inspect(load_card(name), None, "c")
    assert [section.name for section in found.sections][:3] == ["sizes", "degrees", "time"]
    assert json.loads(json.dumps(found.json(), allow_nan=False))["dataset"] == name
    assert len(found.sample) == 24


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", card_names())
def test_every_data_set_that_is_there_is_inspected(name: str, data_dir: Path) -> None:
    card = load_card(name)
    if not card.embedded and find_data(card, data_dir) is None:
        pytest.skip("not there")
    found = inspect(card, data_dir, "c")
    assert not [fact for anchor, fact in found.warnings() if anchor == "sizes"]


def test_data_that_is_not_there_is_told(tmp_path: Path, shop: Path) -> None:
    (tmp_path / "shop.json").unlink()
    with pytest.raises(DataError, match=r"shop\.json was not found"):
        found_of(shop)


def test_one_user_and_one_item_are_enough(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(
        "schema_version: 1\nname: one\nformat: mmrec\ninteractions: one.inter\nfeatures: {image: i.npy}\n"
    )
    (tmp_path / "one.inter").write_text("userID\titemID\ttimestamp\n0\t0\t1600000000\n")
    np.save(tmp_path / "i.npy", np.ones((1, 3), np.float32))
    found = inspect(load_card(tmp_path / "one.yaml"), None, "c")
    assert found.warnings() == []
    assert "1 item" in page(found)
