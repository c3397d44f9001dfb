"""A small shop whose items have texts, for tests of extracted features."""

from __future__ import annotations

import json
from pathlib import Path

KINDS = ("apple", "bolt", "hose", "lamp")
N = 40


def write_shop(folder: Path) -> None:
    """Write a shop of 40 items with texts, the last without, whose users each like one kind."""
    items = {
        f"i{i:02d}": {"title": "" if i == N - 1 else f"{KINDS[i % 4]} {KINDS[i % 4]} of style {i % 8}",
                      "about": "long text " * i, "sold": f"rank {i}"}
        for i in range(N)
    }  # fmt: skip
    users = {f"u{u}": [f"i{i:02d}" for i in range(N) if i % 4 == u % 4 and (i + u) % 3] for u in range(24)}
    (folder / "users.json").write_text(json.dumps(users))
    (folder / "items.json").write_text(json.dumps(items))
    (folder / "shop.yaml").write_text(
        "schema_version: 1\nname: shop\nformat: sequences\nsequences: users.json\nitems: items.json\n"
        "title_field: title\nword_fields: {sold: whole}\n"
        "provenance: {fields: {sold: {made_of: interactions}}}\n"
    )
    (folder / "texts.yaml").write_text(
        "schema_version: 1\ndataset: {card: shop.yaml}\nmodality: text\ntexts: {fields: [title]}\n"
        "encoder: {name: tfidf-svd, dim: 3}\n"
    )
    (folder / "run.yaml").write_text(
        "schema_version: 1\ndataset: {card: shop.yaml, features: {text: texts.yaml}}\n"
        "protocol: {split: leave-last-out, cutoffs: [5], select_by: recall@5}\n"
        "model: {name: itemknn-content, n_neighbors: 3}\nretriever: {backend: torch}\nseeds: [0]\n"
    )
