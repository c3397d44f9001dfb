"""Calls made here; those of a cluster are in tests/experiments/executors/test_ray.py."""

from __future__ import annotations

from mmrec_bench.data.tasks import Here, of_each


def test_what_is_held_here_is_the_value() -> None:
    here = Here()
    assert here.get([here.put("a"), here.call(str.upper, "b")]) == ["a", "B"]
    assert here.get(here.parts(divmod, 2, 7, here.put(4))) == [1, 3]
    assert here.get(of_each(here, str.replace, ["aa", "ba"], "a", "c")) == ["cc", "bc"]
