"""Sequences of items by user, and texts of items, as JSON: ``{user: [item, ...]}`` and ``{item: {field: text}}``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self, TypeAlias

import numpy as np
import pyarrow as pa
from pydantic import model_validator

from mmrec_bench.data.dataset import DataReport, Dataset
from mmrec_bench.data.formats.base import BY_MODALITY, FORMATS, DatasetCard, FileName
from mmrec_bench.data.formats.external import MAX_ID, MAX_TITLE, numbered
from mmrec_bench.data.formats.pairs import RawPairs
from mmrec_bench.data.formats.tables import check_text, read_file, shown
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.data.text_vectors import TextVectors
from mmrec_bench.errors import DataError
from mmrec_bench.settings import explained_error

Splitting: TypeAlias = Literal["whole", "commas"]
"""Whether a text is one word, or each piece between commas that no space follows is (``Tapes, Glue,Caulk`` is two)."""


class SequencesCard(DatasetCard):
    """A card of JSON files with the items of each user, oldest first.

    The place in the sequence is the order of a user's interactions; it is no clock, so nothing is known of who came
    first across users. Users and items are numbered in the natural order of their ids.
    """

    format: Literal["sequences"] = "sequences"
    sequences: FileName
    """File with an object: the ids of each user's items, texts or whole numbers, oldest first."""
    items: FileName | None = None
    """File with an object: the texts of each item by field."""
    title_field: str | None = None
    """Field of the titles."""
    word_fields: Mapping[str, Splitting] = {}
    """Fields of categorical words; ``whole`` text, or pieces between ``commas`` without a space behind them."""
    text_vectors: Annotated[Mapping[str, TextVectors], BY_MODALITY] = {}
    """Feature tables made of titles and words, by modality, such as ``{text: {dim: 64}}``."""

    @model_validator(mode="after")
    def _fields_of_items(self) -> Self:
        if self.items is None and (self.word_fields or self.title_field is not None or self.text_vectors):
            raise explained_error("title_field, word_fields and text_vectors are of the item file; add 'items'")
        return self

    @property
    def modalities(self) -> tuple[str, ...]:
        """What is made of texts."""
        return tuple(self.text_vectors)

    @property
    def fields(self) -> Mapping[str, str]:
        """Titles and words; see `DatasetCard.fields`."""
        texts = (*self.word_fields, *(() if self.title_field is None else (self.title_field,)))
        return {field: field for field in texts}

    @property
    def main_file(self) -> str:
        """The sequences."""
        return self.sequences

    def read(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Interactions]:
        """Read the files; see `DatasetCard.read`."""
        chosen = self.chosen(modalities)
        path = folder / self.sequences
        sequences = read_object(path)
        owners: list[str] = []
        items: list[str] = []
        places: list[int] = []
        for user, sequence in sequences.items():
            if not isinstance(sequence, list):
                raise DataError(f"{path}: user {shown(user)} must have a list of items; got {_kind(sequence)}")
            owners += [_id(path, user, "a user")] * len(sequence)
            items += [_id(path, item, f"an item of user {shown(user)}") for item in sequence]
            places += range(len(sequence))
        if not items:
            raise DataError(f"{path}: no user has an item")
        described = None if self.items is None else read_object(folder / self.items)
        notes: list[str] = []
        users, user_ids = numbered(_texts(owners), _texts(sequences), self.sequences, notes)
        listed = (
            None if described is None else _texts(_id(folder / str(self.items), item, "an item") for item in described)
        )
        rows, item_ids = numbered(_texts(items), listed, self.items, notes)
        raw = RawPairs(users, rows, len(user_ids), len(item_ids), order=np.array(places, np.int64))
        interactions, n_duplicates, _ = raw.merged()
        table = ItemTable()
        if described is not None:
            table = self._table(folder / str(self.items), described, item_ids.tolist())
        features = {modality: self.text_vectors[modality].table(modality, table) for modality in chosen}
        missing = {modality: vectors.n_missing for modality, vectors in features.items()}
        report = DataReport(n_duplicates, missing=missing, notes=tuple(notes))
        return Dataset(self.name, interactions, features, table, user_ids, item_ids, report)

    def texts(self, folder: Path, dataset: Dataset[Any], fields: Sequence[str] | None) -> dict[str, list[str]]:
        """Return any text fields of the item file, the declared ones by default; see `DatasetCard.texts`."""
        if self.items is None:
            return super().texts(folder, dataset, fields)
        path = folder / self.items
        described = read_object(path)
        known = {field for texts in described.values() if isinstance(texts, dict) for field in texts}
        for field in fields or ():
            if field not in known:
                raise self.no_text(field, sorted(known))
        ids = dataset.item_ids.tolist()
        return {field: _field(path, described, field, ids) for field in fields or self.fields}

    def _table(self, path: Path, described: Mapping[str, Any], items: Sequence[str]) -> ItemTable:
        """Return titles and words of items, whose order they are in."""
        titles = None
        if self.title_field is not None:
            titles = np.array([text[:MAX_TITLE] for text in _field(path, described, self.title_field, items)], np.str_)
        words: list[list[tuple[str, str]]] = [[] for _ in items]
        for field, splitting in self.word_fields.items():
            for row, text in enumerate(_field(path, described, field, items)):
                pieces = [text] if splitting == "whole" else re.split(r",(?!\s)", text)
                words[row] += [(field, piece.strip()) for piece in pieces if piece.strip()]
        return ItemTable(titles, words=Words.of(words) if self.word_fields else None)


FORMATS.register("sequences", SequencesCard)

_HALF_LETTER = re.compile(rb"\\u[dD][89a-fA-F]")
"""Escapes of letters beyond 16 bits, which come in pairs."""


def _texts(values: Iterable[str]) -> Any:
    return pa.array(list(values), pa.string())


def read_object(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file, in which no key is repeated.

    Raises:
        DataError: It cannot be read, or holds something else.
    """
    data = read_file(path)
    check_text(path, data)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            raise DataError(f"{path}: the key {shown(next(key for key in keys if keys.count(key) > 1))} comes twice")
        return found

    def refuse(constant: str) -> NoReturn:
        raise DataError(f"{path}: holds {constant}, which is no JSON")

    try:
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: is no JSON ({error.msg})") from None
    except ValueError as error:  # such as a number of thousands of digits
        raise DataError(f"{path}: is no JSON that can be read ({error})") from None
    except RecursionError:
        raise DataError(f"{path}: objects within objects are too deep") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: needs an object {{...}}; got {_kind(found)}")
    if _HALF_LETTER.search(data):
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            text = error.object[max(0, error.start - 20) : error.start]
            raise DataError(
                f"{path}: holds \\u{ord(error.object[error.start]):04x}, half a letter without its other half, "
                f"behind {shown(text)}. Write U+FFFD (\\ufffd) in its place"
            ) from None
    return found


def _field(path: Path, described: Mapping[str, Any], field: str, items: Sequence[str]) -> list[str]:
    """Return the text of a field of each item, empty where there is none."""
    found: list[str] = []
    for item in items:
        texts = described.get(item, {})
        if not isinstance(texts, dict):
            raise DataError(f"{path}: item {shown(item)} must have an object of texts; got {_kind(texts)}")
        text = texts.get(field)
        if not isinstance(text, str | None):
            raise DataError(f"{path}: item {shown(item)}: the field {shown(field)} must be text; got {_kind(text)}")
        found.append(text or "")
    if not any(found):
        raise DataError(f"{path}: no item has the field {shown(field)}; correct it in the card")
    return found


def _id(path: Path, value: Any, of: str) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool) and 0 < len(text := str(value)) <= MAX_ID:
        return text
    raise DataError(
        f"{path}: {of} has the id {shown(str(value))}; ids are whole numbers or texts of 1 to {MAX_ID} characters"
    )


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
