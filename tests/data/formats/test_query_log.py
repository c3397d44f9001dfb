"""Logged queries: what is read, and what is said of a line that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmrec_bench.data.formats.query_log import read_queries
from mmrec_bench.errors import DataError

KNOWN = frozenset({("brand", "3M"), ("brand", "Scotch"), ("kind", "tape"), ("kind", "glue")})


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "queries.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_queries_are_read_in_order(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '{"words": [["brand", "3M"], ["kind", "tape"]], "user": "u1", "time": 5}\n\n  \n'
        '{"words": [["kind", "glue"]]}\r\n',
    )
    assert read_queries(path, KNOWN) == [(("brand", "3M"), ("kind", "tape")), (("kind", "glue"),)]


GOOD = '{"words": [["kind", "glue"]]}\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"words": [["kind", "tapes"]]}', "no item has the word 'tapes' in the field 'kind'; did you mean 'tape'?"),
        ('{"words": [["kind", "zzzzzzzz"]]}', r"no item has the word 'zzzzzzzz' in the field 'kind'$"),
        ('{"words": [["brnd", "3M"]]}', "unknown field 'brnd'; did you mean 'brand'?"),
        ('{"word": [["kind", "tape"]]}', r'needs an object {"words": \[\[field, value\], ...\]}; got'),
        ("[1, 2]", "needs an object"),
        ("3", "needs an object"),
        ("[" * 100_000, "needs an object"),
        ('{"words": [["kind", "tape"]]', "needs an object"),
        ('{"words": []}', r"words must be pairs \[field, value\] of texts, one at least"),
        ('{"words": "tape"}', "words must be pairs"),
        ('{"words": [["kind"]]}', "words must be pairs"),
        ('{"words": [["kind", 3]]}', "words must be pairs"),
        ('{"words": {"kind": "tape"}}', "words must be pairs"),
    ],
)
def test_a_line_that_cannot_be_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, GOOD + "\n" + line + "\n" + GOOD)
    with pytest.raises(DataError, match=message.replace("?", r"\?")) as error:
        read_queries(path, KNOWN)
    assert str(error.value).startswith(f"{path}, line 3: ")


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_log_without_queries_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="holds no query"):
        read_queries(write(tmp_path, text), KNOWN)


def test_marks_and_breaks_that_other_programs_write_are_no_lines(tmp_path: Path) -> None:
    for text in ("\ufeff" + GOOD, GOOD + "\r\n\r\n" + GOOD + "\r\n", GOOD.strip()[:-1] + ', "note": "a\u2028b\x85c"}'):
        assert set(read_queries(write(tmp_path, text), KNOWN)) == set(read_queries(write(tmp_path, GOOD), KNOWN))


def test_a_missing_file_and_strange_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.jsonl"):
        read_queries(tmp_path / "nothing.jsonl", KNOWN)
    with pytest.raises(DataError, match=r"no UTF-8 text: .* at byte 0"):
        read_queries(write(tmp_path, b"\xff\xfe"), KNOWN)
