"""Signed relations against the definitions, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.lexicon import Lexicon, Supports, mined_lexicon
from mmrec_bench.graph.relations import Relations
from mmrec_bench.models.interactive.base import relations_of
from tests.models.interactive.worlds import Slow, lexicon_of

SEEDS = range(6)


def clashes(relations: Relations) -> np.ndarray:
    """Return contradictions of all pairs as `Relations` defines them."""
    dense = relations.specified @ relations.specified.T - relations.sharing.toarray()
    dense[: relations.n_items, : relations.n_items] = 0
    return dense


@pytest.mark.parametrize("titles", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_all_relations_are_those_of_the_definitions(seed: int, titles: bool) -> None:
    lexicon = lexicon_of(seed, titles=titles)
    relations, slow = relations_of(lexicon), Slow(lexicon)
    assert slow.improves.any()
    assert slow.clashes.max() >= 2  # two fields at once
    np.testing.assert_array_equal(relations.improving.toarray(), slow.improves)
    np.testing.assert_array_equal(clashes(relations), slow.clashes)
    np.testing.assert_array_equal(relations.matches.toarray(), slow.matches())
    np.testing.assert_array_equal(relations.inside.toarray(), slow.inside())


@pytest.mark.parametrize("seed", SEEDS)
def test_relations_are_symmetric_exclusive_and_never_of_two_items(seed: int) -> None:
    relations = relations_of(lexicon_of(seed))
    n_items, improving = relations.n_items, relations.improving.toarray()
    assert (improving == improving.T).all()
    assert not improving.diagonal().any()
    assert not (improving * clashes(relations)).any(), "no pair both improves and inhibits"
    for matrix in (relations.improving, relations.sharing):
        assert matrix[:n_items, :n_items].nnz == 0
    assert relations.n_nodes == n_items + relations.n_terms


def world(*items: str) -> tuple[Lexicon, Relations]:
    """Return items such as ``"brand:a kind:x kind:y"``, with all their words and pairs."""
    words = [[(part.partition(":")[0], part.partition(":")[2]) for part in item.split()] for item in items]
    lexicon = mined_lexicon(ItemTable(words=Words.of(words)), Supports(min_items=1, max_share=1.0))
    return lexicon, relations_of(lexicon)


def node(lexicon: Lexicon, text: str) -> int:
    names = [lexicon.text(term) for term in range(lexicon.n_terms)]
    return lexicon.items.n_items + names.index(text)


def test_fields_are_counted_one_by_one() -> None:
    lexicon, relations = world("brand:a kind:x", "brand:b kind:y", "brand:a kind:y", "kind:x", "brand:b kind:x kind:y")
    found = clashes(relations)
    query = node(lexicon, "brand: a + kind: x")
    assert found[query, :5].tolist() == [0, 2, 1, 0, 1]
    assert relations.improving[query, :5].toarray().tolist() == [[1, 0, 0, 1, 0]]  # kind:x lies inside the query
    word = node(lexicon, "kind: x")
    assert found[word, :5].tolist() == [0, 1, 1, 0, 0]
    assert found[query, node(lexicon, "brand: b")] == 1
    assert relations.improving[query, word] == 1
    brand = node(lexicon, "brand: a")
    assert found[brand, word] == relations.improving[brand, word] == 0, "words of two fields are independent"


def test_a_rare_value_contradicts_although_it_is_no_word() -> None:
    """An item of a brand too rare to be a word is of another brand all the same."""
    words = Words.of([[("brand", brand)] for brand in ("a", "a", "b", "b", "rare")] + [[("kind", "x")]] * 2)
    lexicon = mined_lexicon(ItemTable(words=words), Supports(min_items=2, max_share=1.0))
    found = clashes(relations_of(lexicon))
    assert found[node(lexicon, "brand: a"), :7].tolist() == [0, 0, 1, 1, 1, 0, 0]


def test_words_of_titles_deny_nothing() -> None:
    table = ItemTable(titles=np.array(["red pen", "red pen", "blue pencil", "blue pencil"]))
    lexicon = mined_lexicon(table, Supports(min_items=2, max_share=1.0, title_min_items=2))
    relations = relations_of(lexicon)
    assert lexicon.fields == ()
    assert not clashes(relations).any()
    assert relations.improving.nnz
