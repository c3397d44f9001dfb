"""Readers of every edition and layout, of files that tests make."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrec_bench.data.cards import load_dataset, parse_card
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.fetching.checks import digest_of
from mmrec_bench.data.fetching.record import Record
from mmrec_bench.data.formats.prepared import PreparedCard
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.preparing.prepare import Means, PreparedData, prepare
from mmrec_bench.data.raw import image_features
from mmrec_bench.data.tasks import Here
from mmrec_bench.errors import ConfigError, DataError, ProtocolError
from mmrec_bench.settings import Document
from tests.data.preparing.small import files

ROWS = [("u1", "B1", 5.0, 1_400_000_000), ("u1", "B2", 3.5, 1_400_000_100), ("u2", "B1", 1.0, 1_400_000_050)]


def card_of(build: dict[str, Any], **more: Any) -> PreparedCard:
    card = parse_card(
        Document("x.yaml", {"schema_version": 1, "name": "x", "format": "prepared", "build": build, **more})
    )
    assert isinstance(card, PreparedCard)
    return card


def made(tmp_path: Path, build: dict[str, Any], **more: Any) -> tuple[PreparedData, Dataset[Interactions]]:
    """Prepare, here and by tasks over shards, which makes the same bytes; read what was made."""
    card = card_of(build, **more)
    done = prepare(card, tmp_path, tmp_path / "data")
    by_tasks = prepare(card, tmp_path, tmp_path / "by-tasks", Means(tasks=Here(), n_shards=2))
    assert files(by_tasks.folder) == files(done.folder)
    return done, load_dataset(card, tmp_path / "data")


def rows(data: Dataset[Interactions]) -> list[tuple[str, str, float, int]]:
    one = data.payload
    assert one.values is not None
    assert one.timestamps is not None
    users, items = data.user_ids[one.users].tolist(), data.item_ids[one.items].tolist()
    return sorted(zip(users, items, one.values.tolist(), one.timestamps.tolist(), strict=True))


def problems(data: PreparedData) -> dict[str, tuple[int, int]]:
    return {problem.kind: (problem.count, problem.first) for problem in data.built.problems}


def lines(path: Path, entries: list[Any]) -> None:
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_the_edition_of_2018(tmp_path: Path) -> None:
    reviews = [
        {"overall": r, "vote": "1,013", "reviewerID": u, "asin": i, "unixReviewTime": t, "style": {"a:": "b"}}
        for u, i, r, t in ROWS
    ]  # fmt: skip
    lines(tmp_path / "r.json.gz", reviews)
    about = {"asin": "B1", "title": "One", "rank": [], "price": "$.99", "imageURL": ["http://a/s.jpg"], "brand": "Acme"}
    lines(tmp_path / "m.json.gz", [about | {"imageURLHighRes": []}, {"asin": "B9", "title": "Unwanted"}])
    build = {"reader": "amazon-2018", "reviews": "r.json.gz", "metadata": "m.json.gz", "fields": ["brand", "price"]}
    declared = {"provenance": {"fields": {"price": {"made_of": "interactions"}}}}
    done, data = made(tmp_path, build, **declared)
    assert rows(data) == sorted(ROWS)
    assert data.items.titles is not None
    assert data.items.images is not None
    assert data.items.titles.tolist() == ["One", ""]
    assert data.items.images.tolist() == ["http://a/s.jpg", ""]
    assert done.built.missing == {"title": 1, "image_url": 1, "brand": 1, "price": 1}
    assert problems(done) == {}
    with pytest.raises(
        ConfigError, match=r"'price' tells what users did, or when the page was saved; declare under prov"
    ):
        card_of(build)


REVIEWS_2023 = [
    {"user_id": u, "parent_asin": i, "asin": "variant", "rating": r, "timestamp": t * 1000 + 999, "images": []}
    for u, i, r, t in ROWS
]  # fmt: skip
PICTURE = {"thumb": "http://a/t.jpg", "large": "http://a/l.jpg", "hi_res": None}
ITEMS_2023: list[dict[str, Any]] = [
    {
        "parent_asin": "B1",
        "title": "One",
        "images": [PICTURE],
        "features": ["soft", "<b>red</b>"],
        "details": {"Brand": "Acme"},
        "average_rating": 4.5,
    },
    {"parent_asin": "B2", "title": None, "images": [], "features": [], "details": {}, "average_rating": None},
]


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "parquet"])
def test_the_edition_of_2023(tmp_path: Path, form: str) -> None:
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(REVIEWS_2023), tmp_path / "r.parquet")
        table = pa.Table.from_pylist(ITEMS_2023)
        whole = {"thumb": ["http://a/t.jpg"], "large": ["http://a/l.jpg"], "hi_res": [None]}
        columns = pa.array([whole, {"thumb": [], "large": [], "hi_res": []}])  # as the publisher's Parquet has them
        pq.write_table(table.set_column(table.column_names.index("images"), "images", columns), tmp_path / "m.parquet")
    else:
        lines(tmp_path / f"r.{form}", REVIEWS_2023)
        lines(tmp_path / f"m.{form}", ITEMS_2023)
    build = {
        "reader": "amazon-2023",
        "reviews": f"r.{form}",
        "metadata": f"m.{form}",
        "fields": ["features", "details"],
    }
    done, data = made(tmp_path, build)
    assert rows(data) == sorted(ROWS)
    assert data.items.images is not None
    assert data.items.images.tolist() == ["http://a/l.jpg", ""], "the best size that is there"
    stored = pq.read_table(done.folder / "items.parquet").to_pylist()
    assert stored[0]["features"] == ["soft", "red"]
    assert stored[0]["details"] == ["Brand: Acme"]
    assert stored[1]["title"] is stored[1]["features"] is None
    assert problems(done) == {}


def test_parquet_that_is_damaged_or_of_other_columns_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(REVIEWS_2023).drop_columns(["user_id"]), tmp_path / "r.parquet")
    build = {"reader": "amazon-2023", "reviews": "r.parquet"}
    with pytest.raises(DataError, match="the column 'user_id' is missing"):
        made(tmp_path, build)
    table = pa.Table.from_pylist(REVIEWS_2023)
    pq.write_table(table.set_column(0, "user_id", pa.array([["u"], ["v"], []])), tmp_path / "r.parquet")
    with pytest.raises(DataError, match="the column 'user_id' holds list<"):
        made(tmp_path, build)
    pq.write_table(table.set_column(0, "user_id", pa.array(["u1", None, "u2"])), tmp_path / "r.parquet")
    assert problems(made(tmp_path, build)[0]) == {"user": (1, 2)}
    whole = (tmp_path / "r.parquet").read_bytes()
    (tmp_path / "r.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        prepare(card_of(build), tmp_path, tmp_path / "other")


@pytest.mark.parametrize(
    ("separator", "header", "columns"),
    [
        (",", "", ["user", "item", "rating", "time"]),
        (",", "userId,movieId,rating,timestamp\n", ["user", "item", "rating", "time"]),
        ("::", "", ["user", "item", "rating", "time"]),
        ("\t", "\ufeffitem\tuser\tx\trating\ttime\r\n", ["item", "user", "skip", "rating", "time"]),
    ],
)
def test_delimited_text(tmp_path: Path, separator: str, header: str, columns: list[str]) -> None:
    names = {"user": 0, "item": 1, "rating": 2, "time": 3}
    text = header + "".join(
        separator.join("?" if name == "skip" else str(row[names[name]]) for name in columns) + "\r\n" for row in ROWS
    )
    text += separator.join(["u3"] * (len(columns) - 1)) + "\n" + separator.join(["?"] * len(columns)) + "\n"
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        archive.writestr("ml/ratings.csv", text)
    build = {"reader": "ratings", "ratings": "ml.zip/ml/ratings.csv", "separator": separator, "columns": columns}
    done, data = made(tmp_path, build)
    assert rows(data) == sorted(ROWS)
    first = 4 + bool(header)
    assert problems(done) == {"columns": (1, first), "rating": (1, first + 1)}


@pytest.mark.parametrize(
    ("first", "told"),
    [
        ("u9,B9,?,1400000000", "rating"),
        ("u9,B9,4,soon", "time"),
        ("u9,B9,,", "rating"),
        ("u9,B9,bad,worse", "rating"),
        ("u9,B9,rating,1400000000", "rating"),
        ("# ratings of a shop", "columns"),
        ("User ID,Item ID,'Rating',Unix_Time", None),
    ],
)
def test_a_first_row_that_is_no_header_is_counted(tmp_path: Path, first: str, told: str | None) -> None:
    (tmp_path / "a.csv").write_text(first + "\n" + "".join(",".join(map(str, row)) + "\n" for row in ROWS))
    done, data = made(tmp_path, {"reader": "ratings", "ratings": "a.csv"})
    assert rows(data) == sorted(ROWS)
    assert problems(done) == ({} if told is None else {told: (1, 1)})


@pytest.mark.parametrize("known", ["rating", "time"])
def test_ratings_or_times_may_be_missing(tmp_path: Path, known: str) -> None:
    (tmp_path / "a.csv").write_text("u1,B1,4\nu2,B1,3\nu1,B1,5\nu3,B1,?\n")
    done, data = made(tmp_path, {"reader": "ratings", "ratings": "a.csv", "columns": ["user", "item", known]})
    found = (data.payload.values, data.payload.timestamps)
    there, missing = found if known == "rating" else found[::-1]
    assert missing is None
    assert there is not None
    assert there.tolist() == [4, 3]
    assert problems(done) == {known: (1, 4)}


def test_several_files_count_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("u1,B1,5,100\nu1,B2,4,100\n")
    (tmp_path / "b.csv").write_text("u1,B1,3,100\nu2,B2,1,50\n")
    build = {"reader": "ratings", "ratings": ["b.csv", "a.csv"]}
    assert rows(made(tmp_path, build)[1])[0] == ("u1", "B1", 3.0, 100), "equal times: the first file"
    card = card_of(build | {"repeats": "last"})
    prepare(card, tmp_path, tmp_path / "last")
    assert rows(load_dataset(card, tmp_path / "last"))[0] == ("u1", "B1", 5.0, 100)


def record(item: str, vector: np.ndarray[Any, Any]) -> bytes:
    return item.encode().ljust(10)[:10] + vector.astype("<f4").tobytes()


def test_image_features_are_streamed_into_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_features, "_ROWS", 2)
    rng = np.random.default_rng(0)
    vectors = rng.random((6, 4096), np.float32)
    ids = [f"B00000000{n}" for n in range(6)]
    bad = vectors[5].copy()
    bad[7] = np.inf
    content = [
        record("XXXXXXXXXX", vectors[0]), record(ids[3], vectors[3]), record(ids[1], vectors[1]),
        record(ids[1], vectors[0]), record(ids[1], vectors[2]), record(ids[2], np.zeros(4096)), record(ids[5], bad),
        record(ids[0], vectors[0]),
    ]  # fmt: skip
    (tmp_path / "i.b").write_bytes(b"".join(content))
    known = [{"reviewerID": "u", "asin": item, "overall": 1, "unixReviewTime": 1} for item in [*ids, "B00000000longer"]]
    lines(tmp_path / "r.json", known)
    build = {"reader": "amazon-2014", "reviews": "r.json", "image_features": "i.b"}
    done, data = made(tmp_path, build)
    table = data.features["image"]
    assert data.item_ids.tolist() == [*ids, "B00000000longer"]
    assert table.present.tolist() == [True, True, False, True, False, False, False]
    for row in (0, 1, 3):
        assert np.array_equal(table.values[row], vectors[row]), "the first record of each item counts"
    assert done.built.missing["image"] == 4
    assert problems(done) == {"repeated-item": (2, 4), "vector": (2, 6)}

    (tmp_path / "i.b").write_bytes(b"".join(content)[:-1])
    with pytest.raises(DataError, match=r"are not whole records of 16,394 bytes .*`allow_cut_short: true`"):
        prepare(card_of(build), tmp_path, tmp_path / "cut")
    card = card_of(build | {"allow_cut_short": True})
    cut = prepare(card, tmp_path, tmp_path / "cut")
    assert cut.built.missing["image"] == 5
    assert problems(cut)["cut-short"] == (1, 8)
    (tmp_path / "i.b").write_bytes(gzip.compress(b"".join(content)))
    with pytest.raises(DataError, match="is packed; unpack it"):
        prepare(card_of(build), tmp_path, tmp_path / "packed")


def test_a_table_of_objects_in_a_prepared_folder_is_refused(tmp_path: Path) -> None:
    """The size in the card is the first hurdle, the reader of vectors the second."""
    (tmp_path / "i.b").write_bytes(record("B000000001", np.ones(4096)))
    lines(tmp_path / "r.json", [{"reviewerID": "u", "asin": "B000000001", "overall": 1, "unixReviewTime": 1}])
    card = card_of({"reader": "amazon-2014", "reviews": "r.json", "image_features": "i.b"})
    done = prepare(card, tmp_path, tmp_path / "data")
    path = done.folder / "image.npy"
    np.save(path, np.array([{"an": "object"}] * 9, object), allow_pickle=True)
    with pytest.raises(DataError, match=r"image\.npy: has .* bytes"):
        load_dataset(card, tmp_path / "data")
    text = (done.folder / "card.yaml").read_text()
    size = done.built.files["image.npy"].n_bytes
    (done.folder / "card.yaml").write_text(text.replace(f"n_bytes: {size}", f"n_bytes: {path.stat().st_size}"))
    with pytest.raises(DataError, match="Python objects, which are never unpickled"):
        load_dataset(card, tmp_path / "data")


R14 = {"reader": "amazon-2014", "reviews": "r"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            {"reader": "amazon-2013"},
            r"build: unknown reader 'amazon-2013'; did you mean 'amazon-20.*known: amazon-2014, ",
        ),
        ({"reviews": "r"}, r"build: needs a mapping with the key 'reader', one of amazon-2014"),
        ({"reader": "amazon-2014"}, r"reviews: required, but missing"),
        (R14 | {"reviews": 5}, r"build\.reviews: needs the name of a file, or a list of names; got '5'"),
        (R14 | {"reviews": []}, r"build\.reviews: needs the name of a file"),
        (R14 | {"reviews": ["a", 5]}, r"build\.reviews\[1\]: input should be a valid string; got 5"),
        (R14 | {"metadata": "m.pkl"}, r"build\.metadata: pickled files are never read"),
        (R14 | {"kcore": 5}, r"kcore: unknown key; did you mean 'k_core'"),
        (R14 | {"fields": ["brand"]}, r"fields are keys of the metadata; add 'metadata'"),
        (R14 | {"metadata": "m", "fields": ["title"]}, r"'title' is a column of every"),
        ({"reader": "amazon-2023", "reviews": "r", "image_features": "i"}, r"image_features are of the 2014 release"),
        (
            R14 | {"k_core": {"user_rows": 5}},
            r"provenance\.filter must say what build\.k_core does: {user_rows: 5, item",
        ),
        (R14 | {"k_core": {"user_rows": 0}}, r"user_rows: input should be greater than or equal to 1|greater than 0"),
        (R14 | {"split": "random"}, r"unknown split rule 'random'; did you mean 'random-811'"),
        (
            {"reader": "ratings", "ratings": "r", "columns": ["user", "item"]},
            r"columns must name user, item, and rating",
        ),
        (
            {"reader": "ratings", "ratings": "r", "columns": ["user", "item", "time"], "min_rating": 3},
            r"min_rating needs",
        ),
        ({"reader": "ratings", "ratings": "r", "separator": "|"}, r"separator: "),
    ],
)
def test_recipes_that_make_no_sense_are_refused(build: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        card_of(build)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"folders": ["elsewhere"]}, r"folders: prepared data lies in the folder 'x'"),
        ({"word_fields": ["brand"]}, r"word_fields: 'brand' is not among build\.fields"),
        ({"text_vectors": {"image": {"dim": 4}}}, r"text_vectors: 'image' is a modality that 'build' makes already"),
        ({"provenance": {"fields": {"brand": {}}}}, r"provenance\.fields\.unknown field 'brand'"),
    ],
)
def test_cards_that_do_not_fit_their_recipe_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        card_of(R14 | {"image_features": "i.b"}, **more)


def test_layouts_of_other_toolkits(tmp_path: Path) -> None:
    """A core of the first two users and items; the third item, and the user who has it alone, go."""
    (tmp_path / "x.inter").write_text("userID\titemID\tx_label\n0\t0\t0\n0\t1\t1\n1\t0\t2\n1\t1\t0\n2\t2\t0\n")
    (tmp_path / "i.csv").write_text("asin\titemID\nB9\t0\nB1\t1\nB5\t2\n")
    np.save(tmp_path / "image.npy", np.array([[9, 9], [1, 1], [5, 5]], np.float32))
    core = {"k_core": {"user_rows": 2, "item_rows": 2}}
    told = {"provenance": {"filter": core["k_core"]}}
    layout = {"interactions": "x.inter", "item_ids": "i.csv", "features": {"image": "image.npy"}}
    done, data = made(tmp_path, {"reader": "mmrec", "layout": layout, **core}, **told)
    one = data.payload
    assert one.labels is not None
    assert (one.values, one.timestamps) == (None, None)
    triples = zip(one.users.tolist(), data.item_ids[one.items].tolist(), one.labels.tolist(), strict=True)
    assert sorted(triples) == [(0, "B1", 1), (0, "B9", 0), (1, "B1", 0), (1, "B9", 2)], "the delivered split is kept"
    assert data.features["image"].values.tolist() == [[1, 1], [9, 9]]
    assert sorted(done.built.raw) == ["i.csv", "image.npy", "x.inter"]

    (tmp_path / "r.inter").write_text("user_id:token\titem_id:token\trating:float\nu\ta\t4\nu\tb\t2\nv\ta\t5\n")
    (tmp_path / "r.item").write_text("item_id:token\tname:token_seq\tkind:token\na\tAn A\tone\nb\tA B\t\nc\tC\ttwo\n")
    atomic = {"interactions": "r.inter", "items": "r.item", "title_column": "name", "word_columns": ["kind"]}
    card = card_of({"reader": "recbole", "layout": atomic, "min_rating": 3}, word_fields=["kind"])
    done = prepare(card, tmp_path, tmp_path / "recbole")
    data = load_dataset(card, tmp_path / "recbole")
    assert data.items.titles is not None
    assert data.items.words is not None
    assert data.items.titles.tolist() == ["An A"]
    assert data.items.words.vocabulary == (("kind", "one"),)
    assert data.payload.values is not None
    assert data.payload.values.tolist() == [4, 5]

    for part, content in (("train", {"0": [0], "1": [1]}), ("val", {"0": [1]}), ("test", {"1": [0]})):
        lines(tmp_path / f"{part}.json", [content])
    names = {"train": "train.json", "valid": "val.json", "test": "test.json"}
    done, data = made(tmp_path / ".", {"reader": "lattice", "layout": names}, name="lattice")
    assert done.built.split == (2, 1, 1)

    (tmp_path / "s.json").write_text('{"u": ["b", "a", "c"]}')
    build = {"reader": "sequences", "layout": {"sequences": "s.json"}}
    _, data = made(tmp_path, build, name="places")
    assert (data.payload.order, data.payload.timestamps) == (None, None), "places are no moments, and not kept"
    with pytest.raises(ProtocolError, match="needs timestamps or an order, and the data has neither"):
        made(tmp_path, build | {"split": "leave-last-out"}, name="last")
    with pytest.raises(ConfigError, match="layout: needs the keys of a card of this format"):
        card_of({"reader": "lattice"})
    with pytest.raises(ConfigError, match=r"build\.layout\.interaction: unknown key; did you mean 'interactions'"):
        card_of({"reader": "mmrec", "layout": {"interaction": "x"}})


def test_rows_that_a_layout_merges_are_counted_and_never_steps_of_their_own(tmp_path: Path) -> None:
    """The first row of (u, a) has a low rating, its second a high one: what is kept hangs on who looks first."""
    (tmp_path / "r.inter").write_text("user_id:token\titem_id:token\trating:float\nu\ta\t1\nu\ta\t5\nv\ta\t4\n")
    build = {"reader": "recbole", "layout": {"interactions": "r.inter"}}
    done, data = made(tmp_path, build)
    assert data.payload.values is not None
    assert data.payload.values.tolist() == [1, 4]
    assert problems(done) == {"repeated-pair": (1, 0)}
    for asked in ({"min_rating": 3}, {"repeats": "last"}):
        with pytest.raises(DataError, match=rf"r\.inter: 1 rows repeat a pair .* leave out build\.{next(iter(asked))}"):
            made(tmp_path / ".", build | asked, name="other")
    delimited = {"reader": "ratings", "ratings": "r.inter", "separator": "\t", "columns": ["user", "item", "rating"]}
    _, data = made(tmp_path, delimited | {"min_rating": 3}, name="delimited")
    assert data.payload.values is not None
    assert data.payload.values.tolist() == [5, 4]


@pytest.mark.parametrize("threshold", [4.1, 3.3, 0.7, 4])
def test_a_rating_at_the_threshold_stays(tmp_path: Path, threshold: float) -> None:
    """4.1 is kept as the nearest float32, which is below it."""
    (tmp_path / "a.csv").write_text(f"u1,B1,{threshold},1\nu2,B1,{threshold - 0.1:.1f},2\nu3,B1,5,3\n")
    data = made(tmp_path, {"reader": "ratings", "ratings": "a.csv", "min_rating": threshold})[1]
    assert data.user_ids.tolist() == ["u1", "u3"]


def test_a_threshold_of_ratings_that_are_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"1": [1, 2], "2": [2, 3]}')
    card = card_of({"reader": "sequences", "layout": {"sequences": "s.json"}, "min_rating": 4})
    with pytest.raises(DataError, match=r"s\.json: holds no ratings, so that build\.min_rating \(4\) would do nothing"):
        prepare(card, tmp_path, tmp_path / "data")


def test_numbers_that_are_none_are_missing_texts(tmp_path: Path) -> None:
    """Tables write NaN where nothing is there."""
    lines(tmp_path / "r.json", [{"reviewerID": "u", "asin": i, "overall": 1, "unixReviewTime": 1} for i in ("A", "B")])
    odd = float("nan")
    lines(
        tmp_path / "m.json", [{"asin": "A", "title": odd, "brand": odd}, {"asin": "B", "title": "One", "brand": "Acme"}]
    )
    build = {"reader": "amazon-2014", "reviews": "r.json", "metadata": "m.json", "fields": ["brand"]}
    data = made(tmp_path, build, word_fields=["brand"])[1]
    assert data.items.titles is not None
    assert data.items.titles.tolist() == ["", "One"]
    assert data.items.words is not None
    assert data.items.words.vocabulary == (("brand", "Acme"),)


def test_a_raw_file_that_is_not_the_one_that_was_fetched_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("u1,B1,5,1\n")
    Record.of(path, digest_of(path), "https://example.org/a.csv").write(path)
    prepare(card_of({"reader": "ratings", "ratings": "a.csv"}), tmp_path, tmp_path / "data")
    path.write_text("u1,B1,4,1\n")
    with pytest.raises(DataError, match=r"a\.csv: is another file: .* when it was fetched it was"):
        prepare(card_of({"reader": "ratings", "ratings": "a.csv"}), tmp_path, tmp_path / "other")
