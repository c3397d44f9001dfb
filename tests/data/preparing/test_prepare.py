"""Raw files in, a data set out: against a slow reference, with dirt, interrupted, and of any edition."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import mmrec_bench.data.folds  # noqa: F401 (registers the rule without-fold)
from mmrec_bench.data.cards import load_card, load_dataset
from mmrec_bench.data.formats.prepared import read_card
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.preparing import canonical
from mmrec_bench.data.preparing.prepare import Means, prepare
from mmrec_bench.data.rules import Random811
from mmrec_bench.data.tasks import Here
from mmrec_bench.errors import DataError, ProtocolError
from tests.data.preparing.small import BUILD, card_of, files, left_behind, metadata, reviews, write


def reference(rows: list[dict[str, Any]], keep: str = "first") -> dict[tuple[str, str], tuple[float, int]]:
    """Return rating and time of each pair that is left, by loops."""
    order = sorted(enumerate(rows), key=lambda row: (row[1]["unixReviewTime"], row[0]), reverse=keep == "last")
    left: dict[tuple[str, str], tuple[float, int]] = {}
    for _, row in order:
        if row["overall"] >= 2:
            left.setdefault((row["reviewerID"], row["asin"]), (row["overall"], row["unixReviewTime"]))
    while True:
        users, items = (Counter(pair[side] for pair in left) for side in (0, 1))
        bad = [pair for pair in left if users[pair[0]] < 3 or items[pair[1]] < 4]
        if not bad:
            return left
        del left[bad[0]]


@pytest.mark.parametrize("keep", ["first", "last"])
def test_it_is_what_a_slow_search_finds(tmp_path: Path, keep: str) -> None:
    rows = reviews()
    card = card_of(BUILD | {"repeats": keep})
    made = prepare(card, write(tmp_path / "raw"), tmp_path / "data")
    assert not made.was_there
    expected = reference(rows, keep)
    assert 100 < len(expected) < len({(row["reviewerID"], row["asin"]) for row in rows})
    table = pq.read_table(made.folder / "interactions.parquet").to_pydict()
    pairs = list(zip(table["user_id"], table["item_id"], strict=True))
    assert pairs == sorted(expected), "in the order of the ids"
    assert list(zip(table["rating"], table["timestamp"], strict=True)) == [expected[pair] for pair in pairs]
    steps = [(stage.step, stage.rows) for stage in made.built.steps]
    assert steps[0] == ("read", 900)
    assert steps[1] == ("rating of 2 or more", sum(row["overall"] >= 2 for row in rows))
    assert steps[-1][1] == len(pairs)
    assert len(steps) > 5, "more than one round"

    data = load_dataset(card, tmp_path / "data")
    found = data.payload
    assert {(data.user_ids[u], data.item_ids[i]) for u, i in zip(found.users, found.items, strict=True)} == set(
        expected
    )
    assert data.pairs_digest() == made.built.pairs_digest
    assert found.labels is not None
    split = Random811(seed=3).assign(Interactions(found.users, found.items, found.n_users, found.n_items))
    assert np.array_equal(found.labels, split.labels), "the label column is the rule on what is read"
    assert made.built.split == tuple(np.bincount(split.labels).tolist())


def test_items_are_described_and_what_is_missing_is_counted(tmp_path: Path) -> None:
    card = card_of(word_fields=["brand", "categories"])
    made = prepare(card, write(tmp_path / "raw"), tmp_path / "data")
    data = load_dataset(card, tmp_path / "data")
    items = data.items
    assert items.titles is not None
    assert items.images is not None
    assert items.words is not None
    known = {row["asin"]: row for row in metadata()}
    assert (data.item_ids[:3].tolist(), data.item_ids[-1]) == (["1", "2", "4"], "B024"), "whole numbers first"
    assert 0 < sum(item not in known for item in data.item_ids.tolist()) == made.built.missing["title"]
    for row, item in enumerate(data.item_ids.tolist()):
        title, image, words = items.titles[row], items.images[row], items.words.of_item(row)
        if item not in known:
            assert (title, image, words) == ("", "", ())
            continue
        assert (title, image) == (f"Item & {item}", f"http://a/{item}.jpg")
        brand = (("brand", "Acme"),) if item < "B" else ()
        assert words == (*brand, *sorted((("categories", "Baby"), ("categories", item))))
    texts = card.texts(made.folder, data, ["categories", "title"])
    assert list(texts) == ["categories", "title"]
    assert texts["title"] == items.titles.tolist()
    assert texts["categories"][0] == "Baby, 1"
    with pytest.raises(DataError, match="unknown text field 'salesRank'"):
        card.texts(made.folder, data, ["salesRank"])
    stored = pq.read_table(made.folder / "items.parquet")
    assert stored.column_names == ["item_id", "title", "image_url", "brand", "categories"], "nothing else is kept"
    assert stored["item_id"].to_pylist() == data.item_ids.tolist()


def test_the_same_rows_make_the_same_bytes_in_any_order_by_any_means(tmp_path: Path) -> None:
    rows = reviews()
    first = prepare(card_of(), write(tmp_path / "raw"), tmp_path / "a").folder
    again = prepare(card_of(), tmp_path / "raw", tmp_path / "b", Means(512, threads=2)).folder
    assert files(first) == files(again)
    shards = Means(tasks=Here(), n_shards=3)
    assert files(prepare(card_of(), tmp_path / "raw", tmp_path / "c", shards).folder) == files(first)
    by_time = sorted(rows, key=lambda row: row["unixReviewTime"])  # stable: rows of one moment keep their places
    moved = write(tmp_path / "moved", by_time, metadata()[::-1])
    other = prepare(card_of(), moved, tmp_path / "d").folder
    for name in ("interactions.parquet", "items.parquet"):
        assert files(other)[name] == files(first)[name]


def test_row_groups_do_not_hang_on_how_batches_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "ROWS", 64)
    first = prepare(card_of(), write(tmp_path / "raw"), tmp_path / "a").folder
    stored = pq.ParquetFile(first / "interactions.parquet").metadata
    assert stored.num_row_groups == -(-stored.num_rows // 64)
    assert load_dataset(card_of(), tmp_path / "a").payload.labels is not None


def test_dirt_is_counted_by_kind_with_its_first_line(tmp_path: Path) -> None:
    good = reviews()
    raw = write(tmp_path / "raw", good)
    one = good[0]
    dirt = [
        "not json at all", "[1, 2]", "3", repr(one | {"reviewerID": "Uloose"}), "",
        json.dumps(one | {"reviewerID": None}), json.dumps(one | {"reviewerID": ["U1"]}),
        json.dumps(one | {"asin": ""}),
        json.dumps({"asin": "B1"}), json.dumps(one | {"asin": "x" * 256}), json.dumps(one | {"overall": "good"}),
        json.dumps(one | {"overall": None}), json.dumps(one | {"unixReviewTime": 1e15}), '{"cut": ',
    ]  # fmt: skip
    fine = [
        one | {"reviewerID": 77, "overall": "5.0", "unixReviewTime": "1300000000"},  # numbers as text, ids as numbers
        one | {"reviewerID": "Ubig", "reviewText": "x" * 10_000_000},
    ]
    with gzip.open(raw / "reviews.json.gz", "ab") as file:
        file.write("\n".join([*dirt, *(json.dumps(row) for row in fine), ""]).encode())
        file.write(b'\xff\xfe{"asin": 1}\n' + b'{"reviewText": "' + b"y" * (1 << 24) + b'"}\n')
    card = card_of({key: value for key, value in BUILD.items() if key not in ("k_core", "min_rating")})
    made = prepare(card, raw, tmp_path / "data")
    found = {problem.kind: (problem.count, problem.first) for problem in made.built.problems}
    assert found == {
        "not-json": (2, 901), "not-an-object": (2, 902), "user": (3, 906), "item": (2, 908), "rating": (2, 911),
        "time": (1, 913), "not-utf8": (1, 917), "too-long": (1, 918),
    }  # fmt: skip
    assert made.built.steps[0].rows == 903
    data = load_dataset(card, tmp_path / "data")
    assert {"77", "Uloose", "Ubig"} <= set(data.user_ids.tolist())
    assert any("no usable" in note or "without a usable user id" in note for note in data.report.notes)


def test_dirt_of_metadata_is_counted(tmp_path: Path) -> None:
    items = metadata()
    ids = [item["asin"] for item in items]
    assert ids[:9] == ["1", "2", "B003", "4", "B006", "7", "8", "B009", "11"]
    items[1]["title"] = "var aPageStart = (new Date()).getTime();"
    items[2]["title"] = ["a", "list"]
    items[3]["title"] = 1984
    items[4]["categories"] = True
    items[5]["brand"] = "b" * 30_000
    items[6]["title"] = None
    items += [items[0] | {"title": "said again"}, {"title": "without id"}]
    raw = write(tmp_path / "raw", None, items)
    made = prepare(card_of(), raw, tmp_path / "data")
    found = {problem.kind: (problem.count, problem.first) for problem in made.built.problems}
    assert found == {
        "item": (1, 34), "repeated-item": (1, 33), "title-junk": (1, 2), "title-type": (1, 3), "text-type": (1, 5),
        "text-cut": (1, 6),
    }  # fmt: skip
    stored = {row["item_id"]: row for row in pq.read_table(made.folder / "items.parquet").to_pylist()}
    assert stored["4"]["title"] == "1984"
    assert stored["1"]["title"] == "Item & 1", "the first line counts"
    assert stored["7"]["brand"] == ["b" * 20_000]
    assert stored["2"]["title"] is stored["B003"]["title"] is stored["8"]["title"] is None


@pytest.mark.parametrize("hostile", ["[" * 50_000 + "]" * 50_000, "9" * 10_000])
def test_hostile_metadata_is_counted(tmp_path: Path, hostile: str) -> None:
    raw = write(tmp_path / "raw")
    with gzip.open(raw / "meta.json.gz", "wt") as file:
        file.write(f'{{"asin": "1", "title": "One", "brand": {hostile}}}\n{{"asin": "2", "title": "Two"}}\n')
    made = prepare(card_of(), raw, tmp_path / "data")
    assert {problem.kind: (problem.count, problem.first) for problem in made.built.problems} == {"not-json": (1, 1)}
    titles = load_dataset(card_of(), tmp_path / "data").items.titles
    assert titles is not None
    assert titles[:2].tolist() == ["", "Two"]


def test_a_file_that_is_cut_short_is_refused_unless_the_card_allows_it(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw")
    path = raw / "reviews.json.gz"
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(DataError, match="cut short"):
        prepare(card_of(), raw, tmp_path / "data")
    assert left_behind(tmp_path / "data") == []
    made = prepare(card_of(BUILD | {"allow_cut_short": True}), raw, tmp_path / "data")
    assert [problem.kind for problem in made.built.problems] == ["cut-short"]
    assert 500 < made.built.steps[0].rows < 900


def test_what_is_there_is_kept_and_only_replaced_when_asked(tmp_path: Path) -> None:
    raw, data = write(tmp_path / "raw"), tmp_path / "data"
    first = prepare(card_of(), raw, data)
    before = files(first.folder)
    assert prepare(card_of(), raw, data).was_there
    other = card_of(BUILD | {"min_rating": 3})
    with pytest.raises(DataError, match=r"another recipe .* --replace"):
        prepare(other, raw, data)
    with pytest.raises(DataError, match="another recipe"):
        load_dataset(other, data)
    write(raw, reviews(1))
    with pytest.raises(DataError, match=r"other raw files \(reviews\.json\.gz"):
        prepare(card_of(), raw, data)
    assert files(first.folder) == before
    assert prepare(card_of(), raw, data, replace=True).built.pairs_digest != first.built.pairs_digest
    assert left_behind(data)[0] == "card.yaml"
    (data / "mine").mkdir()
    (data / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="is no prepared data set"):
        prepare(card_of().model_copy(update={"name": "mine"}), raw, data, replace=True)
    assert (data / "mine" / "thesis.tex").exists()


def test_a_changed_file_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    data = tmp_path / "data"
    folder = prepare(card_of(), write(tmp_path / "raw"), data).folder
    whole = (folder / "items.parquet").read_bytes()
    (folder / "items.parquet").write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"items\.parquet: has .* bytes"):
        load_dataset(card_of(), data)
    (folder / "items.parquet").write_bytes(whole[:-1] + b"x")
    with pytest.raises(DataError, match="content has changed"):
        load_dataset(card_of(), data)
    (folder / "items.parquet").unlink()
    with pytest.raises(DataError, match=r"items\.parquet: is missing, and card\.yaml names it\. Prepare it again"):
        load_dataset(card_of(), data)
    (folder / "items.parquet").write_bytes(whole)
    (folder / "card.yaml").unlink()
    with pytest.raises(DataError, match="is no prepared data set"):
        load_dataset(card_of(), data)


def test_the_card_in_the_folder_reads_the_same(tmp_path: Path) -> None:
    folder = prepare(card_of(), write(tmp_path / "raw"), tmp_path / "data").folder
    stored = load_card(folder / "card.yaml")
    left, right = load_dataset(stored), load_dataset(card_of(), tmp_path / "data")
    assert left.fingerprint() == right.fingerprint()
    assert stored.counts is not None
    assert stored.counts.n_interactions == len(left.payload)
    assert read_card(folder).built is not None


def test_bad_input_is_told(tmp_path: Path) -> None:
    raw, data = write(tmp_path / "raw"), tmp_path / "data"
    with pytest.raises(DataError, match=r"n_users is \d+, the card says 7"):
        prepare(card_of(counts={"n_users": 7}), raw, data)
    with pytest.raises(DataError, match=r"no row has a rating of at least 9; lower build\.min_rating"):
        prepare(card_of(BUILD | {"min_rating": 9}), raw, data)
    greedy = BUILD | {"k_core": {"user_rows": 99, "item_rows": 99}}
    with pytest.raises(DataError, match=r"nothing is left of the rows with 99 a user and 99 an item \(rows by step: "):
        prepare(card_of(greedy, provenance={"filter": {"user_rows": 99, "item_rows": 99}}), raw, data)
    with pytest.raises(
        DataError, match=r"(?s)no row of meta\.json\.gz can be used by the reader 'amazon-2014'.*without a usable user"
    ):
        prepare(card_of({"reader": "amazon-2014", "reviews": "meta.json.gz"}), raw, data)
    wanted = {"file": "reviews.json.gz", "urls": ["https://example.org/r.gz"], "sha256": "0" * 64}
    with pytest.raises(DataError, match="the card says 0000"):
        prepare(card_of(downloads=[wanted]), raw, data)
    parted = {"split": {"name": "global-time", "valid_from": "2100-01-01", "test_from": "2101-01-01"}}
    with pytest.raises(
        DataError, match=r"build\.split 'global-time' leaves the part 'valid' empty .* \d+ / 0 / 0 rows"
    ):
        prepare(card_of(BUILD | parted), raw, data)
    with pytest.raises(ProtocolError, match=r"does not part interactions; .* Change build\.split"):
        prepare(card_of(BUILD | {"split": "by-user"}), raw, data)
    with pytest.raises(DataError, match=r"build\.split 'without-fold' leaves \d+ rows in no part"):
        prepare(card_of(BUILD | {"split": {"name": "without-fold", "of": "random-811"}}), raw, data)
    (data / "tiny").mkdir()
    for replace in (False, True):
        with pytest.raises(
            DataError, match=r"(?s)is no prepared data set\..* Move it away, or choose another --data-dir"
        ):
            prepare(card_of(), raw, data, replace=replace)
    (data / "tiny").rmdir()
    os.remove(raw / "meta.json.gz")
    with pytest.raises(DataError, match=r"meta\.json\.gz: no such file"):
        prepare(card_of(), raw, data)
    assert left_behind(data) == []


def test_blank_lines_are_no_dirt_beside_a_line_that_is_no_text(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw")
    (raw / "reviews.json.gz").write_bytes(
        b"\r\n".join([b"\xff\xfe", b"", *(json.dumps(row).encode() for row in reviews()), b"", b""])
    )
    problems = prepare(card_of(), raw, tmp_path / "data").built.problems
    assert [(one.kind, one.count) for one in problems if one.file == "reviews.json.gz"] == [("not-utf8", 1)]
