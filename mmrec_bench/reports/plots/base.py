"""What all plots share: one way to draw, one look that is readable in grey and by the colour-blind."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from html import escape
from textwrap import wrap
from typing import Any, TypeAlias

import altair as alt
import vl_convert

from mmrec_bench.reports.collect import TableKey
from mmrec_bench.visible_text import visible_lines

FONT, SIZE = "sans-serif", 12
"""Generic, so that every reader has it, and its size in pixels."""

INK, PALE, GRID = "#222222", "#767676", "#e6e6e6"
"""Text and axes, what stands back, and the lines behind."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#7A5195")
"""Okabe and Ito's colours (https://jfly.uni-koeln.de/color/) without yellow, which is lost on white, and a violet."""

DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (1, 3), (10, 4), (4, 2, 1, 2), (3, 6))
"""Of lines, in the order of `COLOURS`, since grey prints tell colours poorly."""

TITLE = 66
"""Letters of a line of a title, of which bold ones are as wide as a picture; longer ones have more lines."""

AnyChart: TypeAlias = "alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.VConcatChart"


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture, and what it says in words.

    Attributes:
        name: File stem, the same whenever it is made, such as ``amazon-baby-pareto-seconds``.
        title: Heading; it stands in the picture, too.
        note: One line: what is drawn, of how many runs and seeds, and how to read it.
        svg: The picture; the same bytes for the same input. Its ids begin with `name`, so that pages may hold several.
    """

    name: str
    title: str
    note: str
    svg: str

    def png(self, scale: float = 2.0) -> bytes:
        """Return the picture as PNG, of ``scale`` pixels for each of the SVG."""
        return bytes(vl_convert.svg_to_png(self.svg, scale=scale))


def draw(name: str, title: str, note: str, chart: AnyChart, subtitle: str = "") -> Plot:
    """Return a chart as a plot, without network or browser.

    Args:
        name: File stem.
        title: Heading.
        note: What is drawn, in words.
        chart: The chart, without a title.
        subtitle: Small text under the title, such as the protocol.
    """
    look = {
        "aria": False,  # one text for the whole picture, not one a mark
        "font": FONT,
        "lineBreak": "\n",
        "background": "white",
        "view": {"stroke": None},
        "axis": {
            "domainColor": INK, "tickColor": INK, "labelColor": INK, "titleColor": INK, "gridColor": GRID,
            "labelFontSize": SIZE - 1, "titleFontSize": SIZE, "titleFontWeight": "normal", "labelLimit": 260,
            "titlePadding": 10,  # labels are wider in the fonts of some readers than where they were measured
        },
        "legend": {"labelFontSize": SIZE - 1, "titleFontSize": SIZE, "labelLimit": 260, "labelColor": INK},
        "header": {"labelFontSize": SIZE, "titleFontSize": SIZE, "labelColor": INK, "labelLimit": 260},
        "title": {
            "fontSize": SIZE + 2, "anchor": "start", "frame": "bounds", "color": INK, "fontWeight": "bold",
            "subtitleFontSize": SIZE - 2, "subtitleColor": PALE, "subtitlePadding": 4,
        },
        "text": {"fontSize": SIZE - 1, "color": INK},
    }  # fmt: skip
    spec = {
        **chart.to_dict(),
        "title": {"text": wrap(title, TITLE), "subtitle": subtitle, "offset": 12},
        "config": look,
        "padding": 12,
    }
    title, note = visible_lines(title), visible_lines(note)
    return Plot(name, title, note, _described(name, title, note, vl_convert.vegalite_to_svg(_drawable(spec))))


def _drawable(part: Any) -> Any:
    """Return a part of a specification in which no text holds what cannot be drawn; the renderer stops at it."""
    if isinstance(part, str):
        return visible_lines(part)
    if isinstance(part, Mapping):
        return {_drawable(key): _drawable(value) for key, value in part.items()}
    return [_drawable(item) for item in part] if isinstance(part, (list, tuple)) else part


def file_stem(text: str) -> str:
    """Return a text as part of a file name: lower case, hyphens for all but letters, digits, dots and hyphens."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")


def stem_of(key: TableKey) -> str:
    """Return what the names of all plots of a table begin with; those of two tables differ."""
    digest = hashlib.blake2b(repr(astuple(key)).encode(), digest_size=3).hexdigest()
    return file_stem(f"{key.dataset}-{key.task}-{digest}")


def subtitle_of(key: TableKey) -> str:
    """Return the small text under the title of a plot: what its numbers mean."""
    return f"protocol {key.protocol_id}, data {key.data}"


def records(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Return rows as the data of a chart, in their order."""
    return alt.InlineData(values=[dict(row) for row in rows])


def _described(name: str, title: str, note: str, svg: str) -> str:
    """Return the picture with its words for those who do not see it, and ids of its own."""
    prefix = file_stem(name)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = re.sub(r'\s(aria-[a-z]+|role)="[^"]*"', "", svg)
    ids = f"{prefix}-title", f"{prefix}-note"
    head, _, rest = svg.partition(">")
    words = f'<title id="{ids[0]}">{escape(title)}</title><desc id="{ids[1]}">{escape(note)}</desc>'
    return f'{head} role="img" aria-labelledby="{ids[0]} {ids[1]}">{words}{rest}\n'
