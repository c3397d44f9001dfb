"""The MMRec layout: a clean load, or an error that names file, line, value and remedy."""

from __future__ import annotations

import gzip
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmrec_bench.data.cards import load_card, load_dataset
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.mapping import mapping_of
from mmrec_bench.data.raw import files
from mmrec_bench.errors import ConfigError, DataError, MMRecBenchError

INTER = "userID\titemID\tx_label\n0\t0\t0\n0\t1\t1\n1\t2\t2\n1\t1\t0\n"
Load = Callable[..., Dataset[Interactions]]


def write_card(folder: Path, extra: str = "") -> Path:
    path = folder / "mine.yaml"
    path.write_text(f"schema_version: 1\nname: mine\nformat: mmrec\ninteractions: mine.inter\n{extra}")
    return path


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write a folder and load it: text or bytes of the interactions, more files, more lines of the card."""

    def load(inter: str | bytes = INTER, card: str = "", modalities: list[str] | None = None, **files: Any) -> Any:
        (tmp_path / "mine.inter").write_bytes(inter.encode() if isinstance(inter, str) else inter)
        for name, content in files.items():
            stem, _, suffix = name.rpartition("_")
            path = tmp_path / f"{stem}.{suffix}"
            if isinstance(content, np.ndarray):
                np.save(path, content, allow_pickle=content.dtype.hasobject)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_dataset(load_card(write_card(tmp_path, card)), None, modalities)

    return load


def test_five_lines_run_ones_own_data(load: Load) -> None:
    vectors = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    data = load(card="features: {image: image.npy}\n", image_npy=vectors)
    assert data.name == "mine"
    assert (data.payload.n_users, data.payload.n_items, len(data.payload)) == (2, 3, 4)
    assert data.payload.users.tolist() == [0, 0, 1, 1]
    assert data.payload.items.tolist() == [0, 1, 2, 1]
    assert data.payload.labels is not None
    assert data.payload.labels.tolist() == [0, 1, 2, 0]
    assert data.features["image"].values.tolist() == vectors.tolist()
    assert (data.user_ids.tolist(), data.item_ids.tolist()) == (["0", "1"], ["0", "1", "2"])
    assert data.report.missing == {"image": 0}
    assert data.report.notes == ()


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_marks_and_blank_lines_change_nothing(load: Load, ends: str, mark: bytes) -> None:
    text = INTER.replace("\n", ends) + ends * 3
    assert load(mark + text.encode()).fingerprint() == load().fingerprint()


def test_columns_in_any_order_with_others_between(load: Load) -> None:
    text = "note\tx_label\titemID\tuserID\n" + "".join(
        f'"{u}\t{x}\t{i}\t{u}\n' for u, i, x in ((0, 0, 0), (0, 1, 1), (1, 2, 2), (1, 1, 0))
    )
    assert load(text).fingerprint() == load().fingerprint()


def test_other_separators(load: Load) -> None:
    for name, separator in (('","', ","), ('";"', ";"), ('"|"', "|"), ('" "', " "), ('"\\t"', "\t")):
        data = load(INTER.replace("\t", separator), card=f"separator: {name}\n")
        assert data.fingerprint() == load().fingerprint()
    with pytest.raises(ConfigError, match="separator"):
        load(card='separator: "::"\n')


def test_ratings_and_times(load: Load) -> None:
    text = "userID\titemID\trating\ttimestamp\n0\t0\t4.5\t100\n0\t1\t-1e0\t99.9\n1\t0\t+.5\t1.2e2\n"
    facts = load(text).payload
    assert facts.labels is None
    assert facts.values is not None
    assert facts.values.tolist() == [4.5, -1.0, 0.5]
    assert facts.timestamps is not None
    assert facts.timestamps.tolist() == [100, 99, 120]
    in_milliseconds = text.replace("100\n", "100000\n").replace("99.9", "99900").replace("1.2e2", "120999")
    again = load(in_milliseconds, card="timestamp_unit: ms\n").payload
    assert again.timestamps is not None
    assert again.timestamps.tolist() == [100, 99, 120]


def test_duplicates_keep_smallest_label_then_earliest_time_then_first_row(load: Load) -> None:
    rows = [
        (0, 0, 2, 1, 1.0),  # loses to label 0
        (0, 0, 0, 9, 2.0),  # loses to the earlier one below
        (0, 0, 0, 5, 3.0),  # kept
        (0, 0, 0, 5, 4.0),  # the same moment, later row
        (1, 1, 1, 3, 5.0),  # kept
        (1, 1, 1, 3, 6.0),
        (1, 0, 0, 3, 7.0),
        (0, 1, 2, 2, 8.0),
    ]
    text = "userID\titemID\tx_label\ttimestamp\trating\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows)
    data = load(text)
    assert data.payload.values is not None
    assert data.payload.values.tolist() == [3, 5, 7, 8]
    assert data.report.n_duplicates == 4
    assert data.report.n_duplicates_across_parts == 1


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 4), min_size=1, max_size=40))
def test_merging_agrees_with_a_slow_reference(rows: list[tuple[int, int, int, int]]) -> None:
    from mmrec_bench.data.formats.pairs import RawPairs

    users, items, labels, times = np.array(rows).T
    raw = RawPairs(users, items, 3, 3, np.arange(len(rows), dtype=float), times, labels.astype(np.int8))
    kept: dict[tuple[int, int], tuple[int, int, int]] = {}
    for row, (user, item, label, time) in enumerate(rows):
        kept[user, item] = min(kept.get((user, item), (9, 9, 999)), (label, time, row))
    across = sum(label != kept[user, item][0] for user, item, label, _ in rows)
    merged, n_duplicates, n_across = raw.merged()
    assert merged.values is not None
    assert merged.values.tolist() == sorted(row for _, _, row in kept.values())
    assert (n_duplicates, n_across) == (len(rows) - len(kept), across)


H = "userID\titemID\tx_label\n"


@pytest.mark.parametrize(
    ("inter", "message"),
    [
        ("", r"mine\.inter: is empty"),
        ("\n \n", "is empty"),
        (H, "has a header, but no row"),
        ("0\t0\t0\n", "the column 'userID' is missing; found: '0'|named twice"),
        ("userID\titem\n0\t0\n", "the column 'itemID' is missing; found: 'userID', 'item'. Did you mean 'item'"),
        (INTER.replace("\t", ","), r"the column 'userID' is missing.*only one column: is '\\t' the separator"),
        ("userID\titemID\tuserID\n0\t0\t0\n", "line 1: the column 'userID' is named twice"),
        (H + "0\t0\t0\n\n0\t1\n" + "0\t1\t0\n" * 9, "line 4: has 2 columns, the header 3"),
        (H + "0\t0\t0\t\n", "line 2: has 4 columns, the header 3"),
        (H + "0\t0\t0\n-1\t1\t0\n", "line 3: column 'userID' holds '-1'; row numbers are whole numbers from 0"),
        (H + "0\t1.0\t0\n", "line 2: column 'itemID' holds '1.0'"),
        (H + "0\t0\t0\n\n\na\t1\t0\nb\t1\t0\n", r"line 5: column 'userID' holds 'a'.*\(2 such rows\)"),
        (H + "0\t\t0\n", "column 'itemID' holds ''"),
        (H + "0\tnan\t0\n", "column 'itemID' holds 'nan'"),
        (H + '"0"\t0\t0\n', "column 'userID' holds '\"0\"'"),
        (H + " 0\t0\t0\n", "column 'userID' holds ' 0'"),
        (H + "٣\t0\t0\n", "column 'userID' holds '٣'"),
        (H + "1e3\t0\t0\n", "column 'userID' holds '1e3'"),
        (H + "9223372036854775808\t0\t0\n", "line 2: column 'userID' holds '9223372036854775808'"),
        (H + "9" * 400 + "\t0\t0\n", "column 'userID' holds '9999"),
        (H + "0\t0\t0\n1000000000000000\t1\t0\n", "without gaps; 1 is missing, the largest is 1000000000000000"),
        (H + "0\t9223372036854775807\t0\n", "column 'itemID' must run from 0 without gaps; 0 is missing"),
        (H + "1\t0\t0\n", "column 'userID' must run from 0 without gaps; 0 is missing"),
        (H + "0\t0\t3\n", r"holds '3'; labels \(0 train, 1 valid, 2 test\) are whole numbers from 0 to 2"),
        (H + "0\t0\ttest\n", "column 'x_label' holds 'test'"),
        (H + "0\t0\t-1\n", "column 'x_label' holds '-1'"),
        ("userID\titemID\trating\n0\t0\tinf\n", "column 'rating' holds 'inf'; ratings are finite numbers"),
        ("userID\titemID\trating\n0\t0\tnan\n", "column 'rating' holds 'nan'"),
        ("userID\titemID\trating\n0\t0\t\n", "column 'rating' holds ''"),
        ("userID\titemID\trating\n0\t0\t1e39\n", "column 'rating' holds '1e39'"),
        ("userID\titemID\trating\n0\t0\t1e99999\n", "column 'rating' holds '1e99999'"),
        ("userID\titemID\ttimestamp\n0\t0\t1388534400000\n", "looks? like milliseconds: set timestamp_unit: ms"),
        ("userID\titemID\ttimestamp\n0\t0\tyesterday\n", "column 'timestamp' holds 'yesterday'"),
        (H.encode() + b"0\t0\t0\n0\t\xff\t0\n", "line 3: is not UTF-8 text"),
        (H.encode() + b"0\t0\t0\n0\t1\0\t0\n", "line 3: holds a NUL byte"),
        (INTER.encode("utf-16"), "NUL byte"),
        (H.encode() + b"0\xc3\t0\n", "line 2: is not UTF-8 text"),
        (b"user\xffID\titemID\n0\t0\n", "line 1: is not UTF-8"),
        (b"\x1f\x8b\x08\x01\x02", "is a damaged gzip file"),
    ],
)
def test_broken_interactions_are_explained(load: Load, inter: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(inter)
    assert "mine.inter" in str(caught.value)


def test_a_line_far_down_is_named(load: Load) -> None:
    rows = "".join(f"{n}\t{n}\t0\n" for n in range(300_000))
    with pytest.raises(DataError, match="line 300002: has 2 columns"):
        load(H + rows + "1\t1\n")
    with pytest.raises(DataError, match="line 300003: column 'itemID' holds 'x'"):
        load(H + "\n" + rows + "1\tx\t1\n")


def test_files_that_are_not_there(load: Load, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image\.npy: no such file"):
        load(card="features: {image: image.npy}\n")
    with pytest.raises(DataError, match=r"ids\.csv: no such file"):
        load(card="item_ids: ids.csv\n")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="Is a directory"):
        load(card="item_ids: folder\n")
    with pytest.raises(DataError, match=r"cannot be read as a \.npy matrix"):
        load(card="features: {image: folder}\n")


def test_missing_files_may_be_allowed_unless_asked_for(load: Load) -> None:
    card = "features: {image: image.npy, text: text.npy}\nitem_ids: ids.csv\nallow_missing_files: true\n"
    data = load(card=card, text_npy=np.ones((3, 1)))
    assert list(data.features) == ["text"]
    assert data.report.notes == (
        "item_ids: ids.csv is not there; row numbers stand for external ids",
        "image: image.npy is not there; models run without it",
    )
    assert list(load(card=card, modalities=["text"]).features) == ["text"]
    with pytest.raises(DataError, match=r"image\.npy: no such file"):
        load(card=card, modalities=["image"])


def test_names_of_modalities_are_names(load: Load) -> None:
    for name in ("clip.v2", "items", "type", "Image-1_b", "x" * 64):
        assert list(load(card=f"features: {{{name}: a.npy}}\n", a_npy=np.ones((3, 1))).features) == [name]
    for name in ("", "a b", "a/b", "é", "x" * 65, "a\\n"):
        with pytest.raises(ConfigError, match=r"features: names of modalities are 1 to 64 letters .*; got '") as caught:
            load(card=f'features: {{text: a.npy, "{name}": a.npy}}\n')
        assert len(str(caught.value)) < 400


def test_modalities_select_a_subset(load: Load) -> None:
    files = {"image_npy": np.ones((3, 1)), "text_npy": np.ones((3, 2))}
    card = "features: {image: image.npy, text: text.npy}\n"
    assert list(load(card=card, **files).features) == ["image", "text"]
    assert list(load(card=card, modalities=["text"], **files).features) == ["text"]
    assert list(load(card=card, modalities=[], **files).features) == []
    with pytest.raises(DataError, match=r"unknown modality 'txt'; did you mean 'text'\? known: image, text"):
        load(card=card, modalities=["txt"], **files)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int8", "uint16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_number_becomes_float32_before_it_is_looked_at(load: Load, dtype: str, order: Any) -> None:
    # the squares of 300 overflow float16: nothing may be reduced before the cast
    values = np.asarray(
        [[300, 0], [0, 0], [1, 100]] if dtype != "int8" else [[100, 0], [0, 0], [1, 2]], dtype, order=order
    )
    data = load(card="features: {image: image.npy}\n", image_npy=values)
    table = data.features["image"]
    assert table.values.dtype == np.float32
    assert table.present.tolist() == [True, False, True]
    assert table.values[[0, 2]].tolist() == values[[0, 2]].tolist()
    assert data.report.missing == {"image": 1}
    assert table.values.flags.c_contiguous
    assert not isinstance(table.values.base, np.memmap)


def test_rows_of_zeros_and_nan_are_missing_and_counted(load: Load) -> None:
    values = np.array([[np.nan, np.nan], [-0.0, 0.0], [1, np.nan]])
    data = load(card="features: {image: image.npy}\n", image_npy=values)
    assert data.features["image"].present.tolist() == [False, False, False]
    assert data.report.missing == {"image": 3}
    assert data.report.notes == ("1 rows of 'image' hold some NaN and are missing",)


def test_blocks_do_not_change_a_table(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(6, dtype=np.float16).reshape(3, 2)
    values[2] = 0
    whole = load(card="features: {image: image.npy}\n", image_npy=values).features["image"]
    infinite = np.array([[1.0], [1.0], [np.inf]])
    monkeypatch.setattr("mmrec_bench.data.features.BLOCK_VALUES", 1)
    pieces = load(card="features: {image: image.npy}\n", image_npy=values).features["image"]
    assert pieces.fingerprint() == whole.fingerprint()
    with pytest.raises(DataError, match="row 2 holds a value that is infinite"):
        load(card="features: {image: image.npy}\n", image_npy=infinite)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, ">f4"])
@pytest.mark.parametrize("fortran", [False, True])
def test_a_table_that_stays_in_its_file_is_the_same(
    load: Load, monkeypatch: pytest.MonkeyPatch, dtype: Any, fortran: bool
) -> None:
    values = np.arange(12, dtype=dtype).reshape(3, 4)
    values[1] = 0
    stored = np.asfortranarray(values) if fortran else values
    read = load(card="features: {image: image.npy}\n", image_npy=stored).features["image"]
    monkeypatch.setattr("mmrec_bench.data.formats.vectors.MAPPED_BYTES", 0)
    mapped = load(card="features: {image: image.npy}\n", image_npy=stored).features["image"]
    assert mapping_of(mapped.values) is not None
    assert mapping_of(mapped.filled()) is not None
    assert mapping_of(mapped.values[1:]) is None
    assert mapped.fingerprint() == read.fingerprint()
    np.testing.assert_array_equal(mapped.values, read.values)
    filled = mapped.filled(7)
    filled[0] = 9  # a copy, as of any table
    np.testing.assert_array_equal(mapped.values, read.values)
    np.testing.assert_array_equal(mapped.filled(7), read.filled(7))
    masked = FeatureTable("image", mapped.values, np.array([False, False, True]), "masked")
    assert np.isnan(masked.values[:2]).all()
    np.testing.assert_array_equal(masked.values[2], read.values[2])
    np.testing.assert_array_equal(mapped.values, read.values)


def _npy(array: Any) -> bytes:
    np.save(file := io.BytesIO(), array, allow_pickle=True)
    return file.getvalue()


def _npz() -> bytes:
    np.savez(file := io.BytesIO(), a=np.ones((3, 2)))
    return file.getvalue()


ONES = np.ones((3, 2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_npy(np.ones((2, 2))), "'image' need one row an item: 3; got 2.*all-zero row"),
        (_npy(np.ones((4, 2))), "need one row an item: 3; got 4.*id mapping file"),
        (_npy(np.ones(3)), r"must be a matrix, items x values; got the shape \(3,\)"),
        (_npy(np.ones((3, 2, 1))), "must be a matrix"),
        (_npy(np.ones((3, 0))), "cannot be read|have no column"),
        (_npy(np.float32(1)), "must be a matrix|cannot be read"),
        (_npy(np.array([[1, np.inf], [1, 1], [1, 1]])), "row 0 holds a value that is infinite as float32"),
        (_npy(np.array([[1, 1], [1, 1], [1, 1e39]])), "row 2 holds a value that is infinite as float32"),
        (_npy(np.array([[{}, 1], [1, 1], [1, 1]], object)), "Python objects, which are never unpickled"),
        (_npy(ONES.astype(complex)), "must be numbers .*; got complex128"),
        (_npy(ONES.astype(bool)), "must be numbers .*; got bool"),
        (_npy(ONES.astype("U3")), "must be numbers .*; got <U3"),
        (_npz(), r"archive of arrays \(\.npz\)"),
        (b"", "cannot be read"),
        (b"1 2\n3 4\n5 6\n", "cannot be read"),
        (_npy(ONES)[:-1], "cannot be read.*damaged, cut short"),
        (_npy(ONES)[:20], "cannot be read"),
        (_npy(ONES).replace(b"'fortran_order'", b"'fortran_0rder'"), "cannot be read"),
        (_npy(ONES).replace(b"(3, 2)", b"(3,-2)"), "cannot be read|matrix|column"),
        (_npy(ONES).replace(b"(3, 2), }    ", b"(9**9, 2), } "), "cannot be read"),
        (_npy(ONES).replace(b"(3, 2), }          ", b"(10000000000, 2), }"), "cannot be read"),
    ],
)
def test_broken_features_are_explained(load: Load, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(card="features: {image: image.npy}\n", image_npy=content)
    assert "image.npy" in str(caught.value)
    assert "allow_pickle" not in str(caught.value), "nobody is told to read it unsafely"


class Bomb:
    """Would leave a trace if it were unpickled."""

    def __reduce__(self) -> Any:
        return (exec, ("import builtins; builtins.bomb = True",))


def test_objects_are_never_unpickled(load: Load) -> None:
    import builtins

    for content in (_npy(np.array([[Bomb()]] * 3, object)), pickle.dumps(Bomb())):
        with pytest.raises(DataError, match="never unpickled"):
            load(card="features: {image: image.npy}\n", image_npy=content)
    assert not hasattr(builtins, "bomb")


IDS = "asin\titemID\nB2\t2\nB0\t0\nB1\t1\n"


def test_id_files_give_external_ids_in_row_order(load: Load) -> None:
    users = 'user_id,userID\nanna,0\n"b, ben",1\n'
    data = load(card="item_ids: i.csv\nuser_ids: u.csv\n", i_csv=IDS, u_csv=users)
    assert data.item_ids.tolist() == ["B0", "B1", "B2"]
    assert data.user_ids.tolist() == ["anna", "b, ben"]
    assert data.report.notes == ()


def test_an_id_file_lists_the_whole_catalogue(load: Load) -> None:
    data = load(
        card="item_ids: i.csv\nfeatures: {image: image.npy}\n", i_csv=IDS + "B3\t3\n", image_npy=np.ones((4, 1))
    )
    assert data.payload.n_items == 4
    assert data.report.notes == ("1 of 4 rows of i.csv have no interaction",)
    with_gap = load("userID\titemID\n0\t0\n0\t3\n", card="item_ids: i.csv\n", i_csv=IDS + "B3\t3\n")
    assert with_gap.payload.items.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            "asin\titemID\nB0\t0\nB1\t1\n",
            r"mine\.inter, line 4: column 'itemID' holds '2'; row numbers listed in i\.csv are ",
        ),
        ("asin\titemID\nB0\t0\nB1\t1\nB2\t3\n", r"i\.csv, line 4: column 'itemID' holds '3'; .*from 0 to 2"),
        ("asin\titemID\nB0\t0\nB1\t1\nB2\t1\n", r"i\.csv, line 4: column 'itemID' holds '1'; .*must not occur again"),
        ("asin\titemID\nB0\t0\nB1\t1\nB1\t2\n", r"i\.csv, line 4: column 'asin' holds 'B1'; external ids must not"),
        ("asin\titemID\nB0\t0\n\t1\nB1\t2\n", r"line 3: column 'asin' holds ''; external ids must not be empty"),
        ("asin\titemID\n" + "B" * 300 + "\t0\nB1\t1\nB2\t2\n", "line 2: .*at most 255 characters"),
        ("asin\titem\nB0\t0\n", "the column 'itemID' is missing"),
        ("itemID\n0\n1\n2\n", "needs two columns, 'itemID' and the external id; found: 'itemID'"),
        ("a\tb\titemID\nx\ty\t0\n", "needs two columns"),
        ('asin,itemID\n"B0,0\nB1,1\n', r"i\.csv: a quoted value spans|has 1 columns"),
        ('asin,itemID\n"B0\n",0\nB1,1\nB2,2\n', r"i\.csv: a quoted value spans several lines.*4 lines make 3 rows"),
        ("", "is empty"),
    ],
)
def test_broken_id_files_are_explained(load: Load, ids: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(card="item_ids: i.csv\n", i_csv=ids)


def test_image_urls(load: Load) -> None:
    text = 'itemID,asin,imUrl\n2,B2,http://c\n0,B0,"http://a,b"\n1,B1,\n'
    data = load(card="images: url.csv\n", url_csv=text)
    assert data.items.images is not None
    assert data.items.images.tolist() == ["http://a,b", "", "http://c"]
    some = load(card="images: url.csv\n", url_csv="itemID,imUrl\n1,x\n")
    assert some.items.images is not None
    assert some.items.images.tolist() == ["", "x", ""]
    for broken, message in (
        ("itemID,imUrl\n3,x\n", "column 'itemID' holds '3'"),
        ("itemID,imUrl\n1,x\n1,y\n", "line 3: column 'itemID' holds '1'; row numbers must not occur again"),
        ("itemID,imUrl\n1," + "x" * 3000 + "\n", "at most 2048 characters"),
    ):
        with pytest.raises(DataError, match=message):
            load(card="images: url.csv\n", url_csv=broken)


# Whatever stands in a file, it is loaded cleanly or refused by one of our errors.

CELLS = st.sampled_from(
    [
        "0",
        "1",
        "2",
        "-1",
        "1.5",
        "",
        "nan",
        "NULL",
        "x",
        '"',
        '"0',
        "1e15",
        "9" * 19,
        "9" * 30,
        "é",
        "\ufeff",
        "\0",
        " ",
        "#",
    ]
)
LINES = st.lists(CELLS, max_size=5).flatmap(
    lambda cells: st.sampled_from(["\t", ",", " "]).map(lambda s: s.join(cells))
)
TEXTS = st.builds(
    lambda header, lines, end: (header + end + end.join(lines)).encode(),
    st.sampled_from(
        ["userID\titemID\tx_label", "userID\titemID\trating\ttimestamp", "userID,itemID", "userID\titemID", ""]
    ),
    st.lists(LINES, max_size=6),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def check_loads_or_refuses(card: Path) -> None:
    refused = None
    try:
        data = load_dataset(load_card(card))
    except MMRecBenchError as error:
        refused = str(error)
    if refused is not None:
        assert refused, "an error must say something"
    else:
        assert len(data.payload) > 0
        assert data.payload.n_users <= len(data.user_ids)
        data.fingerprint()


@pytest.mark.filterwarnings("error")  # Arrow's callbacks would print their tracebacks as warnings
@given(st.one_of(TEXTS, st.binary(max_size=200), st.binary(max_size=60).map(lambda tail: H.encode() + tail)))
@settings(max_examples=300)
@example(H.encode() + b'0\t0\t0\n"')
@example(b"\xef\xbb\xbf")
@example(b"\t\t\n\t\t")
def test_random_interactions_load_or_are_refused(folder: Path, content: bytes) -> None:
    (folder / "mine.inter").write_bytes(content)
    check_loads_or_refuses(write_card(folder, ""))
    check_loads_or_refuses(write_card(folder, 'separator: ","\n'))


@given(st.one_of(TEXTS.map(lambda text: text.replace(b"userID", b"asin")), st.binary(max_size=100)))
@settings(max_examples=80)
def test_random_id_files_load_or_are_refused(folder: Path, content: bytes) -> None:
    (folder / "mine.inter").write_text(INTER)
    (folder / "ids.csv").write_bytes(content)
    check_loads_or_refuses(write_card(folder, "item_ids: ids.csv\nimages: ids.csv\n"))
    check_loads_or_refuses(write_card(folder, "user_ids: ids.csv\n"))


@given(st.data())
@settings(max_examples=150)
def test_random_feature_files_load_or_are_refused(folder: Path, data: st.DataObject) -> None:
    content = bytearray(_npy(ONES))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "mine.inter").write_text(INTER)
    (folder / "image.npy").write_bytes(
        bytes(content[: data.draw(st.integers(0, len(content)))]) if data.draw(st.booleans()) else content
    )
    check_loads_or_refuses(write_card(folder, "features: {image: image.npy}\n"))


@given(
    st.one_of(
        st.text(max_size=200),
        st.text(alphabet="abc:-{}[]&*!|>'\"#%@\t\n 0.", max_size=60),
        st.builds(
            "schema_version: 1\nname: mine\nformat: {}\n{}: {}\n".format,
            st.sampled_from(["mmrec", "recbole", "synthetic", "other", "[]", "3"]),
            st.sampled_from(
                ["interactions", "features", "counts", "editions", "folders", "sha256", "world", "items", "x"]
            ),
            st.one_of(
                st.text(max_size=20), st.sampled_from(["{}", "[]", "mine.inter", "{image: 3}", "1e999", "../..", "~"])
            ),
        ),
    )
)
@settings(max_examples=200)
@example("schema_version: 1\nname: mine\nformat: mmrec\ninteractions: '" + "x" * 900 + "'\n")
def test_random_cards_load_or_are_refused(folder: Path, text: str) -> None:
    (folder / "mine.inter").write_text(INTER)
    (folder / "card.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    check_loads_or_refuses(folder / "card.yaml")


def test_files_that_unpack_to_too_much_are_refused(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FREE", 1 << 16)
    assert len(load(gzip.compress(INTER.encode())).payload) == 4
    with pytest.raises(DataError, match=r"mine\.inter: unpacks to more than 200 times its size"):
        load(gzip.compress(bytes(1 << 22)))
