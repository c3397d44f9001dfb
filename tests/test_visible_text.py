"""What is not to be seen is escaped."""

from __future__ import annotations

import pytest

from mmrec_bench.visible_text import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\n::error::b\r", r"a\n::error::b\r"),
        ("a\u202eb\u200bc\u2066", r"a\u202eb\u200bc\u2066"),
        ("\x9b2J\ud800\u2028\u3164", r"\x9b2J\ud800\u2028\u3164"),
        ("M\u00fcller \u2013 \u63a8\u85a6 \u2713", "M\u00fcller \u2013 \u63a8\u85a6 \u2713"),
    ],
)
def test_what_is_not_to_be_seen_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown
