"""Sequences as JSON: the order of a user's items is kept, and broken files are explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrec_bench.data.cards import load_card, load_dataset, load_lists
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.rules import LeaveLastOut
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.data.splitting import make_split
from mmrec_bench.errors import ConfigError, DataError

SEQUENCES = '{"10": [3, "20", 1], "9": ["b", 3, "b"], "x": []}'
ITEMS = """{
"1": {"title": "One", "kind": "Tapes, Glue,Caulk", "brand": "A, B"},
"20": {"title": null, "kind": ""},
"3": {"kind": "Caulk, Caulk", "price": 3},
"z": {"title": "Unseen"}
}"""
FIELDS = "items: x.items\ntitle_field: title\nword_fields: {kind: commas, brand: whole}\n"
Load = Callable[..., Dataset[Interactions]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(sequences: str | bytes = SEQUENCES, card: str = "", items: str = ITEMS) -> Any:
        (tmp_path / "x.inter").write_bytes(sequences if isinstance(sequences, bytes) else sequences.encode())
        (tmp_path / "x.items").write_text(items)
        (tmp_path / "x.yaml").write_text(f"schema_version: 1\nname: x\nformat: sequences\nsequences: x.inter\n{card}")
        return load_dataset(load_card(tmp_path / "x.yaml"))

    return load


def test_the_place_in_the_sequence_is_the_order(load: Load) -> None:
    data = load()
    facts = data.payload
    assert data.user_ids.tolist() == ["9", "10", "x"], "natural order; a user without items is one"
    assert data.item_ids.tolist() == ["1", "3", "20", "b"]
    assert facts.users.tolist() == [1, 1, 1, 0, 0]
    assert facts.items.tolist() == [1, 2, 0, 3, 1]
    assert facts.order is not None
    assert facts.order.tolist() == [0, 1, 2, 0, 1], "the first of repeated items counts"
    assert facts.timestamps is None
    assert data.report.n_duplicates == 1
    assert data.report.notes == ("1 ids of x.inter have no interaction",)


def test_texts_become_titles_and_words(load: Load) -> None:
    data = load(card=FIELDS)
    assert data.item_ids.tolist() == ["1", "3", "20", "b", "z"]
    assert data.items.titles is not None
    assert data.items.titles.tolist() == ["One", "", "", "", "Unseen"]
    words = data.items.words
    assert words is not None
    assert [set(words.of_item(item)) for item in range(5)] == [
        {("kind", "Tapes, Glue"), ("kind", "Caulk"), ("brand", "A, B")},
        {("kind", "Caulk, Caulk")},
        set(),
        set(),
        set(),
    ]
    assert data.report.notes[1:] == (
        "1 ids with interactions are not in x.items",
        "1 ids of x.items have no interaction",
    )


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ("", r"x\.inter, line 1: is no JSON"),
        ('{"1": [1],\n"2": [1,]}', r"x\.inter, line 2: is no JSON"),
        ('{"1": [1]', "is no JSON"),
        ("[[1, 2]]", r"needs an object \{...\}; got a list"),
        ("{}", "no user has an item"),
        ('{"1": []}', "no user has an item"),
        ('{"1": 2}', "user '1' must have a list of items; got a number"),
        ('{"1": {"2": 3}}', "user '1' must have a list of items; got an object"),
        ('{"1": [2], "1": [3]}', "the key '1' comes twice"),
        ('{"": [2]}', "a user has the id ''; ids are whole numbers or texts of 1 to 255"),
        ('{"1": [2, ""]}', "an item of user '1' has the id ''"),
        ('{"1": [2, 1.5]}', "an item of user '1' has the id '1.5'"),
        ('{"1": [true]}', "an item of user '1' has the id 'True'"),
        ('{"1": [null]}', "an item of user '1' has the id 'None'"),
        ('{"1": [[2]]}', "an item of user '1' has the id"),
        ('{"1": [NaN]}', "holds NaN, which is no JSON"),
        (f'{{"1": [{"9" * 5000}]}}', "is no JSON that can be read"),
        ("[" * 200_000, "too deep"),
        (b'{"1": ["\xff"]}', "line 1: is not UTF-8"),
    ],
)
def test_broken_sequences_are_explained(load: Load, sequences: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(sequences)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ('{"1": "One"}', r"x\.items: item '1' must have an object of texts; got a text"),
        ('{"1": {"title": 3}}', "item '1': the field 'title' must be text; got a number"),
        ('{"1": {"title": "One"}}', "no item has the field 'kind'; correct it in the card"),
        ('{"1": {"kind": "x"}}', "no item has the field 'title'"),
    ],
)
def test_broken_items_are_explained(load: Load, items: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(card=FIELDS, items=items)


def test_bad_cards_are_explained(load: Load, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="title_field, word_fields and text_vectors are of the item file; add 'items'"
    ):
        load(card="title_field: title\n")
    load()
    with pytest.raises(DataError, match="holds interactions, not lists; the task ranking needs a data set of lists"):
        load_lists(load_card(tmp_path / "x.yaml"))


@pytest.mark.data
def test_amazon_scientific_keeps_the_order_of_every_user(data_dir: Path) -> None:
    data = load_dataset(load_card("amazon-scientific"), data_dir)
    facts = data.payload
    assert (facts.n_users, facts.n_items, len(facts)) == (8317, 4344, 58_492)
    stored = json.loads((data_dir / "amazon-scientific" / "Scientific.inter.json").read_text())
    clock = facts.clock()
    assert clock is not None
    rows = np.lexsort((clock, facts.users))
    found = np.split(data.item_ids[facts.items[rows]], np.cumsum(facts.user_counts())[:-1])
    for user, items in zip(data.user_ids.tolist(), found, strict=True):
        assert items.tolist() == [str(item) for item in stored[user]]
    split = make_split(facts, LeaveLastOut(), "keep")
    test = split.test.open("test of the order", VaultLedger())
    for user, item in zip(data.user_ids[test.users].tolist(), data.item_ids[test.items].tolist(), strict=True):
        assert str(stored[user][-1]) == item
    assert not [note for note in split.report.notes if "tie" in note or "equal" in note]
    assert data.items.words is not None
    assert ("categories", "Tapes, Adhesives & Sealants") in data.items.words.vocabulary


def test_half_a_letter_is_refused_and_a_whole_one_is_read(load: Load) -> None:
    whole = load(card=FIELDS, items=ITEMS.replace("One", "\\ud83d\\ude00"))
    assert whole.items.titles is not None
    assert whole.items.titles.tolist() == ["\U0001f600", "", "", "", "Unseen"]
    with pytest.raises(DataError, match=r"x\.items: holds \\ud83d, half a letter without its other half"):
        load(card=FIELDS, items=ITEMS.replace("One", "x \\ud83d"))
    with pytest.raises(DataError, match=r"x\.inter: holds \\udc00, half a letter"):
        load('{"10": ["\\udc00"]}')
