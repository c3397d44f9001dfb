"""LETOR files: judged documents of queries, in svmlight form.

Sources: Qin and Liu, "Introducing LETOR 4.0 Datasets" (https://arxiv.org/abs/1306.2597), and, for files of group sizes,
the ranking example of LightGBM (https://github.com/microsoft/LightGBM/tree/master/examples/lambdarank).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import BeforeValidator, Field, model_validator

from mmrec_bench.data.dataset import DataReport, Dataset
from mmrec_bench.data.formats.base import FORMATS, DatasetCard, FileName, PayloadKind
from mmrec_bench.data.formats.external import MAX_ID, natural_order, rows_of
from mmrec_bench.data.formats.svmlight import SvmLines, check_query, read_svmlight
from mmrec_bench.data.formats.tables import read_file, shown
from mmrec_bench.data.items import ItemTable
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.split_rule import PARTS
from mmrec_bench.errors import DataError
from mmrec_bench.settings import BaseConfig, explained_error
from mmrec_bench.types import FloatArray, IntArray

_DOCID = re.compile(r"\bdocid\s*=\s*(\S+)")

FileNames = Annotated[
    tuple[FileName, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]
"""One name, or a list of names."""


class PartFiles(BaseConfig):
    """Files of each delivered part, read one after the other; a part may have none."""

    train: FileNames = ()
    """To learn from."""
    valid: FileNames = ()
    """To select by."""
    test: FileNames = ()
    """To judge by."""

    def of_parts(self) -> Iterator[tuple[int, str]]:
        """Yield part and name of each file."""
        for part, name in enumerate(PARTS):
            for file in getattr(self, name):
                yield part, file


class LetorCard(DatasetCard):
    """A card of LETOR files, ``label qid:ID feature:value ... # comment``, dense or sparse, gzip or not.

    A list is a query: its documents in the order of the file, which was not shown to anybody, so lists have neither
    positions nor clicks. Lists of one document, or of one label only, are kept: what they count for is a matter of the
    metric. Queries are numbered in the natural order of their ids, documents in the order of the files. A feature that
    a line does not name is 0. Values are kept as delivered: rankers scale them by what they see in train.
    """

    format: Literal["letor"] = "letor"
    files: PartFiles
    """Files of each part, such as ``{train: [train.txt], test: [test.txt]}``; a query stands in one file alone."""
    groups: PartFiles = PartFiles()
    """Files of group sizes, one size a line, for files without ``qid``: as many as `files`, in the same order. Queries
    are then called ``train/1``, ``train/2``, and so on."""
    first_feature: Literal[0, 1] = 1
    """Number of the first feature."""
    n_features: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Number of features; by default that of the largest of any file, and at most 10,000."""
    docids: bool = True
    """Whether ``docid = X`` in a comment names a document, which other queries may then list, too. Other documents are
    called by query and place, such as ``10002/1``."""

    @model_validator(mode="after")
    def _files_match(self) -> Self:
        if not list(self.files.of_parts()):
            raise explained_error("files: names no file; give one of train, valid and test at least")
        sizes = [tuple(len(getattr(files, part)) for part in PARTS) for files in (self.files, self.groups)]
        if any(sizes[1]) and sizes[0] != sizes[1]:
            raise explained_error(
                "groups: needs as many files of each part as 'files', "
                f"{' / '.join(map(str, sizes[0]))}; got {' / '.join(map(str, sizes[1]))}"
            )
        return self

    @property
    def modalities(self) -> tuple[str, ...]:
        """None: what is known of documents stands in the rows."""
        return ()

    @property
    def payloads(self) -> tuple[PayloadKind, ...]:
        """Lists alone."""
        return ("lists",)

    @property
    def main_file(self) -> str:
        """The first file."""
        return next(name for _, name in self.files.of_parts())

    def read_lists(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Lists]:
        """Read the files; see `DatasetCard.read_lists`."""
        self.chosen(modalities)
        groups = [folder / name for _, name in self.groups.of_parts()]
        queries = _Queries()
        read = []
        for place, (part, name) in enumerate(self.files.of_parts()):
            lines = read_svmlight(folder / name, self.first_feature, self.n_features)
            starts = queries.by_size(lines, groups[place], PARTS[part]) if groups else queries.by_qid(lines)
            read.append(_File(lines, part, starts, _documents(lines, queries.ids[-len(starts) :], starts, self.docids)))

        list_of = np.repeat(np.arange(len(queries.ids)), np.concatenate([file.lengths for file in read]))
        documents = pa.array([document for file in read for document in file.documents]).dictionary_encode()
        texts = pa.array(queries.ids)
        user_ids = natural_order(texts)
        labels = np.concatenate([file.lines.labels for file in read])
        payload = Lists(
            list_of=list_of,
            items=documents.indices.to_numpy().astype(np.int64),
            n_items=len(documents.dictionary),
            users=rows_of(texts, user_ids),
            n_users=len(user_ids),
            features=_features([file.lines.features for file in read]),
            labels=labels,
            parts=np.repeat([file.part for file in read], [len(file.starts) for file in read]).astype(np.int8),
        )
        item_ids = np.array(documents.dictionary.to_pylist(), np.str_)
        report = DataReport(notes=_notes(payload, labels))
        return Dataset(self.name, payload, {}, ItemTable(), user_ids, item_ids, report)


FORMATS.register("letor", LetorCard)


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    """One file: its rows, its part, the first row of each list, and the documents of the rows."""

    lines: SvmLines
    part: int
    starts: IntArray
    documents: list[str]

    @property
    def lengths(self) -> IntArray:
        return np.diff(self.starts, append=len(self.documents))


class _Queries:
    """The queries of all files in their order, none of which may come again."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._places: dict[str, tuple[Path, int]] = {}
        self._groups = dict.fromkeys(PARTS, 0)

    def by_qid(self, lines: SvmLines) -> IntArray:
        """Add the queries of a file, and return the first row of each."""
        starts: list[int] = []
        query: str | None = None
        for row in range(len(lines.queries)):
            if row == 0 or lines.queries[row] != query:
                query = check_query(lines, row)
                if query in self._places:
                    raise lines.error(row, self._again(query, lines.path))
                self._places[query] = (lines.path, int(lines.lines[row]))
                self.ids.append(query)
                starts.append(row)
        return np.array(starts, np.int64)

    def by_size(self, lines: SvmLines, path: Path, part: str) -> IntArray:
        """Add the queries that a file of group sizes tells apart, and return the first row of each."""
        if (row := next((row for row, query in enumerate(lines.queries) if query is not None), None)) is not None:
            raise lines.error(row, f"has qid:{lines.queries[row]}, and {path.name} group sizes; remove one of the two")
        sizes = _sizes(path)
        if sizes.sum() != len(lines.labels):
            raise DataError(
                f"{path}: the group sizes add up to {sizes.sum()}, but {lines.path.name} has {len(lines.labels)} rows. "
                "One of the two is cut short, or they do not belong together"
            )
        first = self._groups[part] + 1
        self._groups[part] += len(sizes)
        self.ids += [f"{part}/{number}" for number in range(first, first + len(sizes))]
        return (np.cumsum(sizes) - sizes).astype(np.int64)

    def _again(self, query: str, path: Path) -> str:
        before, line = self._places[query]
        if before == path:
            return f"query {shown(query)} comes again, after others; its rows, from line {line} on, must be adjacent"
        return f"query {shown(query)} is also in {before.name}, line {line}; a query stands in one file alone"


def _sizes(path: Path) -> IntArray:
    sizes = []
    for number, text in enumerate(read_file(path).split(b"\n"), 1):
        if text := text.strip():
            if not re.fullmatch(rb"[0-9]{1,9}", text) or int(text) == 0:
                value = shown(text.decode(errors="replace"))
                raise DataError(f"{path}, line {number}: a group size is a whole number from 1; got {value}")
            sizes.append(int(text))
    return np.array(sizes, np.int64)


def _documents(lines: SvmLines, queries: Sequence[str], starts: IntArray, docids: bool) -> list[str]:
    """Return the document of each row; none stands in a list twice."""
    documents: list[str] = []
    ends = [*starts[1:].tolist(), len(lines.labels)]
    for query, start, end in zip(queries, starts.tolist(), ends, strict=True):
        seen: dict[str, int] = {}
        for row in range(start, end):
            found = _DOCID.search(lines.comments[row]) if docids and lines.comments[row] else None
            document = found[1] if found else f"{query}/{row - start + 1}"
            if len(document) > MAX_ID and found:
                raise lines.error(row, f"the docid {shown(document)} must have at most {MAX_ID} characters")
            if document in seen:
                raise lines.error(
                    row,
                    f"docid {shown(document)} is in query {shown(query)} already, in line {lines.lines[seen[document]]}"
                    "; write docids: false in the card to call documents by query and place",
                )
            seen[document] = row
        documents += seen
    return documents


def _features(matrices: Sequence[FloatArray]) -> FloatArray | None:
    """Return the features of all files, as wide as the widest; None where there is none."""
    width = max(matrix.shape[1] for matrix in matrices)
    padded = [np.pad(matrix, ((0, 0), (0, width - matrix.shape[1]))) for matrix in matrices]
    return np.concatenate(padded) if width else None


def _notes(lists: Lists, labels: IntArray) -> tuple[str, ...]:
    starts = lists.offsets()[:-1]
    alike = int((np.minimum.reduceat(labels, starts) == np.maximum.reduceat(labels, starts)).sum())
    return (f"{alike} of {lists.n_lists} lists hold one label only, so every order of them is best",) if alike else ()
