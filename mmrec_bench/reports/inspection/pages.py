"""An inspection as a page, and as Markdown."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from markupsafe import Markup

from mmrec_bench.reports.files import write_all
from mmrec_bench.reports.inspection.inspect import Inspection
from mmrec_bench.reports.inspection.samples import Sample
from mmrec_bench.reports.markdown import plain
from mmrec_bench.reports.page import SCRIPT, STYLE, shipped, templates
from mmrec_bench.reports.table import Cell, Table

OWN_STYLE = shipped("inspection.css")


def page(found: Inspection) -> str:
    """Return a page that holds all it needs; all text of data is escaped."""
    return (
        templates("mmrec_bench.reports")
        .get_template("inspection.html.jinja")
        .render(found=found, style=Markup(STYLE + OWN_STYLE), script=Markup(SCRIPT), trusted=Markup)
    )


def markdown(found: Inspection) -> str:
    """Return Markdown; what titles hold of its marks, or of HTML's, is shown as text. Plots lie beside it."""
    lines = [f"# {plain(found.title)}\n", f"Made by `{found.command}`. Data `{found.fingerprint}`.\n"]
    if warnings := found.warnings():
        lines += ["## What stands out\n", *(f"- {plain(fact)}" for _, fact in warnings), ""]
    for section in found.sections:
        lines.append(f"## {section.title}\n")
        if section.facts:
            lines += [*(f"- {plain(fact)}" for fact in section.facts), ""]
        lines += [_escaped(table).markdown() for table in section.tables]
        lines += [f"![{plain(plot.title)}](plots/{plot.name}.svg)\n\n{plot.note}\n" for plot in section.plots]
    lines += ["## Some items\n", *(_item(one) for one in found.sample)]
    return "\n".join(lines) + "\n"


def write(found: Inspection, folder: Path) -> tuple[Path, ...]:
    """Write page, Markdown, JSON and plots, and return their paths.

    Raises:
        ResourceError: The folder cannot be written.
    """
    plots = {f"plots/{plot.name}.svg": plot.svg for section in found.sections for plot in section.plots}
    told = json.dumps(found.json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return write_all(
        folder,
        {"inspection.html": page(found), "inspection.md": markdown(found), "inspection.json": told, **plots},
    )


def _escaped(table: Table) -> Table:
    """Return a table whose texts hold no marks of Markdown or HTML; bars between cells are escaped by the table."""
    rows = tuple(
        tuple(cell if Cell.of(cell).numbers else plain(cell).replace("\\|", "|") for cell in row) for row in table.rows
    )
    return dataclasses.replace(table, rows=rows)


def _item(one: Sample) -> str:
    name = f"**{plain(one.title)}** ({plain(one.item_id)})" if one.title else plain(one.item_id)
    facts = [f"{one.n_rows:,} rows", *map(plain, one.words), *(f"no {plain(name)}" for name in one.missing)]
    return f"- {name}: {'; '.join(facts)}" + (f"; <{one.link}>" if one.link else "")
