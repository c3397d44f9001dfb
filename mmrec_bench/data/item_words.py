"""Words and titles of the synthetic world's items: art prints, whose words are cells of the item factors."""

from __future__ import annotations

import numpy as np

from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.world import KINDS, WorldConfig, products
from mmrec_bench.types import DoubleArray, IntArray

COLOURS = ("amber", "black", "blue", "crimson", "green", "grey", "ivory", "orange", "pink", "teal", "violet", "white")
PATTERNS = ("checked", "dotted", "floral", "geometric", "marbled", "painted", "plain", "striped")
TOPICS = (
    "animals", "architecture", "astronomy", "city", "coast", "cooking", "dance", "forest", "gardening", "harvest",
    "history", "letters", "maps", "mountains", "music", "portraits", "sailing", "travel",
)  # fmt: skip
MOODS = ("calm", "cheerful", "dramatic", "dreamy", "festive", "nostalgic", "playful", "solemn")
BRANDS = (
    "Aldona", "Brevik", "Calloway", "Dunmore", "Eskil", "Farrow", "Galena", "Halden", "Ilmar", "Jorvik",
    "Kestrel", "Lunden", "Marlow", "Norvik", "Ostrava", "Pellan", "Quill", "Rosmark", "Sorrel", "Tamsin",
)  # fmt: skip
EDITIONS = ("open", "large", "limited", "rare")


def describe(config: WorldConfig, factors: DoubleArray, popularity: DoubleArray, rng: np.random.Generator) -> ItemTable:
    """Return six words and a title for each item.

    Colour and pattern tell the cell of the first and the last half of the image factors, topic and mood of the text
    factors, brand of all collaborative factors; cells are those of random directions. The edition is the quarter of
    popularity, from most to least popular.

    Args:
        config: The world.
        factors: float64 ``[3, n_items, k]``.
        popularity: Popularity of each item, float64 ``[n_items]``.
        rng: Draws the directions of the cells.
    """
    half = config.factor_dim // 2

    def cells(kind: int, columns: slice, n_cells: int) -> IntArray:
        rows = factors[kind][:, columns]
        directions = rng.standard_normal((n_cells, rows.shape[1]))
        directions /= np.sqrt((directions**2).sum(axis=1, keepdims=True))
        nearest: IntArray = products(rows, directions).argmax(axis=1)
        return nearest

    image, text, collaborative = range(len(KINDS))
    places = np.empty(config.n_items, np.int64)
    places[np.argsort(-popularity, kind="stable")] = np.arange(config.n_items)
    fields = (
        ("brand", BRANDS, cells(collaborative, slice(None), len(BRANDS))),
        ("colour", COLOURS, cells(image, slice(None, half), len(COLOURS))),
        ("edition", EDITIONS, places * len(EDITIONS) // config.n_items),
        ("mood", MOODS, cells(text, slice(half, None), len(MOODS))),
        ("pattern", PATTERNS, cells(image, slice(half, None), len(PATTERNS))),
        ("topic", TOPICS, cells(text, slice(None, half), len(TOPICS))),
    )
    vocabulary = [(field, value) for field, values, _ in fields for value in values]
    starts = np.cumsum([0, *(len(values) for _, values, _ in fields[:-1])])
    indices = np.stack([start + rows for start, (_, _, rows) in zip(starts, fields, strict=True)], axis=1)
    used, indices = np.unique(indices, return_inverse=True)  # a small world leaves words unused
    words = Words(
        tuple(vocabulary[row] for row in used),
        np.arange(config.n_items + 1, dtype=np.int64) * len(fields),
        indices.reshape(-1).astype(np.int64),
    )
    brand, colour, edition, mood, pattern, topic = (np.array(values)[rows].tolist() for _, values, rows in fields)
    columns = zip(colour, pattern, topic, brand, mood, edition, strict=True)
    titles = [f"{c.capitalize()} {p} print of {t} by {b}, {m}, {e} edition" for c, p, t, b, m, e in columns]
    return ItemTable(titles=np.array(titles), words=words)
