"""Logged queries as JSON lines: ``{"words": [["brand", "3M"], ["categories", "Tapes"]]}``, one a query."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from mmrec_bench.data.formats.tables import read_file, shown
from mmrec_bench.data.lexicon import Word
from mmrec_bench.errors import DataError
from mmrec_bench.registry import nearest, unknown_message


def read_queries(path: Path, known: Collection[Word]) -> list[tuple[Word, ...]]:
    """Read logged queries; keys beside ``words``, such as the user and the time, are ignored.

    Args:
        path: The file.
        known: All words that items have.

    Raises:
        DataError: There is no such file, a line is no such object, or a word is unknown; names file and line.
    """
    queries: list[tuple[Word, ...]] = []
    fields = sorted({field for field, _ in known})
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            words = json.loads(line)["words"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DataError(f'{where}: needs an object {{"words": [[field, value], ...]}}; got {shown(line)}') from None
        if not isinstance(words, list) or not words or not all(_is_word(word) for word in words):
            raise DataError(f"{where}: words must be pairs [field, value] of texts, one at least; got {shown(words)}")
        query = tuple((field, value) for field, value in words)
        for field, value in query:
            if field not in fields:
                raise DataError(f"{where}: {unknown_message('field', field, fields)}. A query has words of items")
            if (field, value) not in known:
                near = nearest(value, [other for name, other in known if name == field])
                hint = f"; did you mean {near!r}?" if near else ""
                raise DataError(f"{where}: no item has the word {value!r} in the field '{field}'{hint}")
        queries.append(query)
    if not queries:
        raise DataError(f"{path}: holds no query")
    return queries


def _lines(path: Path) -> list[str]:
    try:
        return read_file(path).decode("utf-8-sig").split("\n")  # other breaks may stand in texts
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 text: {error.reason} at byte {error.start}") from None


def _is_word(word: object) -> bool:
    return isinstance(word, list) and len(word) == 2 and all(isinstance(part, str) for part in word)
