"""Charts as SVG text, without a library: what is drawn is little."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, LEFT, RIGHT, STEP, TOP = 860, 300, 90, 22, 46


def bars(title: str, rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Return a chart of one horizontal bar a row, with its interval.

    Args:
        title: Heading.
        rows: Name, value, low and high end of the interval.
    """
    ends = [0.0, *(number for _, *numbers in rows for number in numbers)]
    low, high = min(ends), max(ends)
    scale = (WIDTH - LEFT - RIGHT) / ((high - low) or 1.0)

    def x(value: float) -> float:
        return LEFT + (value - low) * scale

    height = TOP + STEP * len(rows) + 14
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        'font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="22" font-size="14">{escape(title)}</text>',
    ]
    for place, (name, value, begin, end) in enumerate(rows):
        y = TOP + STEP * place
        left, width = min(x(0.0), x(value)), abs(x(value) - x(0.0))
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{left:.1f}" y="{y + 2}" width="{width:.1f}" height="12" fill="#7a9cc6"/>',
            f'<line x1="{x(begin):.1f}" x2="{x(end):.1f}" y1="{y + 8}" y2="{y + 8}" stroke="#222"/>',
            f'<text x="{WIDTH - RIGHT + 8}" y="{y + 12}">{value:+.4f}</text>',
        ]
    axis = x(0.0)
    parts.append(f'<line x1="{axis:.1f}" x2="{axis:.1f}" y1="{TOP - 6}" y2="{height - 10}" stroke="#999"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"
