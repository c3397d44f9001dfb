"""Lines that are almost JSON."""

from __future__ import annotations

import json

import pytest

from mmrec_bench.data.raw.loose import MAX_LITERAL, strict_json


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("{'asin': 'B1', 'title': \"It's\", 'price': 5.0}", {"asin": "B1", "title": "It's", "price": 5.0}),
        ("{'rank': {'Baby': 3}, 'related': None, 'new': True}\n", {"rank": {"Baby": 3}, "related": None, "new": True}),
        ("{'title': 'a\\d \\u00e9 \\x41'}", {"title": "a\\d é A"}),
        ("{'categories': [['a', 'b'], ('c',)], 1: u'x'}", {"categories": [["a", "b"], ["c"]], "1": "x"}),
        ('{"price": NaN, "rank": Infinity}', {"price": None, "rank": None}),
        ("{'price': 1e999}", {"price": None}),
        ('{"title": "\\ud800 broken"}', {"title": "? broken"}),
        ("{'title': '\\ud83d'}", {"title": "?"}),
    ],
)  # fmt: skip
def test_literals_and_sloppy_json_are_read(line: str, value: object) -> None:
    text = strict_json(line)
    assert text is not None
    assert json.loads(text, parse_constant=pytest.fail) == value


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "{'a': __import__('os').getpid()}",
        "{'a': [x for x in (1,)]}",
        "{'a': open}",
        "{'a': {1, 2}}",
        "{'a': b'bytes'}",
        "{'a': 1",
        "{" * 10_000,
        "[" * 100_000,
        "{'a': " + "-" * 100_000 + "1}",
        "{'a': " + "1+" * 100_000 + "1j}",
        "{'a': '" + "x" * MAX_LITERAL + "'}",
        "{'a': " + "9" * 5000 + "}",
    ],
)
def test_what_is_no_literal_is_nothing_and_nothing_is_evaluated(line: str) -> None:
    assert strict_json(line) is None
