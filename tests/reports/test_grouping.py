"""Groups of a report: plots and studies beside tables."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from mmrec_bench.reports.group import Group
from mmrec_bench.reports.plots.base import Plot
from mmrec_bench.reports.report import Report, make_report
from mmrec_bench.reports.table import Table, number

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect id="same" width="9" height="9"/></svg>'


@pytest.fixture
def report() -> Report:
    table = Table("shop: tuning", "A note.", ("model", "score"), (("a", number(0.5, ".4f")),))
    plots = [Plot(name, f"Title & {name}", "What is drawn.", SVG) for name in ("shop-one", "shop-two")]
    empty = make_report("T", "c", [])
    groups = {"tuning": [Group("shop", "tuning-shop-1", [table], (), plots=plots)]}
    return Report("T", "c", "", "No run.", groups, empty.frame, ())


def test_plots_are_held_by_the_page_and_lie_beside_it(report: Report, tmp_path: Path) -> None:
    html, markdown, _ = report.write(tmp_path)
    page = html.read_text(encoding="utf-8")
    held = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', page)
    assert [base64.b64decode(data).decode() for data, _ in held] == [SVG, SVG]
    assert [words for _, words in held] == [f"Title &amp; shop-{name}. What is drawn." for name in ("one", "two")]
    assert 'id="same"' not in page, "names inside pictures must not meet"
    for name in ("one", "two"):
        assert (tmp_path / "plots" / f"shop-{name}.svg").read_text(encoding="utf-8") == SVG
        assert (tmp_path / "plots" / f"shop-{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"(plots/shop-{name}.svg)" in markdown.read_text(encoding="utf-8")


def test_what_studies_spent_has_a_section(report: Report, tmp_path: Path) -> None:
    html, *_ = report.write(tmp_path)
    page = html.read_text(encoding="utf-8")
    assert '<section id="tuning">' in page
    assert 'data-value="0.5"' in page
    assert (tmp_path / "tables" / "tuning-shop-1-tuning.csv").read_text(encoding="utf-8") == "model,score\na,0.5\n"
