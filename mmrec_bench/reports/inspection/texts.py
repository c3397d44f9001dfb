"""Titles and words of items: how long, in which script and language, how often repeated."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.errors import MissingExtraError
from mmrec_bench.reports.inspection.base import QUANTILES, Section, percent, quantile_row, quantiles, share, warned
from mmrec_bench.reports.inspection.languages import languages
from mmrec_bench.reports.table import Cell, Table, number
from mmrec_bench.types import StringArray

MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|/>|&(?:[A-Za-z]{2,8}|#x?[0-9A-Fa-f]{1,6});")
BLOCK = 4096
"""Titles whose letters are looked at at once."""
N_SHOWN = 10
REPEATED = 0.01
"""Share of items from which on repeated titles are warned of."""
SCRIPTS = {"CJK": "Han"}
"""Scripts that are called otherwise than the first word of the names of their letters."""


def texts(items: ItemTable, item_ids: StringArray) -> Section:
    """Return how long titles are, in which script and language, and which are repeated; and the fields of words."""
    if items.titles is None:
        return Section("texts", "Texts", ("Items have no titles.",), tuple(_words_tables(items.words)))
    titles = [str(title) for title in items.titles]
    present = [title for title in titles if title.strip()]
    having = f"{len(present):,} of {len(titles):,} items ({percent(len(present), len(titles))}) have a title."
    facts = [warned(having, len(titles) - len(present), len(titles))]
    data: dict[str, object] = {"titles": len(present)}
    tables: list[Table] = []
    if present:
        lengths = np.array([len(title) for title in present])
        words = np.array([len(title.split()) for title in present])
        told = {"characters": quantiles(lengths), "words": quantiles(words)}
        note = "Of titles that are not empty; words are parted by space."
        rows = tuple(quantile_row(name, quantile) for name, quantile in told.items())
        tables.append(Table("Length of titles", note, ("", *QUANTILES, "mean"), rows))
        found = scripts(present)
        tables.append(_scripts_table(found, len(present)))
        repeated = _repeated(titles, item_ids)
        n_repeated = sum(len(ids) for ids in repeated.values())
        facts += _title_facts(present, titles, n_repeated)
        if repeated:
            tables.append(_repeated_table(repeated))
        data |= {"lengths": told, "scripts": dict(found), "repeated": n_repeated, "with_markup": n_markup(present)}
        try:
            spoken = languages(present)
        except MissingExtraError as error:
            facts.append(f"No languages: {error}")
        else:
            if spoken is None:
                facts.append("Too few titles are long enough to tell their languages.")
            else:
                tables.insert(2, spoken.table())
                data["languages"] = spoken.json()
    return Section("texts", "Texts", tuple(facts), (*tables, *_words_tables(items.words)), data=data)


def scripts(titles: Sequence[str]) -> Counter[str]:
    """Return the number of titles by the script of most of their letters; ``none`` for titles without a letter."""
    found: Counter[str] = Counter()
    for start in range(0, len(titles), BLOCK):
        block = np.array(titles[start : start + BLOCK])
        letters = np.ascontiguousarray(block).view(np.uint32).reshape(len(block), -1)
        kinds, places = np.unique(letters, return_inverse=True)
        names = [_script(chr(code)) for code in kinds.tolist()]
        known = sorted(set(names))
        of_kind = np.array([known.index(name) for name in names])
        of_letter = of_kind[places.reshape(letters.shape)]
        counts = np.stack([(of_letter == place).sum(axis=1) for place in range(len(known))], axis=1)
        if "" in known:  # digits, marks and the padding of short titles
            counts[:, known.index("")] = 0
        main = counts.argmax(axis=1)
        for place, n in Counter(np.where(counts.max(axis=1) > 0, main, -1).tolist()).items():
            found["none" if place < 0 else known[place]] += n
    return found


@cache
def _script(letter: str) -> str:
    """Return the script of a letter, by the first word of its Unicode name; nothing for what is no letter."""
    if not letter.isalpha():
        return ""
    first = unicodedata.name(letter, "UNNAMED").split()[0].split("-")[0]
    return SCRIPTS.get(first, first.capitalize())


def n_markup(titles: Sequence[str]) -> int:
    """Return how many titles hold what looks like marks or entities of HTML."""
    return sum(MARKUP.search(title) is not None for title in titles)


def _title_facts(present: Sequence[str], titles: Sequence[str], n_repeated: int) -> list[str]:
    facts = []
    if n_repeated:
        told = f"{n_repeated:,} items ({percent(n_repeated, len(titles))}) share their title with another item"
        facts.append(warned(f"{told}, but for case and space.", n_repeated, len(titles), REPEATED))
    if marked := n_markup(present):
        facts.append(f"{marked:,} titles ({percent(marked, len(present))}) hold marks or entities of HTML.")
    if broken := sum("\ufffd" in title for title in present):
        facts.append(f"Careful: {broken:,} titles hold the sign for a letter that could not be read (U+FFFD).")
    return facts


def _repeated(titles: Sequence[str], item_ids: StringArray) -> dict[str, list[str]]:
    """Return the ids of items by their common title, the most frequent first."""
    by_title: dict[str, list[str]] = {}
    for title, item_id in zip(titles, item_ids.tolist(), strict=True):
        if key := " ".join(title.casefold().split()):
            by_title.setdefault(key, []).append(item_id)
    several = {title: ids for title, ids in by_title.items() if len(ids) > 1}
    return dict(sorted(several.items(), key=lambda entry: -len(entry[1])))


def _repeated_table(repeated: dict[str, list[str]]) -> Table:
    rows = [
        (Cell(title[:100]), number(len(ids), ",d"), ", ".join(ids[:3]) + (", …" if len(ids) > 3 else ""))
        for title, ids in list(repeated.items())[:N_SHOWN]
    ]
    note = f"Titles that more than one item has, in lower case, the most frequent first; {len(repeated):,} in all."
    return Table("Repeated titles", note, ("title", "items", "such as"), tuple(rows))


def _scripts_table(found: Counter[str], n_titles: int) -> Table:
    rows = tuple((name, number(n, ",d"), share(n, n_titles)) for name, n in found.most_common(N_SHOWN))
    return Table("Scripts of titles", "By the script of most letters of a title.", ("script", "titles", "share"), rows)


def _words_tables(words: Words | None) -> list[Table]:
    """Return the fields of words: how many items have one, and the most frequent."""
    if words is None or not words.vocabulary:
        return []
    fields = sorted({field for field, _ in words.vocabulary})
    of_word = np.array([fields.index(field) for field, _ in words.vocabulary])
    counts = np.bincount(words.indices, minlength=len(words.vocabulary))
    owners = np.repeat(np.arange(words.n_items), np.diff(words.offsets))
    rows = []
    for place, field in enumerate(fields):
        having = len(np.unique(owners[of_word[words.indices] == place]))
        mine = np.flatnonzero(of_word == place)
        top = mine[np.argsort(-counts[mine], kind="stable")[:3]].tolist()
        told = ", ".join(f"{words.vocabulary[word][1][:40]} ({counts[word]:,})" for word in top)
        rows.append((
            field, number(having, ",d"), share(having, words.n_items), number(len(mine), ",d"), told,
        ))  # fmt: skip
    note = "Fields of categorical words; the three most frequent words with the number of items that have them."
    return [Table("Words", note, ("field", "items with", "share", "different words", "most frequent"), tuple(rows))]
