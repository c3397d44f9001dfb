"""RecBole's atomic files: typed headers, text ids, words, titles and vectors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_bench.data.cards import load_card, load_dataset
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import ConfigError, DataError, MMRecBenchError

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n10\tb\t3\t30\n9\ta\t5\t10\n9\tb\t1\t20\n"
ITEM = (
    "item_id:token\ttitle:token_seq\tgenre:token_seq\tyear:token\tvec:float_seq\n"
    'b\tThe "B" Film\tDrama Comedy\t1995\t1 2.5 -3e0\n'
    "c\t\t\t\t\n"
    "a\tA\tDrama\t\t4 5 6\n"
)
Load = Callable[..., Dataset[Interactions]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(card: str = "", inter: str = INTER, **files: str) -> Any:
        (tmp_path / "x.inter").write_text(inter)
        for name, content in files.items():
            (tmp_path / f"x.{name}").write_text(content)
        text = f"schema_version: 1\nname: x\nformat: recbole\ninteractions: x.inter\n{card}"
        (tmp_path / "x.yaml").write_text(text)
        return load_dataset(load_card(tmp_path / "x.yaml"))

    return load


def test_interactions_alone(load: Load) -> None:
    data = load()
    assert data.user_ids.tolist() == ["9", "10"], "natural order"
    assert data.item_ids.tolist() == ["a", "b"]
    assert data.payload.users.tolist() == [1, 0, 0]
    assert data.payload.items.tolist() == [1, 0, 1]
    assert data.payload.values is not None
    assert data.payload.values.tolist() == [3, 5, 1]
    assert data.payload.timestamps is not None
    assert data.payload.timestamps.tolist() == [30, 10, 20]
    assert data.payload.labels is None


def test_natural_order_puts_numbers_first_by_size() -> None:
    import pyarrow as pa

    from mmrec_bench.data.formats.external import numbered

    ids = ["b", "10", "9", "a", "07", "é", "0", "-1", "1" * 30, "B", "2x", "1"]
    rows, external = numbered(pa.array(ids), None, None, [])
    assert external.tolist() == ["0", "1", "9", "10", *sorted(["b", "a", "07", "é", "-1", "1" * 30, "B", "2x"])]
    assert external[rows].tolist() == ids


def test_ids_do_not_depend_on_the_order_of_rows(load: Load) -> None:
    header, *rows = INTER.splitlines()
    assert load().fingerprint() == load(inter="\n".join([header, *rows[::-1]])).fingerprint()


def test_ratings_and_times_may_be_absent_unless_named(load: Load) -> None:
    bare = "user_id:token\titem_id:token\n1\t1\n"
    facts = load(inter=bare).payload
    assert facts.values is None
    assert facts.timestamps is None
    with pytest.raises(DataError, match="the column 'rating' is missing"):
        load("rating_column: rating\n", inter=bare)
    with pytest.raises(DataError, match="the column 'rating' is missing"):
        load("rating_threshold: 3\n", inter=bare)
    with pytest.raises(DataError, match="the column 'timestamp' is missing"):
        load("timestamp_column: timestamp\n", inter=bare)


def test_other_column_names(load: Load) -> None:
    text = "who:token\twhat:token\tstars:float\twhen:float\n1\t1\t2\t3000\n"
    card = "user_column: who\nitem_column: what\nrating_column: stars\ntimestamp_column: when\ntimestamp_unit: ms\n"
    facts = load(card, inter=text).payload
    assert facts.values is not None
    assert facts.values.tolist() == [2]
    assert facts.timestamps is not None
    assert facts.timestamps.tolist() == [3]


def test_names_of_modalities_are_names(load: Load) -> None:
    assert list(load("items: x.item\nfeatures: {clip.v2: vec}\n", item=ITEM).features) == ["clip.v2"]
    with pytest.raises(ConfigError, match=r"features: names of modalities are 1 to 64 letters .*; got 'a b'"):
        load("items: x.item\nfeatures: {a b: vec}\n", item=ITEM)


def test_a_threshold_leaves_rows_out_and_says_so(load: Load) -> None:
    data = load("rating_threshold: 3\n")
    assert len(data.payload) == 2
    assert data.report.notes == ("1 of 3 rows have a rating below 3.0",)
    assert load("rating_threshold: 5\n").user_ids.tolist() == ["9"], "the catalogue is what is left"
    with pytest.raises(DataError, match="no row has a rating of at least 6"):
        load("rating_threshold: 6\n")
    with pytest.raises(ConfigError, match="rating_threshold"):
        load("rating_threshold: .inf\n")


def test_duplicates_keep_the_earliest(load: Load) -> None:
    data = load(inter=INTER + "9\ta\t2\t5\n9\ta\t4\t11\n")
    assert data.report.n_duplicates == 2
    assert data.report.n_duplicates_across_parts == 0
    of_a = (data.payload.users == 0) & (data.payload.items == 0)
    assert data.payload.values is not None
    assert data.payload.values[of_a].tolist() == [2]


def test_item_and_user_files_extend_the_catalogue(load: Load) -> None:
    users = "user_id:token\tage:token\n9\t1\n11\t1\n"
    data = load("items: x.item\nusers: x.user\n", item=ITEM, user=users)
    assert data.item_ids.tolist() == ["a", "b", "c"]
    assert data.user_ids.tolist() == ["9", "10", "11"]
    assert (data.payload.n_users, data.payload.n_items) == (3, 3)
    assert set(data.report.notes) == {
        "1 ids with interactions are not in x.user",
        "1 ids of x.user have no interaction",
        "1 ids of x.item have no interaction",
    }


def test_titles_words_and_vectors_follow_the_ids(load: Load) -> None:
    card = "items: x.item\ntitle_column: title\nword_columns: [genre, year]\nfeatures: {image: vec}\n"
    data = load(card, inter=INTER + "9\tz\t1\t1\n", item=ITEM)
    assert data.item_ids.tolist() == ["a", "b", "c", "z"]
    assert data.items.titles is not None
    assert data.items.titles.tolist() == ["A", 'The "B" Film', "", ""]
    assert data.items.words is not None
    assert [data.items.words.of_item(item) for item in range(4)] == [
        (("genre", "Drama"),),
        (("genre", "Comedy"), ("genre", "Drama"), ("year", "1995")),
        (),
        (),
    ]
    table = data.features["image"]
    assert table.present.tolist() == [True, True, False, False]
    assert table.filled().tolist() == [[4, 5, 6], [1, 2.5, -3], [0, 0, 0], [0, 0, 0]]
    assert data.report.missing == {"image": 2}


def test_long_titles_are_cut(load: Load) -> None:
    data = load("items: x.item\ntitle_column: t\n", item="item_id:token\tt:token_seq\na\t" + "x" * 5000 + "\n")
    assert data.items.titles is not None
    assert [len(title) for title in data.items.titles.tolist()] == [300, 0]


@pytest.mark.parametrize(
    ("inter", "message"),
    [
        (
            "user_id\titem_id\n1\t1\n",
            "the header 'user_id' must be NAME:TYPE with a type of token, token_seq, float, float_seq",
        ),
        ("user_id:tokens\titem_id:token\n1\t1\n", "the header 'user_id:tokens' must be NAME:TYPE"),
        ("user_id:token\tuser_id:float\n1\t1\n", "the column 'user_id' is named twice"),
        ("user_id:token\titem:token\n1\t1\n", "the column 'item_id' is missing; found: 'user_id', 'item'"),
        ("user_id:float\titem_id:token\n1\t1\n", "the column 'user_id' must be of type token; got float"),
        ("user_id:token\titem_id:token\trating:token\n1\t1\t1\n", "'rating' must be of type float; got token"),
        ("user_id:token\titem_id:token\n1\t\n", "line 2: column 'item_id:token' holds ''; ids are texts of 1 to 255"),
        ("user_id:token\titem_id:token\n1\t" + "x" * 256 + "\n", "ids are texts of 1 to 255 characters"),
        ("user_id:token\titem_id:token\trating:float\n1\t1\tNaN\n", "line 2: column 'rating:float' holds 'NaN'"),
        ("user_id:token\titem_id:token\n1\t1\t1\n", "line 2: has 3 columns, the header 2"),
        ("user_id:token\titem_id:token\n", "no row"),
        ("", "is empty"),
    ],
)
def test_broken_interactions_are_explained(load: Load, inter: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(inter=inter)


ITEMS = "items: x.item\n"


@pytest.mark.parametrize(
    ("card", "item", "message"),
    [
        (
            "",
            "item_id:token\na\nb\na\n",
            r"x\.item, line 4: column 'item_id:token' holds 'a'; ids must not occur again",
        ),
        ("", "id:token\na\n", "the column 'item_id' is missing"),
        ("title_column: titel\n", ITEM, "the column 'titel' is missing; .* Did you mean 'title'"),
        ("title_column: vec\n", ITEM, "'vec' must be of type token or token_seq; got float_seq"),
        ("word_columns: [vec]\n", ITEM, "'vec' must be of type token or token_seq; got float_seq"),
        ("features: {image: genre}\n", ITEM, "'genre' must be of type float or float_seq; got token_seq"),
        (
            "features: {image: vec}\n",
            ITEM.replace("4 5 6", "4 5"),
            "line 4: .*vectors need one length, that of the first: 3",
        ),
        (
            "features: {image: vec}\n",
            ITEM.replace("4 5 6", "4 x 6"),
            "line 4: .*holds '4 x 6'; vectors are finite numbers",
        ),
        ("features: {image: vec}\n", ITEM.replace("4 5 6", "4 nan 6"), "vectors are finite numbers"),
        ("features: {image: vec}\n", "item_id:token\tvec:float_seq\na\t\n", "'vec' is empty in every row"),
    ],
)
def test_broken_item_files_are_explained(load: Load, card: str, item: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(ITEMS + card, item=item)


@pytest.mark.parametrize("card", ["title_column: t\n", "word_columns: [w]\n", "features: {image: v}\n"])
def test_item_columns_need_an_item_file(load: Load, card: str) -> None:
    with pytest.raises(ConfigError, match="are columns of the item file; add 'items'"):
        load(card)


CELLS = st.sampled_from(
    ["1", "a", "", "1 2", "1  2", "nan", "1e9", "-", '"', "é", "\ufeff", "\0", "user_id:token", "1e400"]
)
HEADERS = st.sampled_from(
    ["user_id:token", "item_id:token", "rating:float", "timestamp:float", "v:float_seq", "g:token_seq", "x", ":token"]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    card = "schema_version: 1\nname: x\nformat: recbole\ninteractions: x.inter\nitems: x.item\ntitle_column: g\n"
    (folder / "x.yaml").write_text(card + "word_columns: [g]\nfeatures: {image: v}\n")
    return folder


def _file(headers: st.SearchStrategy[list[str]]) -> st.SearchStrategy[str]:
    def rows(names: list[str]) -> st.SearchStrategy[str]:
        row = st.lists(CELLS, min_size=len(names), max_size=len(names))
        ragged = st.one_of(row, row, row, st.lists(CELLS, max_size=5))
        return st.lists(ragged, max_size=5).map(lambda found: "\n".join("\t".join(cells) for cells in [names, *found]))

    return headers.flatmap(rows)


@pytest.mark.filterwarnings("error")
@given(
    _file(st.one_of(st.just(["user_id:token", "item_id:token", "rating:float"]), st.lists(HEADERS, max_size=4))),
    _file(st.one_of(st.just(["item_id:token", "v:float_seq", "g:token_seq"]), st.lists(HEADERS, max_size=4))),
)
@settings(max_examples=200)
def test_random_files_load_or_are_refused(folder: Path, inter: str, item: str) -> None:
    (folder / "x.inter").write_text(inter)
    (folder / "x.item").write_text(item)
    with contextlib.suppress(MMRecBenchError):
        assert len(load_dataset(load_card(folder / "x.yaml")).payload) > 0
