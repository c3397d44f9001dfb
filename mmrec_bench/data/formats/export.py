"""Lists to files that other toolkits read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mmrec_bench.data.formats.tables import shown
from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import DataError


def write_letor(
    lists: Lists, path: Path, queries: Sequence[str] | None = None, documents: Sequence[str] | None = None
) -> None:
    """Write judged lists as one LETOR file, which cards of ``format: letor`` and other toolkits read.

    Every line names all features, from 1.

    Args:
        lists: With labels and features.
        path: The file; overwritten.
        queries: Text after ``qid:`` for each **list**, without spaces; the number of the list, from 1, by default.
        documents: ``docid`` of each **item**, without spaces, written as a comment; none by default.

    Raises:
        DataError: Labels or features are missing, or a text is empty or holds a space.
    """
    if lists.labels is None or lists.features is None:
        raise DataError("LETOR files need labels and features, and these lists lack one of them")
    names = [str(number) for number in range(1, lists.n_lists + 1)] if queries is None else list(queries)
    for text in (*names, *(documents if documents is not None else ())):
        if not text or re.search(r"\s|#", text):
            raise DataError(f"texts in LETOR files are not empty and hold neither spaces nor '#'; got {shown(text)}")
    if len(names) != lists.n_lists or len(set(names)) != len(names):
        raise DataError(f"there must be {lists.n_lists} different queries; got {len(set(names))} in {len(names)}")
    if documents is not None and len(documents) != lists.n_items:
        raise DataError(f"there must be a docid for each of {lists.n_items} items; got {len(documents)}")
    with path.open("w", encoding="utf-8") as file:
        for query, item, label, row in zip(lists.list_of, lists.items, lists.labels, lists.features, strict=True):
            pairs = " ".join(f"{number}:{value:.9g}" for number, value in enumerate(row.tolist(), 1))
            comment = "" if documents is None else f" #docid = {documents[item]}"
            file.write(f"{label} qid:{names[query]} {pairs}{comment}\n")
