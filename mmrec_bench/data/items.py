"""What people and word-based systems read about items: titles, images, words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmrec_bench.data.arrays import checked, checked_ids, digest
from mmrec_bench.errors import DataError
from mmrec_bench.types import IntArray, StringArray


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Categorical words of items, as a CSR structure: item i owns ``indices[offsets[i]:offsets[i + 1]]``.

    Attributes:
        vocabulary: Distinct ``(field, value)`` pairs, such as ``("genre", "Comedy")``.
        offsets: int64 ``[n_items + 1]``.
        indices: Rows of the vocabulary, int64 ``[n_words]``, ascending within an item.
    """

    vocabulary: tuple[tuple[str, str], ...]
    offsets: IntArray
    indices: IntArray

    def __post_init__(self) -> None:
        indices = checked_ids("words", self.indices, len(self.vocabulary))
        offsets = checked_ids("word offsets", self.offsets, len(indices) + 1)
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(indices) or (np.diff(offsets) < 0).any():
            raise DataError("word offsets must rise from 0 to the number of words")
        if len(set(self.vocabulary)) != len(self.vocabulary):
            raise DataError("the vocabulary of words holds a pair twice")
        object.__setattr__(self, "indices", indices)
        object.__setattr__(self, "offsets", offsets)

    @classmethod
    def of(cls, words: Sequence[Sequence[tuple[str, str]]]) -> Words:
        """Build from one sequence of ``(field, value)`` pairs an item."""
        vocabulary = tuple(sorted({word for item in words for word in item}))
        index = {word: row for row, word in enumerate(vocabulary)}
        rows = [sorted({index[word] for word in item}) for item in words]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        indices = np.array([entry for row in rows for entry in row], np.int64)
        return cls(vocabulary, offsets, indices)

    @property
    def n_items(self) -> int:
        """Number of items, with or without words."""
        return len(self.offsets) - 1

    def of_item(self, item: int) -> tuple[tuple[str, str], ...]:
        """Return the words of one item."""
        return tuple(self.vocabulary[row] for row in self.indices[self.offsets[item] : self.offsets[item + 1]])


@dataclass(frozen=True, slots=True, eq=False)
class ItemTable:
    """What can be shown of items.

    Attributes:
        titles: Text ``[n_items]``; empty where unknown.
        images: Paths or URLs ``[n_items]``; empty where unknown.
        words: Categorical words.
    """

    titles: StringArray | None = None
    images: StringArray | None = None
    words: Words | None = None

    def __post_init__(self) -> None:
        lengths = {
            name: len(column) if name != "words" else column.n_items
            for name in ("titles", "images", "words")
            if (column := getattr(self, name)) is not None
        }
        if len(set(lengths.values())) > 1:
            raise DataError(f"the columns of an item table must be equally long; got {lengths}")
        for name in ("titles", "images"):
            if (column := getattr(self, name)) is not None:
                object.__setattr__(
                    self, name, checked(name, np.asarray(column, np.str_), np.asarray(column, np.str_).dtype, (None,))
                )

    @property
    def text_fields(self) -> tuple[str, ...]:
        """Names of what is written of items: ``title``, then the fields of words."""
        words = () if self.words is None else sorted({field for field, _ in self.words.vocabulary})
        return (*(() if self.titles is None else ("title",)), *words)

    def texts(self, field: str) -> list[str]:
        """Return the text of one of `text_fields` of each item, words with commas between them; empty where none."""
        if field == "title" and self.titles is not None:
            return [str(title) for title in self.titles]
        words = self.words
        assert words is not None, "a field is a title or has words"
        of_items = (words.of_item(item) for item in range(words.n_items))
        return [", ".join(value for name, value in found if name == field) for found in of_items]

    def fingerprint(self) -> str:
        """Return a content fingerprint."""
        words = self.words
        parts = (
            (None, None, None)
            if words is None
            else ("\x1e".join("\x1f".join(w) for w in words.vocabulary), words.offsets, words.indices)
        )
        return digest(self.titles, self.images, *parts)
