"""Pictures: the same bytes for the same runs, words for those who do not see them, and ids that do not meet."""

from __future__ import annotations

import dataclasses
import re
from xml.etree import ElementTree

from mmrec_bench.reports.plots import plots_of
from mmrec_bench.reports.plots.base import COLOURS, DASHES, file_stem, stem_of

from .made_up import KEY, row, rows

SVG = "{http://www.w3.org/2000/svg}"


def test_the_same_rows_give_the_same_bytes() -> None:
    first, second = plots_of(KEY, rows()), plots_of(KEY, rows())
    assert [plot.svg for plot in first] == [plot.svg for plot in second]
    assert first[0].png(1.0) == second[0].png(1.0)
    assert len({plot.name for plot in first}) == len(first)


def test_a_picture_has_its_words_and_well_formed_text_whatever_names_are() -> None:
    for plot in plots_of(KEY, [*rows(), row("<script>alert('&')</script>\x1b[31m\uffff", 0.3)]):
        tree = ElementTree.fromstring(plot.svg)
        assert tree.attrib["role"] == "img"
        assert tree.findtext(f"{SVG}title") == plot.title
        assert tree.findtext(f"{SVG}desc") == plot.note
        assert "<script" not in plot.svg


def test_a_long_title_has_lines_that_the_picture_has_room_for() -> None:
    (plot, *_) = plots_of(dataclasses.replace(KEY, dataset="a data set with quite a long name " * 4), rows())
    tree = ElementTree.fromstring(plot.svg)
    (title,) = (node for node in tree.iter(f"{SVG}g") if "role-title-text" in node.attrib.get("class", ""))
    lines = [line.text or "" for line in title.iter(f"{SVG}tspan")]
    assert " ".join(lines) == plot.title
    assert max(len(line) for line in lines) * 14 * 0.68 < float(tree.attrib["width"]), "bold letters are wide"


def test_ids_of_two_pictures_never_meet_and_all_that_are_named_are_there() -> None:
    seen: set[str] = set()
    for plot in plots_of(KEY, rows()):
        own = set(re.findall(r'\bid="([^"]+)"', plot.svg))
        assert not own & seen
        assert set(re.findall(r"url\(#([^)]+)\)", plot.svg)) <= own
        seen |= own


def test_nothing_is_loaded_from_elsewhere() -> None:
    for plot in plots_of(KEY, rows()):
        text = re.sub(r'xmlns(:xlink)?="[^"]+"', "", plot.svg)
        assert "http" not in text
        assert "href" not in text


def test_a_png_is_a_png_of_the_asked_size() -> None:
    (plot, *_) = plots_of(KEY, rows())
    width = float(ElementTree.fromstring(plot.svg).attrib["width"])
    for scale in (1.0, 2.0):
        content = plot.png(scale)
        assert content.startswith(b"\x89PNG")
        assert int.from_bytes(content[16:20], "big") == round(scale * width)


def test_every_style_has_a_x_of_its_own() -> None:
    assert len(set(COLOURS)) == len(set(DASHES)) == len(COLOURS) == len(DASHES)


def test_names_are_file_names_and_differ_by_table() -> None:
    assert file_stem("Amazon Baby, 20 sampled/items") == "amazon-baby-20-sampled-items"
    assert stem_of(KEY).startswith("tiny-retrieval-")
    assert plots_of(KEY, rows())[0].name.startswith(stem_of(KEY))
