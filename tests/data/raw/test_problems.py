"""Counts of what is wrong with raw files."""

from __future__ import annotations

from typing import get_args

from mmrec_bench.data.raw.problems import MEANING, ProblemKind, Problems


def test_kinds_are_counted_by_file_with_the_first_line() -> None:
    problems = Problems()
    problems.add("b", "user", 9)
    problems.add("a", "user", 7, 3)
    problems.add("b", "user", 4, 2)
    problems.add("b", "item", 5, 0)
    problems.add("a", "cut-short", 0)
    found = [(one.file, one.kind, one.count, one.first) for one in problems]
    assert found == [("a", "cut-short", 1, 0), ("a", "user", 3, 7), ("b", "user", 3, 4)]
    told = [str(one) for one in problems]
    assert told[1].startswith("a: 3 rows without a usable user id")
    assert told[1].endswith("first in line 7")
    assert "line 0" not in told[0]
    assert told[0].startswith("a: the file ends in the middle"), "a file ends once"


def test_every_kind_is_said_in_words() -> None:
    assert set(MEANING) == set(get_args(ProblemKind))
