"""The report as one page: no file beside it, no request, no script from elsewhere."""

from __future__ import annotations

import base64
import re
from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from mmrec_bench.reports.errors.browser import ErrorBrowser
from mmrec_bench.reports.findings import RULE
from mmrec_bench.reports.plots.base import Plot
from mmrec_bench.reports.table import Cell, Table

if TYPE_CHECKING:
    from mmrec_bench.reports.report import Report


def shipped(name: str, package: str = "mmrec_bench.reports") -> str:
    """Return a file beside the templates of a package."""
    return resources.files(package).joinpath("templates", name).read_text(encoding="utf-8")


STYLE, SCRIPT = shipped("page.css"), shipped("page.js")
"""Look of all pages, and sorting of their tables."""

MARKED = {"best": Markup('<strong class="best">{}</strong>'), "second": Markup('<u class="second">{}</u>'), None: "{}"}


def page_of(report: Report, titles: dict[str, str]) -> str:
    """Return a report as HTML; all text of runs is escaped.

    Args:
        report: The report.
        titles: Headings of tasks.
    """
    return (
        templates("mmrec_bench.reports")
        .get_template("page.html.jinja")
        .render(report=report, titles=titles, rule=RULE, style=Markup(STYLE), script=Markup(SCRIPT))
    )


def templates(package: str) -> Environment:
    """Return the templates of a package, and below them those of reports, with their filters; all text is escaped."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("mmrec_bench.reports")]), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.filters |= {
        "prose": prose, "columns": columns, "attributes": attributes, "marked": marked, "data_uri": data_uri,
        "warns": warns, "fragment": fragment,
    }  # fmt: skip
    return made


def prose(text: str) -> Markup:
    """Return a sentence with what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def columns(table: Table) -> list[tuple[str, bool]]:
    """Return the name of each column, and whether it holds numbers."""
    return list(zip(table.header, table.numeric(), strict=True))


def attributes(cell: Cell) -> Markup:
    """Return what a cell is sorted by, and its unrounded numbers."""
    if not cell.numbers:
        return Markup("")
    told = ", ".join(f"{name} {value!r}".strip() for name, value in cell.numbers)
    mark = f"{cell.mark}: " if cell.mark else ""
    return Markup(' data-value="{}" title="{}"').format(repr(cell.numbers[0][1]), f"{mark}{told}")


def marked(cell: Cell) -> Markup:
    """Return the text of a cell with its mark."""
    return Markup(MARKED[cell.mark]).format(str(cell))


def data_uri(plot: Plot) -> str:
    """Return a plot as an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(plot.svg.encode()).decode()


def fragment(errors: ErrorBrowser) -> Markup:
    """Return the users whom two runs serve most differently; it escapes its own text."""
    return Markup(errors.html())


def warns(fact: str) -> bool:
    """Whether a fact is a warning: of the report itself, or of the leak audit."""
    return fact.startswith(("Careful", "Leak audit"))
