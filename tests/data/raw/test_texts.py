"""Texts of items as shops give them."""

from __future__ import annotations

from mmrec_bench.data.raw.texts import is_junk, pieces, plain_text


def test_markup_entities_and_code_are_taken_out() -> None:
    assert plain_text("Tom &amp;amp; Jerry&#39;s  <b>best</b>\n<br/>of") == "Tom & Jerry's best of"
    assert plain_text("a < b and c > d, 3 <4") == "a < b and c > d, 3 <4", "no markup"
    assert plain_text("x <script>var a = '<b>';</script> y <style>p{}") == "x y"
    assert plain_text('<span class="a-size-medium a-color-secondary"') == ""
    assert plain_text("tab\there\x00\x1b[31m and\u200bthere") == "tab here [31m and there"


def test_code_of_a_page_is_no_title() -> None:
    junk = (
        "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();",
        '<span class="a-size-medium a-color-secondary"',
        ' Magazines" />',
        "Amazon.com: (function(a){ return a })",
    )
    assert all(is_junk(title) for title in junk)
    good = ("Function Of Beauty", "Variety", "A <b>bold</b> shirt", "", "5 < 6", "AC/DC")
    assert not any(is_junk(title) for title in good)


def test_fields_of_any_kind_become_texts() -> None:
    assert pieces([["Baby", "Toys"], ["Baby", "Cars &amp; Co"]]) == ["Baby", "Toys", "Cars & Co"]
    assert pieces("  Acme <i>Inc</i> ") == ["Acme Inc"]
    assert pieces(12.5) == ["12.5"]
    assert pieces({"Publisher: ": "Acme", "Sizes": [1, "", None]}) == ["Publisher: Acme", "Sizes: 1"]
    assert pieces(None) == pieces([]) == pieces("") == pieces(["", " "]) == []
    assert pieces(True) is None
    assert pieces(["a", [False]]) is None
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    assert pieces(deep) is None, "too deep"
