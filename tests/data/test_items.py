"""Item texts: words as a CSR structure, titles and images as columns."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.errors import DataError

WORDS = [[("genre", "Comedy"), ("year", "1995")], [], [("genre", "Drama"), ("genre", "Comedy"), ("genre", "Drama")]]


def test_words_come_back_sorted_and_once() -> None:
    words = Words.of(WORDS)
    assert words.n_items == 3
    assert words.vocabulary == (("genre", "Comedy"), ("genre", "Drama"), ("year", "1995"))
    assert [words.of_item(item) for item in range(3)] == [
        (("genre", "Comedy"), ("year", "1995")),
        (),
        (("genre", "Comedy"), ("genre", "Drama")),
    ]


def test_no_words_at_all() -> None:
    words = Words.of([[], []])
    assert words.n_items == 2
    assert words.of_item(1) == ()


@pytest.mark.parametrize(
    ("vocabulary", "offsets", "indices", "message"),
    [
        ((("a", "b"),), [0, 1, 2], [0, 1], r"words must lie in 0\.\.0; got 1"),
        ((("a", "b"),), [0, 2, 1], [0], r"must lie in 0\.\.1|must rise"),
        ((("a", "b"),), [1, 1], [0], "must rise from 0"),
        ((("a", "b"),), [0, 0], [0], "must rise from 0"),
        ((("a", "b"),), [], [], "must rise from 0"),
        ((("a", "b"), ("a", "b")), [0, 1], [0], "holds a pair twice"),
    ],
)
def test_broken_words_are_refused(
    vocabulary: tuple[tuple[str, str], ...], offsets: list[int], indices: list[int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Words(vocabulary, np.array(offsets, np.int64), np.array(indices, np.int64))


def test_columns_must_be_equally_long() -> None:
    titles = np.array(["a", "b", "c"])
    ItemTable(titles=titles, words=Words.of(WORDS))
    with pytest.raises(DataError, match=r"equally long; got .*'titles': 2.*'words': 3"):
        ItemTable(titles=titles[:2], words=Words.of(WORDS))


def test_the_fingerprint_depends_on_every_column() -> None:
    titles = np.array(["a", "b", "c"])
    tables = [
        ItemTable(),
        ItemTable(titles=titles),
        ItemTable(images=titles),
        ItemTable(titles=np.array(["a", "b", "d"])),
        ItemTable(words=Words.of(WORDS)),
        ItemTable(words=Words.of(WORDS[::-1])),
        ItemTable(titles=titles, words=Words.of(WORDS)),
    ]
    assert len({table.fingerprint() for table in tables}) == len(tables)
