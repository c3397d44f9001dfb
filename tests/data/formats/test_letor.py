"""LETOR files: well-formed ones as another reader reads them, all others refused by line."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_svmlight_file

from mmrec_bench.data.cards import load_card, load_dataset, load_lists
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.formats.export import write_letor
from mmrec_bench.data.formats.svmlight import read_svmlight
from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import ConfigError, DataError

TRAIN = """\
2 qid:10 1:0.5 2:-1e-3 3:4 #docid = GX1 inc = 1
0 qid:10 1:0.25 2:0 3:5 #docid = GX2
# a comment alone, and a blank line

1.0 qid:9 1:1 2:2 3:3 # no name
"""
TEST = "0 qid:b 2:7\n31 qid:b 1:8\n"
SIZES = "files: {train: [x.train]}\ngroups: {train: [x.sizes]}\n"
Load = Callable[..., Dataset[Lists]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(
        card: str = "files: {train: [x.train], test: [x.test]}\n",
        train: str | bytes = TRAIN,
        test: str | bytes = TEST,
        sizes: str = "2\n1\n",
    ) -> Any:
        for name, content in {"train": train, "test": test, "sizes": sizes}.items():
            data = content if isinstance(content, bytes) else content.encode()
            (tmp_path / f"x.{name}").write_bytes(data)
        (tmp_path / "x.yaml").write_text(f"schema_version: 1\nname: x\nformat: letor\n{card}")
        return load_lists(load_card(tmp_path / "x.yaml"))

    return load


def alone(load: Load, train: str | bytes, card: str = "") -> Dataset[Lists]:
    """Read one file."""
    return load(f"files: {{train: x.train}}\n{card}", train)


def test_parts_queries_documents_and_features(load: Load) -> None:
    data = load()
    lists = data.payload
    assert data.user_ids.tolist() == ["9", "10", "b"], "natural order of queries"
    assert lists.list_of.tolist() == [0, 0, 1, 2, 2]
    assert lists.users.tolist() == [1, 0, 2]
    assert lists.parts is not None
    assert lists.parts.tolist() == [0, 0, 2]
    assert lists.labels is not None
    assert lists.labels.tolist() == [2, 0, 1, 0, 31]
    assert data.item_ids[lists.items].tolist() == ["GX1", "GX2", "9/1", "b/1", "b/2"]
    assert lists.features is not None
    expected = np.array([[0.5, -1e-3, 4], [0.25, 0, 5], [1, 2, 3], [0, 7, 0], [8, 0, 0]], np.float32)
    np.testing.assert_array_equal(lists.features, expected)
    assert (lists.positions, lists.clicks, lists.timestamps, lists.propensities) == (None,) * 4
    assert data.report.notes == ("1 of 3 lists hold one label only, so every order of them is best",)


def test_a_document_may_stand_in_lists_of_several_queries(load: Load) -> None:
    rows = "1 qid:1 1:1 #docid = A\n0 qid:2 1:2 #docid = A\n"
    data = alone(load, rows)
    assert data.payload.items.tolist() == [0, 0]
    assert data.item_ids.tolist() == ["A"]
    assert alone(load, rows, "docids: false\n").item_ids.tolist() == ["1/1", "2/1"]


def test_lists_of_one_document_or_one_label_are_kept_and_noted(load: Load) -> None:
    data = alone(load, "0 qid:1 1:1\n0 qid:2 1:1\n0 qid:2 1:2\n1 qid:3 1:1\n0 qid:3 1:2\n")
    assert data.payload.lengths().tolist() == [1, 2, 2]
    assert data.report.notes == ("2 of 3 lists hold one label only, so every order of them is best",)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_tabs_spaces_and_gzip_make_no_difference(load: Load, end: str, last: bool) -> None:
    expected = alone(load, TRAIN).fingerprint()
    text = TRAIN.replace("\n", end) if last else TRAIN.replace("\n", end).removesuffix(end)
    assert alone(load, text).fingerprint() == expected
    assert alone(load, b"\xef\xbb\xbf" + text.encode()).fingerprint() == expected
    assert alone(load, gzip.compress(text.encode())).fingerprint() == expected
    assert alone(load, text.replace(" 1:", "\t1:").replace(" 2:", "   2:").replace(" #", "#")).fingerprint() == expected


def test_features_may_be_numbered_from_0_and_stated(load: Load) -> None:
    rows = "0 qid:1 0:3 2:4\n1 qid:1\n"
    features = alone(load, rows, "first_feature: 0\n").payload.features
    assert features is not None
    assert features.tolist() == [[3, 0, 4], [0, 0, 0]]
    features = alone(load, rows, "first_feature: 0\nn_features: 5\n").payload.features
    assert features is not None
    assert features.tolist() == [[3, 0, 4, 0, 0], [0] * 5]
    assert alone(load, "0 qid:1\n1 qid:1\n").payload.features is None


def test_group_sizes_take_the_place_of_queries(load: Load) -> None:
    rows = "1 1:1\n0 1:2\n0 2:3\n"
    data = load(SIZES, rows, sizes="2\n\n1\n")
    assert data.payload.list_of.tolist() == [0, 0, 1]
    assert data.user_ids[data.payload.users].tolist() == ["train/1", "train/2"]
    assert data.item_ids.tolist() == ["train/1/1", "train/1/2", "train/2/1"]
    twice = load("files: {train: [x.train, x.test]}\ngroups: {train: [x.sizes, x.sizes]}\n", rows, rows)
    assert twice.user_ids[twice.payload.users].tolist() == ["train/1", "train/2", "train/3", "train/4"]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ("2\n", r"x\.sizes: the group sizes add up to 2, but x\.train has 3 rows"),
        ("2\n2\n", "the group sizes add up to 4"),
        ("", "the group sizes add up to 0"),
        ("3\n0\n", r"x\.sizes, line 2: a group size is a whole number from 1; got '0'"),
        ("2\n\n-1\n", "line 3: a group size is a whole number from 1; got '-1'"),
        ("1.5\n", "line 1: a group size .* got '1.5'"),
        ("1 2\n", "line 1: a group size .* got '1 2'"),
    ],
)
def test_bad_group_sizes_are_explained(load: Load, sizes: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(SIZES, "1 1:1\n0 1:2\n0 2:3\n", sizes=sizes)


def test_queries_and_group_sizes_exclude_each_other(load: Load) -> None:
    with pytest.raises(DataError, match=r"x\.train, line 2: has qid:1, and x\.sizes group sizes; remove one"):
        load(SIZES, "1 1:1\n0 qid:1 1:2\n0 2:3\n")


GOOD = "0 qid:1 1:0 2:0\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "is empty"),
        ("\n# nothing\n", "is empty"),
        (GOOD + "1 1:1 2:1\n", "line 2: has no qid:QUERY after the label; write it, or name files of group sizes"),
        (GOOD + "1 qid: 1:1\n", "line 2: the query '' must have 1 to 255 characters"),
        (GOOD + f"1 qid:{'q' * 256} 1:1\n", "line 2: the query 'q+…' must have 1 to 255"),
        (GOOD + "1 1:1 qid:1\n", "line 2: 'qid:1' must follow the label"),
        (GOOD + "1 qid:2 1:1\n0 qid:1 1:2\n", "line 3: query '1' comes again, after others; its rows, from line 1 on"),
        (GOOD + "-1 qid:1 1:1\n", "line 2: the label '-1' must be a whole number from 0 to 31; leave out rows that"),
        (GOOD + "32 qid:1 1:1\n", "line 2: the label '32' must be a whole number from 0 to 31"),
        (GOOD + "0.5 qid:1 1:1\n", "line 2: the label '0.5'"),
        (GOOD + "nan qid:1 1:1\n", "line 2: the label 'nan'"),
        (GOOD + "relevant qid:1 1:1\n", "line 2: the label 'relevant'"),
        (GOOD + "qid:1 1:1\n", "line 2: the label 'qid:1'"),
        (GOOD + "1 qid:1 0:1\n", "line 2: there is a feature 0; features are numbered from 1 to .* first_feature: 0"),
        (GOOD + "1 qid:1 10001:1\n", "line 2: there is a feature 10001; .* from 1 to 10000.*, write n_features"),
        (GOOD + "1 qid:1 999999999999:1\n", "line 2: '999999999999:1' is no pair"),
        (GOOD + "1 qid:1 -1:1\n", "line 2: '-1:1' is no pair FEATURE:VALUE"),
        (GOOD + "1 qid:1 1:nan\n", "line 2: '1:nan' is not finite"),
        (GOOD + "1 qid:1 1:-Inf\n", "line 2: '1:-Inf' is not finite"),
        (GOOD + "1 qid:1 1:1e39\n", "line 2: '1:1e39' is infinite as float32"),
        (GOOD + "1 qid:1 1:1e999\n", "line 2: '1:1e999' is infinite as float32"),
        (GOOD + "1 qid:1 1:NULL\n", "line 2: '1:NULL' is no pair"),
        (GOOD + "1 qid:1 1:\n", "line 2: '1:' is no pair"),
        (GOOD + "1 qid:1 1: 5\n", "line 2: '1:' is no pair"),
        (GOOD + "1 qid:1 1\n", "line 2: '1' is no pair"),
        (GOOD + "1 qid:1 1:2:3\n", "line 2: '1:2:3' is no pair"),
        (GOOD + "1 qid:1 1:0x10\n", "line 2: '1:0x10' is no pair"),
        (GOOD + "1 qid:1 0x1:1\n", "line 2: '0x1:1' is no pair"),
        (GOOD + "1 qid:1 1:1,5\n", "line 2: '1:1,5' is no pair"),
        (GOOD + '1 qid:1 1:"1"\n', "line 2: '1:\"1\"' is no pair"),
        (GOOD + "1 qid:1 2:1 1:1\n", "line 2: feature 1 comes after feature 2; features of a line must rise"),
        (GOOD + "1 qid:1 1:1 1:1\n", "line 2: feature 1 is named twice"),
        (GOOD + "1 qid:1 1:1 2:0.\n1 qid:1 1:1", "line 3: names 1 features, every other line 2; end the line where"),
        (GOOD + "1 qid:1 1:1 2", "line 2: '2' is no pair .*; the file ends within this line, so it may be cut short"),
        (b"0 qid:1 1:0\n0 qid:1 1:\xff\n", "line 2: is not UTF-8"),
        (b"0 qid:1 1:0\n0 qid:1 1:\x00\n", "line 2: holds a NUL byte"),
        (gzip.compress(TRAIN.encode() * 50, mtime=0)[:60], "is a damaged gzip file"),
        ("1 qid:1 1:1 #docid = A\n0 qid:1 1:1 #docid = A\n", "line 2: docid 'A' is in query '1' already, in line 1"),
        (f"1 qid:1 1:1 #docid = {'A' * 256}\n", "line 1: the docid 'A+…' must have at most 255 characters"),
    ],
)
def test_broken_files_are_explained(load: Load, rows: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        alone(load, rows)
    assert "x.train" in str(caught.value)


def test_a_line_far_down_is_named(load: Load) -> None:
    rows = "".join(f"0 qid:{n} 1:1\n" for n in range(30_000))
    for bad in ("1:x", "1:nan", "10001:1"):
        with pytest.raises(DataError, match="line 30002"):
            alone(load, f"{rows}\n1 qid:x {bad}\n")


def test_a_stated_number_of_features_is_checked(load: Load) -> None:
    with pytest.raises(DataError, match=r"line 1: there is a feature 3; .* from 1 to 2\. .* correct n_features"):
        alone(load, TRAIN, "n_features: 2\n")


def test_a_query_stands_in_one_file_alone(load: Load) -> None:
    with pytest.raises(DataError, match=r"x\.test, line 2: query '10' is also in x\.train, line 1"):
        load(test="0 qid:b 1:1\n0 qid:10 1:1\n")


def test_a_missing_file_is_named(load: Load, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"y\.txt: no such file"):
        load("files: {train: [x.train], test: [y.txt]}\n")
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        (tmp_path / "folder").mkdir()
        load("files: {train: [x.train], test: [folder]}\n")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("", "files: required"),
        ("files: {}\n", "names no file; give one of train, valid and test at least"),
        ("files: {train: [x], tset: [y]}\n", "unknown key; did you mean 'test'"),
        ("files: {train: [x], test: [y]}\ngroups: {train: [z]}\n", r"needs as many files .* 1 / 0 / 1; got 1 / 0 / 0"),
        ("files: {train: [x]}\nfirst_feature: 2\n", "first_feature"),
        ("files: {train: [x]}\nn_features: 0\n", "n_features"),
        ("files: {train: [x]}\ncounts: {n_interactions: 3}\n", "counts.n_interactions: format 'letor' holds lists"),
        ("files: {train: [x]}\neditions: {a: {train: 1, valid: 1, test: 1}}\n", "editions are of interactions"),
    ],
)
def test_bad_cards_are_explained(load: Load, card: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(card)


def test_counts_of_lists_are_checked(load: Load) -> None:
    files = "files: {train: [x.train], test: [x.test]}\n"
    load(f"{files}counts: {{n_users: 3, n_items: 5, n_lists: 3, n_rows: 5}}\n")
    with pytest.raises(DataError, match="n_rows is 5, the card says 6"):
        load(f"{files}counts: {{n_rows: 6}}\n")


def test_lists_are_no_interactions(load: Load, tmp_path: Path) -> None:
    load()
    with pytest.raises(DataError, match="'x' holds lists, not interactions; the task retrieval needs"):
        load_dataset(load_card(tmp_path / "x.yaml"))


numbers = st.floats(-1e38, 1e38)


@settings(max_examples=60)
@given(
    queries=st.lists(
        st.lists(
            st.tuples(st.integers(0, 31), st.dictionaries(st.integers(1, 12), numbers, max_size=6)),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
        max_size=5,
    ),
    form=st.sampled_from(["{!r}", "{:.3e}", "{:+.9g}", "{:.6f}"]),
)
def test_well_formed_files_are_read_as_sklearn_reads_them(
    tmp_path_factory: pytest.TempPathFactory,
    queries: list[list[tuple[int, dict[int, float]]]],
    form: str,
) -> None:
    path = tmp_path_factory.mktemp("svm") / "x.txt"
    with path.open("w") as file:
        for query, rows in enumerate(queries, 1):
            for label, features in rows:
                pairs = " ".join(f"{number}:{form.format(features[number])}" for number in sorted(features))
                file.write(f"{label} qid:{query} {pairs} # a comment\n")
    lines = read_svmlight(path, 1, 12)
    features, labels, groups = load_svmlight_file(
        str(path), n_features=12, dtype=np.float64, zero_based=False, query_id=True
    )
    np.testing.assert_array_equal(lines.features, features.toarray().astype(np.float32))
    np.testing.assert_array_equal(lines.labels, labels)
    assert lines.queries == [str(group) for group in groups]


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    width=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    named=st.booleans(),
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], width: int, seed: int, named: bool
) -> None:
    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    lists = Lists(
        list_of=np.repeat(np.arange(len(lengths)), lengths),
        items=np.arange(n),
        n_items=n,
        users=np.arange(len(lengths)),
        n_users=len(lengths),
        features=(rng.standard_normal((n, width)) * 10.0 ** rng.integers(-40, 38, (n, width))).astype(np.float32),
        labels=rng.integers(0, 32, n),
    )
    queries = [f"q{query:03}" for query in range(len(lengths))] if named else None
    documents = [f"d{item:03}" for item in range(n)] if named else None
    write_letor(lists, folder / "x.txt", queries, documents)
    (folder / "x.yaml").write_text("schema_version: 1\nname: x\nformat: letor\nfiles: {train: x.txt}\n")
    data = load_lists(load_card(folder / "x.yaml"))
    read = data.payload
    for name in ("list_of", "items", "users", "features", "labels"):
        np.testing.assert_array_equal(getattr(read, name), getattr(lists, name), err_msg=name)
    assert data.user_ids.tolist() == (queries or [str(query) for query in range(1, len(lengths) + 1)])
    if documents:
        assert data.item_ids.tolist() == documents


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": ["a b", "c"]}, "hold neither spaces nor '#'; got 'a b'"),
        ({"queries": ["", "c"]}, "are not empty"),
        ({"queries": ["a", "a"]}, "there must be 2 different queries; got 1 in 2"),
        ({"queries": ["a"]}, "there must be 2 different queries; got 1 in 1"),
        ({"documents": ["a", "b#", "c"]}, "neither spaces nor '#'"),
        ({"documents": ["a", "b"]}, "there must be a docid for each of 3 items; got 2"),
    ],
)
def test_what_cannot_be_written_is_explained(
    load: Load, tmp_path: Path, changes: dict[str, list[str]], message: str
) -> None:
    lists = alone(load, TRAIN).payload
    with pytest.raises(DataError, match=message):
        write_letor(lists, tmp_path / "y.txt", **changes)


def test_lists_without_labels_or_features_cannot_be_written(load: Load, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="need labels and features"):
        write_letor(alone(load, "0 qid:1\n").payload, tmp_path / "y.txt")


def test_reading_takes_a_second_at_most_for_ten_thousand_dense_rows(load: Load) -> None:
    rng = np.random.default_rng(0)
    rows = "".join(
        f"{n % 3} qid:{n // 20} {' '.join(f'{f}:{v:.6f}' for f, v in enumerate(values, 1))}\n"
        for n, values in enumerate(rng.random((10_000, 46)).tolist())
    )
    start = time.process_time()
    alone(load, rows)
    assert time.process_time() - start < 3, "about 0.2 s on one core of 2024"


@pytest.mark.data
@pytest.mark.parametrize(
    ("card", "counts"),
    [("mq2008-fold1", {0: 471, 2: 156}), ("lightgbm-rank", {0: 201, 2: 50})],
)
def test_bundled_cards_read_real_files_as_sklearn_does(data_dir: Path, card: str, counts: dict[int, int]) -> None:
    data = load_lists(load_card(card), data_dir)
    lists = data.payload
    assert lists.parts is not None
    assert {int(part): int(n) for part, n in zip(*np.unique(lists.parts, return_counts=True), strict=True)} == counts
    described = load_card(card)
    names = [str(data_dir / card / name) for _, name in described.files.of_parts()]  # type: ignore[attr-defined]
    parts = [load_svmlight_file(name, n_features=described.n_features, zero_based=False) for name in names]  # type: ignore[attr-defined]
    expected = np.concatenate([features.toarray() for features, _ in parts]).astype(np.float32)
    np.testing.assert_array_equal(lists.features, expected)
    np.testing.assert_array_equal(lists.labels, np.concatenate([labels for _, labels in parts]))
