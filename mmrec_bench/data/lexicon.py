"""The words by which items can be asked for, and the queries that join some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from mmrec_bench.data.arrays import digest
from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.errors import DataError
from mmrec_bench.types import BoolArray, IntArray

TITLE = "title"
"""Field of the words that titles give."""

Word: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Lexicon:
    """Words of items, and queries of two or more words; a single word is a query, too.

    Attributes:
        items: Words of each item, of which rare and ubiquitous ones are left out.
        queries: Words of each compound query, of the same vocabulary.
        specified: Which closed fields each item has a value in, kept or not, bool ``[n_items, n_fields]``. Two values
            of a closed field tell items apart; a word of an open field, such as the title's, denies nothing.
        fields: Names of the closed fields.
        notes: What is worth knowing, one sentence each.
    """

    items: Words
    queries: Words
    specified: BoolArray
    fields: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.items.vocabulary != self.queries.vocabulary:
            raise DataError("items and queries of a lexicon must share one vocabulary")

    @property
    def vocabulary(self) -> tuple[Word, ...]:
        """The words ``(field, value)``."""
        return self.items.vocabulary

    @property
    def n_terms(self) -> int:
        """Number of words and compound queries."""
        return len(self.vocabulary) + self.queries.n_items

    def text(self, term: int) -> str:
        """Return a word or a query (numbered after the words) as people read it: ``brand: 3M + categories: Tapes``."""
        n_words = len(self.vocabulary)
        words = [self.vocabulary[term]] if term < n_words else self.queries.of_item(term - n_words)
        return " + ".join(f"{field}: {value}" for field, value in words)

    def fingerprint(self) -> str:
        """Return a content fingerprint."""
        words = "\x1e".join("\x1f".join(word) for word in self.vocabulary)
        rows = (self.items.offsets, self.items.indices, self.queries.offsets, self.queries.indices)
        return digest(words, "\x1f".join(self.fields), *rows, self.specified)


def matrix_of(words: Words) -> sp.csr_matrix:
    """Return words as a matrix of ones, float32 ``[n, n_words]``."""
    shape = (words.n_items, len(words.vocabulary))
    return sp.csr_matrix((np.ones(len(words.indices), np.float32), words.indices, words.offsets), shape)


QuerySource: TypeAlias = Literal["mined", "logged"]


@dataclass(frozen=True, slots=True)
class Supports:
    """Which words and queries are of use.

    Attributes:
        min_items: Items that a word or query has to match, at least.
        max_share: Share of the items that it may match, at most.
        title_min_items: The same as `min_items` for words of titles; None takes none from titles.
        fields: Fields to take words from; None takes all.
    """

    min_items: int = 5
    max_share: float = 0.5
    title_min_items: int | None = None
    fields: tuple[str, ...] | None = None


def mined_lexicon(table: ItemTable, supports: Supports, max_words: Literal[1, 2] = 2) -> Lexicon:
    """Take words, and as queries all pairs of words, that enough items have and not too many.

    A pair that matches the very items of one of its words is left out: it says no more than the word.

    Raises:
        DataError: The data set has no words, lacks a field, or fewer than two words are of use.
    """
    base = _words(table, supports)
    words, n_items = matrix_of(base.items), base.items.n_items
    pairs: IntArray = np.zeros((0, 2), np.int64)
    if max_words == 2:
        together = sp.triu(words.T @ words, k=1).tocoo()
        support = np.asarray(words.sum(axis=0)).reshape(-1)
        smaller = np.minimum(support[together.row], support[together.col])
        of_use = (together.data >= supports.min_items) & (together.data <= supports.max_share * n_items)
        of_use &= together.data < smaller
        pairs = np.stack([together.row, together.col], axis=1)[of_use].astype(np.int64)
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    offsets = np.arange(len(pairs) + 1, dtype=np.int64) * 2
    queries = Words(base.vocabulary, offsets, pairs.reshape(-1))
    return Lexicon(base.items, queries, base.specified, base.fields, base.notes)


def logged_lexicon(table: ItemTable, supports: Supports, queries: Iterable[Sequence[Word]], min_count: int) -> Lexicon:
    """Take words as `mined_lexicon` does, and as queries those that people have written often enough.

    Single words that were written stay words, whatever their support. A query that no item matches is left out and
    counted in the notes.

    Args:
        table: Words and titles of the items.
        supports: Which words are of use.
        queries: Words of each logged query, each known to `known_words`.
        min_count: How often a query has to be in the log.
    """
    counted = Counter(tuple(sorted(set(query))) for query in queries)
    often = sorted(query for query, count in counted.items() if count >= min_count)
    base = _words(table, supports, asked={word for query in often for word in query})
    place = {word: row for row, word in enumerate(base.vocabulary)}
    rows = [sorted(place[word] for word in query) for query in often if len(query) > 1]
    offsets = np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64)
    asked = Words(base.vocabulary, offsets, np.array([word for row in rows for word in row], np.int64))
    sizes = np.diff(offsets)
    shared = (matrix_of(base.items) @ matrix_of(asked).T).tocoo()
    matched = np.zeros(len(rows), np.bool_)
    matched[shared.col[shared.data == sizes[shared.col]]] = True
    kept = [row for row, has_items in zip(rows, matched, strict=True) if has_items]
    offsets = np.cumsum([0, *(len(row) for row in kept)]).astype(np.int64)
    found = Words(base.vocabulary, offsets, np.array([word for row in kept for word in row], np.int64))
    notes = [*base.notes, f"{len(often)} of {len(counted)} distinct logged queries occur {min_count} times or more"]
    if lost := len(rows) - len(kept):
        notes.append(f"{lost} logged queries match no item and are left out")
    return Lexicon(base.items, found, base.specified, base.fields, tuple(notes))


def known_words(table: ItemTable, supports: Supports) -> frozenset[Word]:
    """Return every word that some item has, of use or not."""
    vocabulary, _, _ = _all_words(table, supports)
    return frozenset(vocabulary)


def _words(table: ItemTable, supports: Supports, asked: Iterable[Word] = ()) -> Lexicon:
    """Return a lexicon without queries, of the words that are of use or asked for."""
    vocabulary, matrix, n_closed = _all_words(table, supports)
    n_items = matrix.shape[0]
    support = np.asarray(matrix.sum(axis=0)).reshape(-1)
    of_title = np.arange(len(vocabulary)) >= n_closed
    least = np.where(of_title, supports.title_min_items or 0, supports.min_items)
    kept = (support >= least) & (support <= supports.max_share * n_items)
    wanted = frozenset(asked)
    kept |= np.array([word in wanted for word in vocabulary], np.bool_)
    if kept.sum() < 2:
        raise DataError(
            f"{kept.sum()} of {len(vocabulary)} words are of use (at least {supports.min_items} items have it, and at "
            f"most {supports.max_share:.0%} of all); queries need two words. Lower protocol.queries."
            f"{'min_items' if supports.title_min_items is None else 'min_items or title_min_items'}, raise max_share, "
            "or take more fields"
        )
    rows = np.flatnonzero(kept)
    order = sorted(rows.tolist(), key=lambda row: vocabulary[row])
    chosen = matrix[:, order].tocsr()
    chosen.sort_indices()
    words = Words(
        tuple(vocabulary[row] for row in order), chosen.indptr.astype(np.int64), chosen.indices.astype(np.int64)
    )
    fields = tuple(sorted({field for field, _ in vocabulary[:n_closed]}))
    member = sp.csr_matrix(
        [[float(field == name) for name in fields] for field, _ in vocabulary[:n_closed]] or np.zeros((0, len(fields)))
    )
    specified = (matrix[:, :n_closed] @ member).toarray() > 0
    bare = int((np.diff(words.offsets) == 0).sum())
    notes = [f"{len(order)} of {len(vocabulary)} words are of use"]
    if bare:
        notes.append(f"{bare} items have none of these words; no query finds them")
    none = Words(words.vocabulary, np.zeros(1, np.int64), np.zeros(0, np.int64))
    return Lexicon(words, none, specified, fields, tuple(notes))


def _all_words(table: ItemTable, supports: Supports) -> tuple[list[Word], sp.csr_matrix, int]:
    """Return all words (of closed fields first), who has them ``[n_items, n_words]``, how many are of closed fields."""
    vocabulary: list[Word] = []
    matrices: list[sp.csr_matrix] = []
    if table.words is not None:
        matrix, known = matrix_of(table.words), sorted({field for field, _ in table.words.vocabulary})
        if unknown := sorted(set(supports.fields or ()) - set(known)):
            raise DataError(f"items have no words of the fields {', '.join(unknown)}; there are: {', '.join(known)}")
        wanted = known if supports.fields is None else list(supports.fields)
        columns = [row for row, (field, _) in enumerate(table.words.vocabulary) if field in wanted]
        vocabulary += [table.words.vocabulary[row] for row in columns]
        matrices.append(matrix[:, columns].tocsr())
    elif supports.fields:
        raise DataError(f"items have no words, so there are no fields {', '.join(supports.fields)}")
    n_closed = len(vocabulary)
    if supports.title_min_items is not None and table.titles is None:
        raise DataError("items have no titles to take words from; remove protocol.queries.title_min_items")
    if supports.title_min_items is not None and table.titles is not None:
        if any(field == TITLE for field, _ in vocabulary):
            raise DataError(
                f"items have words of a field '{TITLE}' already, so none are taken from titles; remove "
                "protocol.queries.title_min_items, or leave this field out of protocol.queries.fields"
            )
        tokens, found = _title_tokens(table, supports.title_min_items)
        vocabulary += tokens
        matrices.append(found)
    if not vocabulary:
        raise DataError(
            "items have no words: the card names no fields of words (word_fields, word_columns), and none are taken "
            "from titles (protocol.queries.title_min_items)"
        )
    return vocabulary, sp.hstack(matrices, format="csr"), n_closed


def _title_tokens(table: ItemTable, min_items: int) -> tuple[list[Word], sp.csr_matrix]:
    from sklearn.feature_extraction.text import CountVectorizer  # imported late: it takes a second

    assert table.titles is not None
    counter = CountVectorizer(binary=True, stop_words="english", token_pattern=r"(?u)\b[^\W\d]\w+\b", dtype=np.float32)
    try:
        found = counter.fit_transform(table.titles.tolist()).tocsr()
    except ValueError:  # no title holds a word
        return [], sp.csr_matrix(np.zeros((len(table.titles), 0), np.float32))
    often = np.flatnonzero(np.asarray(found.sum(axis=0)).reshape(-1) >= min_items)
    tokens = counter.get_feature_names_out()
    return [(TITLE, str(tokens[row])) for row in often], found[:, often].tocsr()
