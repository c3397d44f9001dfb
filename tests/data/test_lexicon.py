"""Words and queries: mined ones against a slow reference, logged ones, and what is left out."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import numpy as np
import pytest

from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.lexicon import Lexicon, Supports, Word, known_words, logged_lexicon, mined_lexicon
from mmrec_bench.errors import DataError

Items = list[list[Word]]


def random_items(seed: int, n: int = 60) -> Items:
    rng = np.random.default_rng(seed)
    rows: Items = []
    for _ in range(n):
        brand = [("brand", f"b{int(rng.exponential(2))}")] if rng.random() < 0.9 else []
        kinds = rng.choice(7, size=rng.integers(0, 4), replace=False)
        rows.append([*brand, *(("kind", f"k{kind}") for kind in kinds)])
    return rows


def table_of(items: Items, titles: list[str] | None = None) -> ItemTable:
    return ItemTable(titles=None if titles is None else np.array(titles), words=Words.of(items))


def slow(items: Items, supports: Supports) -> tuple[set[Word], set[tuple[Word, ...]]]:
    """Return the words and pairs of use, by looking at one after the other."""

    def having(words: tuple[Word, ...]) -> frozenset[int]:
        return frozenset(row for row, item in enumerate(items) if set(words) <= set(item))

    def of_use(words: tuple[Word, ...]) -> bool:
        return supports.min_items <= len(having(words)) <= supports.max_share * len(items)

    words = {word for item in items for word in item if of_use((word,))}
    pairs = {
        pair
        for pair in combinations(sorted(words), 2)
        if of_use(pair) and having(pair) not in (having(pair[:1]), having(pair[1:]))
    }
    return words, pairs


def queries_of(lexicon: Lexicon) -> list[tuple[Word, ...]]:
    return [lexicon.queries.of_item(row) for row in range(lexicon.queries.n_items)]


@pytest.mark.parametrize("supports", [Supports(2, 0.5), Supports(5, 0.3), Supports(1, 1.0)])
@pytest.mark.parametrize("seed", range(4))
def test_words_and_pairs_are_those_of_a_slow_count(seed: int, supports: Supports) -> None:
    items = random_items(seed)
    lexicon = mined_lexicon(table_of(items), supports)
    words, pairs = slow(items, supports)
    assert pairs
    assert list(lexicon.vocabulary) == sorted(words)
    assert queries_of(lexicon) == sorted(pairs)
    for row, item in enumerate(items):
        assert set(lexicon.items.of_item(row)) == set(item) & words
        fields = {field for field, _ in item}  # of rare values, too
        assert {name for name, has in zip(lexicon.fields, lexicon.specified[row], strict=True) if has} == fields
    assert mined_lexicon(table_of(items), supports, max_words=1).queries.n_items == 0


def test_a_pair_that_says_no_more_than_one_of_its_words_is_left_out() -> None:
    items: Items = [[("a", "x"), ("b", "y")]] * 3 + [[("b", "y")]] * 3 + [[("a", "z"), ("b", "y")]] * 2 + [[("b", "w")]]
    items += [[("a", "z")]] * 2
    lexicon = mined_lexicon(table_of(items), Supports(2, 0.9))
    assert queries_of(lexicon) == [(("a", "z"), ("b", "y"))]  # every x is a y, but not every z


def test_counts_and_texts() -> None:
    items: Items = [[("a", "x"), ("b", "y")]] * 2 + [[("a", "x")], [("b", "y")]]
    lexicon = mined_lexicon(table_of(items), Supports(2, 1.0))
    assert lexicon.n_terms == 3
    assert [lexicon.text(term) for term in range(3)] == ["a: x", "b: y", "a: x + b: y"]
    assert lexicon.notes == ("2 of 2 words are of use",)


def test_items_without_words_are_counted_and_stay() -> None:
    items: Items = [[("a", "x")], [], [("a", "x"), ("a", "rare")], [("a", "rare2")], [("a", "y")], [("a", "y")]]
    lexicon = mined_lexicon(table_of(items), Supports(2, 1.0))
    assert lexicon.items.n_items == 6
    assert lexicon.items.of_item(1) == lexicon.items.of_item(3) == ()
    assert "2 items have none of these words; no query finds them" in lexicon.notes
    assert lexicon.specified[:, 0].tolist() == [True, False, True, True, True, True]


@pytest.mark.parametrize("items", [[[("a", "x")]] * 3 + [[]] * 3, [[("a", "x"), ("a", str(row))] for row in range(6)]])
def test_a_vocabulary_of_one_word_is_refused(items: Items) -> None:
    with pytest.raises(DataError, match=r"1 of \d words are of use.*queries need two words\. Lower protocol"):
        mined_lexicon(table_of(items), Supports(2, 1.0))


def test_items_without_any_words_are_refused() -> None:
    for table in (ItemTable(), ItemTable(titles=np.array(["red pen"]))):
        with pytest.raises(DataError, match=r"items have no words.*word_fields.*title_min_items"):
            mined_lexicon(table, Supports())
    with pytest.raises(DataError, match="no fields colour"):
        mined_lexicon(ItemTable(), Supports(fields=("colour",)))
    with pytest.raises(DataError, match=r"items have no titles.*remove protocol\.queries\.title_min_items"):
        mined_lexicon(table_of([[("a", "x")]] * 3 + [[("a", "y")]] * 3), Supports(2, 1.0, title_min_items=1))
    with pytest.raises(DataError, match="items have no words"):
        mined_lexicon(ItemTable(titles=np.array(["", "12 7"])), Supports(title_min_items=1))


def test_fields_are_chosen_and_unknown_ones_named() -> None:
    items = random_items(0)
    lexicon = mined_lexicon(table_of(items), Supports(2, 1.0, fields=("kind",)))
    assert {field for field, _ in lexicon.vocabulary} == {"kind"}
    assert lexicon.fields == ("kind",)
    with pytest.raises(DataError, match="no words of the fields kinds; there are: brand, kind"):
        mined_lexicon(table_of(items), Supports(fields=("kinds", "brand")))


def test_title_words_are_tokens_of_enough_titles() -> None:
    titles = ["Red pen and 3M tape", "red Pencil", "the tape", "a blue pen", "blue pens", "red"]
    lexicon = mined_lexicon(table_of([[]] * 6, titles), Supports(5, 0.5, title_min_items=2))
    assert lexicon.vocabulary == (("title", "blue"), ("title", "pen"), ("title", "red"), ("title", "tape"))
    assert lexicon.fields == ()
    assert lexicon.specified.shape == (6, 0)
    assert lexicon.items.of_item(0) == (("title", "pen"), ("title", "red"), ("title", "tape"))
    assert lexicon.queries.n_items == 0  # pairs need min_items, 5
    seldom = mined_lexicon(table_of([[]] * 6, titles), Supports(5, 0.4, title_min_items=2))
    assert ("title", "red") not in seldom.vocabulary  # in half of all titles


def test_title_words_stand_beside_fields_with_their_own_support() -> None:
    items: Items = [[("a", "x")]] * 3 + [[("a", "y")]] * 2
    titles = ["red"] * 2 + ["green"] * 3
    lexicon = mined_lexicon(table_of(items, titles), Supports(3, 1.0, title_min_items=2))
    assert lexicon.vocabulary == (("a", "x"), ("title", "green"), ("title", "red"))
    assert lexicon.fields == ("a",)


def test_a_field_called_title_is_a_field_like_others() -> None:
    items: Items = [[("title", "x")]] * 3 + [[("title", "y")]] * 3 + [[("title", "rare")]]
    lexicon = mined_lexicon(table_of(items), Supports(2, 1.0))
    assert lexicon.vocabulary == (("title", "x"), ("title", "y"))
    assert lexicon.fields == ("title",)
    with pytest.raises(DataError, match=r"field 'title'.*title_min_items"):
        mined_lexicon(table_of(items, ["x"] * 7), Supports(2, 1.0, title_min_items=1))


# --- logged queries

LOG: Items = [[("a", "x"), ("b", "y")]] * 3 + [[("a", "x"), ("b", "z")], [("a", "w"), ("b", "z")]] * 2


def test_logged_queries_are_those_written_often_enough() -> None:
    x, y, z, w = ("a", "x"), ("b", "y"), ("b", "z"), ("a", "w")
    written = [(x, y), (y, x), (x, y, y), (x, z), (w, y), (w, y), (z,), (w, z), (w, z)]
    lexicon = logged_lexicon(table_of(LOG), Supports(1, 1.0), written, min_count=2)
    assert queries_of(lexicon) == [(w, z), (x, y)]
    assert "3 of 5 distinct logged queries occur 2 times or more" in lexicon.notes
    assert "1 logged queries match no item and are left out" in lexicon.notes
    once = logged_lexicon(table_of(LOG), Supports(1, 1.0), written, min_count=1)
    assert queries_of(once) == [(w, z), (x, y), (x, z)]


def test_a_word_that_was_written_is_a_word_whatever_its_support() -> None:
    x, y, w = ("a", "x"), ("b", "y"), ("a", "w")
    few = Supports(3, 0.6)  # neither w, in 2 items, nor x, in 5 of 7
    assert set(mined_lexicon(table_of(LOG), few).vocabulary) == {y, ("b", "z")}
    lexicon = logged_lexicon(table_of(LOG), few, [(w,), (x, y)], min_count=1)
    assert set(lexicon.vocabulary) == {w, x, y, ("b", "z")}
    assert queries_of(lexicon) == [(x, y)]


def test_known_words_are_all_that_items_have() -> None:
    assert known_words(table_of(LOG), Supports(100, 0.1)) == {word for item in LOG for word in item}
    titled = known_words(table_of(LOG, ["pen"] * 7), Supports(title_min_items=2))
    assert ("title", "pen") in titled


def test_a_fingerprint_tells_contents_apart() -> None:
    base = mined_lexicon(table_of(random_items(0)), Supports(2, 0.5))
    same = mined_lexicon(table_of([list(reversed(item)) for item in random_items(0)]), Supports(2, 0.5))
    assert base.fingerprint() == same.fingerprint()
    others = [
        mined_lexicon(table_of(random_items(1)), Supports(2, 0.5)),
        mined_lexicon(table_of(random_items(0)), Supports(3, 0.5)),
        mined_lexicon(table_of(random_items(0)), Supports(2, 0.5), max_words=1),
        dataclasses.replace(base, specified=~base.specified),
        dataclasses.replace(base, fields=("brand", "sort")),
    ]
    assert len({base.fingerprint(), *(other.fingerprint() for other in others)}) == 6


def test_items_and_queries_share_a_vocabulary() -> None:
    base = mined_lexicon(table_of(random_items(0)), Supports(2, 0.5))
    other = mined_lexicon(table_of(random_items(0)), Supports(4, 0.5))
    with pytest.raises(DataError, match="share one vocabulary"):
        dataclasses.replace(base, queries=other.queries)
