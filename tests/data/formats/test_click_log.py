"""Logs of lists: the same facts from text and Parquet, and every broken row named."""

from __future__ import annotations

import datetime
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec_bench.data.cards import load_card, load_dataset, load_lists
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import ConfigError, DataError

LOG = """\
list,item,user,position,click,label,timestamp,propensity,part,price
s2,b,u1,2,0,0,100,0.5,train,1.5
s1,a,u10,1,1,3,50,1,test,-2
s2,a,u1,1,1,31,100,1,train,3e2
s1,c,u10,4,0,0,50,0.25,test,0
s3,c,u1,1,0,1,7,1e-3,valid,4
"""
Load = Callable[..., Dataset[Lists]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(log: str | bytes | pa.Table = LOG, card: str = "", modalities: Any = None, **files: str) -> Any:
        if isinstance(log, pa.Table):
            pq.write_table(log, tmp_path / "x.log")
        else:
            (tmp_path / "x.log").write_bytes(log if isinstance(log, bytes) else log.encode())
        for name, content in files.items():
            (tmp_path / f"x.{name}").write_text(content)
        (tmp_path / "x.yaml").write_text(f"schema_version: 1\nname: x\nformat: click-log\nlog: x.log\n{card}")
        return load_lists(load_card(tmp_path / "x.yaml"), modalities=modalities)

    return load


def without(*names: str) -> str:
    """Return the log without some columns."""
    rows = [line.split(",") for line in LOG.splitlines()]
    kept = [place for place, name in enumerate(rows[0]) if name not in names]
    return "".join(",".join(row[place] for place in kept) + "\n" for row in rows)


def with_cell(row: int, column: str, value: str) -> str:
    """Return the log with another value in a row, 1 for the first."""
    rows = [line.split(",") for line in LOG.splitlines()]
    rows[row][rows[0].index(column)] = value
    return "".join(",".join(cells) + "\n" for cells in rows)


def test_all_columns_of_a_log(load: Load) -> None:
    data = load(card="feature_columns: [price]\n")
    lists = data.payload
    assert data.user_ids.tolist() == ["u1", "u10"]
    assert data.item_ids.tolist() == ["a", "b", "c"]
    assert lists.list_of.tolist() == [0, 0, 1, 1, 2], "lists in the order of their first rows"
    assert lists.items.tolist() == [0, 1, 0, 2, 2], "rows of a list by position"
    assert lists.users.tolist() == [0, 1, 0]
    facts = {name: getattr(lists, name).tolist() for name in ("positions", "clicks", "labels", "timestamps", "parts")}
    assert facts == {
        "positions": [1, 2, 1, 4, 1],
        "clicks": [True, False, True, False, False],
        "labels": [31, 0, 3, 0, 1],
        "timestamps": [100, 50, 7],
        "parts": [0, 2, 1],
    }
    np.testing.assert_array_equal(lists.propensities, np.array([1, 0.5, 1, 0.25, 1e-3], np.float32))
    np.testing.assert_array_equal(lists.features, np.array([[300], [1.5], [-2], [0], [4]], np.float32))
    assert data.report.notes == ()


def test_what_may_be_absent_is_none(load: Load) -> None:
    data = load("list\titem\tlabel\nq2\tb\t1\nq10\tb\t0\nq2\ta\t0\n")
    lists = data.payload
    assert lists.items.tolist() == [1, 0, 1], "rows of a list in the order of the file"
    assert data.user_ids[lists.users].tolist() == ["q2", "q10"], "each list for a user of its own"
    for name in ("positions", "clicks", "timestamps", "propensities", "parts", "features", "histories"):
        assert getattr(lists, name) is None, name


def test_columns_may_have_other_names_and_unread_ones_are_noted(load: Load) -> None:
    log = without("label").replace("list,item", "session,sku").replace("click", "clicked").replace("part", "parts")
    columns = "columns: {list: session, item: sku, click: clicked}\n"
    data = load(log, columns)
    assert data.payload.clicks is not None
    assert data.payload.parts is None
    assert data.report.notes == (
        "column 'parts' is not read; did it mean 'part'?",
        "column 'price' is not read",
    )
    with pytest.raises(DataError, match=r"the column 'users' is missing; found: .*Did you mean 'user'"):
        load(card="columns: {user: users}\n")


def as_parquet(typed: bool) -> pa.Table:
    """Return the log as a Parquet table, of text or of proper types."""
    rows = [line.split(",") for line in LOG.splitlines()]
    columns: dict[str, Any] = {name: pa.array([row[place] for row in rows[1:]]) for place, name in enumerate(rows[0])}
    if typed:
        for name, kind in {"position": pa.int32(), "label": pa.uint8(), "propensity": pa.float64()}.items():
            columns[name] = columns[name].cast(kind)
        columns["price"] = pa.array([1.5, -2, 300, 0, 4], pa.float32())
        columns["click"] = columns["click"].cast(pa.bool_())
        columns["user"] = columns["user"].dictionary_encode()
        columns["list"] = columns["list"].cast(pa.large_string())
        moments = [datetime.datetime.fromtimestamp(int(row[6]), datetime.UTC) for row in rows[1:]]
        columns["timestamp"] = pa.array(moments, pa.timestamp("ms", "Europe/Berlin"))
    return pa.table(columns)


@pytest.mark.parametrize("typed", [True, False])
def test_parquet_holds_the_same_facts(load: Load, typed: bool) -> None:
    card = "feature_columns: [price]\n"
    expected = load(card=card)
    assert load(as_parquet(typed), card).fingerprint() == expected.fingerprint()
    assert load(LOG.replace(",", "\t"), card).fingerprint() == expected.fingerprint()
    assert load(gzip.compress(LOG.encode()), card).fingerprint() == expected.fingerprint()


def test_moments_of_parquet_know_their_unit(load: Load) -> None:
    zoneless = as_parquet(typed=True)["timestamp"].cast(pa.timestamp("us"))
    for unit in ("s", "ms"):
        log = as_parquet(typed=True).set_column(6, "timestamp", zoneless)
        timestamps = load(log, f"timestamp_unit: {unit}\n").payload.timestamps
        assert timestamps is not None
        assert timestamps.tolist() == [100, 50, 7]


def test_vectors_belong_to_the_items_of_a_file(load: Load, tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.array([[1, 2], [0, 0], [3, 4], [5, 6]], np.float32))
    card = "items: x.items\nfeatures: {image: image.npy}\n"
    data = load(card=card, items="item\nc\nd\na\nb\n")
    assert data.item_ids.tolist() == ["c", "d", "a", "b"], "the order of the file"
    assert data.payload.items.tolist() == [2, 3, 2, 0, 0]
    assert data.payload.n_items == 4, "an item that no list shows is part of the catalogue"
    assert data.features["image"].present.tolist() == [True, False, True, True]
    assert data.report.missing == {"image": 1}
    assert not load(card=card, items="item\nc\nd\na\nb\n", modalities=()).features
    with pytest.raises(
        DataError, match=r"line 3: column 'item' holds 'a'; it is not in the file under 'items' \(2 such"
    ):
        load(card=card, items="item\nc\nd\nb\n")
    with pytest.raises(DataError, match=r"x\.items, line 4: column 'item' holds 'c'; ids must not occur again"):
        load(card=card, items="item\nc\nd\nc\n")
    with pytest.raises(DataError, match=r"x\.items: the column 'item' is missing"):
        load(card=card, items="items\nc\n")


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("", "is empty"),
        ("list,item,label,price\n", "has a header, but no row"),
        (without("list"), "the column 'list' is missing; found: "),
        (without("item"), "the column 'item' is missing"),
        (without("click", "label"), "the column 'click' is missing; .* There is no 'label' either; one of"),
        (without("label").replace("click", "clicks"), "the column 'click' is missing; .* Did you mean 'clicks'"),
        (without("position"), "has the column 'click', but no 'position': without the place"),
        (without("price"), "the column 'price' is missing"),
        (LOG + "s4,a,u1\n", "line 7: has 3 columns, the header 10"),
        (with_cell(2, "list", ""), "line 3: column 'list' holds ''; ids are texts of 1 to 255"),
        (with_cell(2, "item", "x" * 256), "line 3: column 'item' holds 'x+…'; ids are texts of 1 to 255"),
        (with_cell(2, "user", ""), "line 3: column 'user' holds ''"),
        (with_cell(3, "user", "u2"), "line 4: column 'user' holds 'u2'; .* all rows of a list share one user"),
        (with_cell(3, "timestamp", "101"), "line 4: column 'timestamp' holds '101'; .* share one timestamp"),
        (with_cell(3, "part", "test"), "line 4: column 'part' holds 'test'; .* share one part"),
        (with_cell(3, "item", "b"), "line 4: column 'item' holds 'b'; which is in the same list already"),
        (with_cell(3, "position", "2"), "line 4: column 'position' holds '2'; which is in the same list already"),
        (with_cell(1, "position", "0"), r"line 2: column 'position' holds '0'; .* from 1 \(the top\)"),
        (with_cell(1, "position", "-1"), "line 2: column 'position' holds '-1'"),
        (with_cell(1, "position", "1.5"), "line 2: column 'position' holds '1.5'"),
        (with_cell(1, "position", ""), "line 2: column 'position' holds ''"),
        (with_cell(4, "click", "2"), "line 5: column 'click' holds '2'; clicks are 0 or 1"),
        (with_cell(4, "click", ""), "line 5: column 'click' holds ''"),
        (with_cell(4, "click", "yes"), "line 5: column 'click' holds 'yes'"),
        (with_cell(4, "label", "-1"), "line 5: column 'label' holds '-1'; labels are whole numbers from 0 to 31"),
        (with_cell(4, "label", "32"), "line 5: column 'label' holds '32'; labels are whole numbers from 0 to 31"),
        (with_cell(4, "label", "good"), "line 5: column 'label' holds 'good'"),
        (with_cell(1, "propensity", "0"), "line 2: column 'propensity' holds '0'; propensities are prob"),
        (with_cell(1, "propensity", "1e-60"), "line 2: column 'propensity' holds '1e-60'"),
        (with_cell(1, "propensity", "-0.1"), "line 2: column 'propensity' holds '-0.1'"),
        (with_cell(1, "propensity", "1.001"), "line 2: column 'propensity' holds '1.001'"),
        (with_cell(1, "propensity", "nan"), "line 2: column 'propensity' holds 'nan'; propensities are finite"),
        (with_cell(1, "part", "dev"), "line 2: column 'part' holds 'dev'; parts are train, valid or test"),
        (with_cell(1, "part", "3"), "line 2: column 'part' holds '3'"),
        (with_cell(5, "timestamp", "today"), "line 6: column 'timestamp' holds 'today'"),
        (with_cell(5, "timestamp", "1388534400000"), "line 6: .* set timestamp_unit: ms"),
        (with_cell(5, "price", "inf"), "line 6: column 'price' holds 'inf'; features are finite numbers"),
        (with_cell(5, "price", "nan"), "line 6: column 'price' holds 'nan'"),
        (with_cell(5, "price", ""), "line 6: column 'price' holds ''"),
        (with_cell(5, "price", "cheap"), "line 6: column 'price' holds 'cheap'"),
        (with_cell(5, "price", "1e39"), "line 6: column 'price' holds '1e39'"),
        (b"PAR1 and no more", "cannot be read as Parquet .* damaged or cut short"),
        (gzip.compress(LOG.encode(), mtime=0)[:40], "is a damaged gzip file"),
    ],
)
def test_broken_logs_are_explained(load: Load, log: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(log, "feature_columns: [price]\n")
    assert "x.log" in str(caught.value)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("position", pa.array([2, 1, None, 4, 1]), "row 3: column 'position' holds ''"),
        ("propensity", pa.array([1, 0.5, 0, 1, 1.0]), "row 3: column 'propensity' holds '0.0'"),
        ("propensity", pa.array([1, 0.5, None, 1, 1.0]), "row 3: column 'propensity' holds 'None'; .* finite"),
        ("price", pa.array([1, 2, 3, 4, float("inf")]), "row 5: column 'price' holds 'inf'"),
        ("price", pa.array([[1.0]] * 5), "the column 'price' holds list<.*>; needs text, numbers, moments or booleans"),
        ("item", pa.array([b"\xff"] * 5, pa.binary()), "the column 'item' holds binary"),
        ("label", pa.array([1, 2, 3, 4.5, 5]), "row 4: column 'label' holds '4.5'"),
    ],
)
def test_broken_parquet_is_explained_by_row(load: Load, column: str, values: pa.Array, message: str) -> None:
    table = as_parquet(typed=True)
    with pytest.raises(DataError, match=message):
        load(table.set_column(table.schema.names.index(column), column, values), "feature_columns: [price]\n")


def test_parquet_lacks_columns_and_rows(load: Load) -> None:
    table = as_parquet(typed=True)
    with pytest.raises(DataError, match=r"x\.log: the column 'item' is missing; found: 'list', 'user'"):
        load(table.drop_columns(["item"]))
    with pytest.raises(DataError, match="has columns, but no row"):
        load(table.slice(0, 0))
    with pytest.raises(DataError, match="the column 'user' is named twice"):
        load(table.append_column("user", table["user"]))


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("columns: {clicks: c}\n", "columns"),
        ("features: {image: image.npy}\n", "row r of a vector file is of the r-th item of a file; add 'items'"),
        ("feature_columns: [price, price]\n", "names a column twice"),
        ("feature_columns: [label]\n", "is the column of the label, .*rankers would read what they are to find"),
        (
            "feature_columns: [shown]\ncolumns: {position: shown}\n",
            "'shown' is the column of the position, which a log",
        ),
        ("feature_column: [price]\n", "did you mean 'feature_columns'"),
        ("counts: {n_interactions: 5}\n", "format 'click-log' holds lists"),
    ],
)
def test_bad_cards_are_explained(load: Load, card: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(card=card)


def test_a_log_holds_no_interactions(load: Load, tmp_path: Path) -> None:
    load()
    with pytest.raises(DataError, match="'x' holds lists, not interactions"):
        load_dataset(load_card(tmp_path / "x.yaml"))


@settings(max_examples=40)
@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=8), seed=st.integers(0, 2**31))
def test_the_order_of_rows_does_not_matter_where_positions_tell_it(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    rng = np.random.default_rng(seed)
    rows = [
        f"l{number},i{item},{position},{rng.integers(2)},{rng.integers(32)}"
        for number, length in enumerate(lengths)
        for position, item in enumerate(rng.permutation(9)[:length].tolist(), 1)
    ]
    (folder / "x.yaml").write_text("schema_version: 1\nname: x\nformat: click-log\nlog: x.csv\n")

    def facts(order: Any) -> dict[str, list[tuple[Any, ...]]]:
        (folder / "x.csv").write_text("\n".join(["list,item,position,click,label", *(rows[row] for row in order)]))
        data = load_lists(load_card(folder / "x.yaml"))
        lists = data.payload
        found: dict[str, list[tuple[Any, ...]]] = {}
        columns = (lists.positions, lists.clicks, lists.labels)
        for row, number in enumerate(lists.list_of):
            cells = [column[row].item() for column in columns if column is not None]
            found.setdefault(data.user_ids[lists.users[number]], []).append((data.item_ids[lists.items[row]], *cells))
        return found

    expected = facts(range(len(rows)))
    assert facts(rng.permutation(len(rows))) == expected
    for number, length in enumerate(lengths):
        assert [row[1] for row in expected[f"l{number}"]] == list(range(1, length + 1))
