"""Tables in LaTeX, with the rules of booktabs."""

from __future__ import annotations

import re

from mmrec_bench.reports.table import Cell, Table

ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}",
}  # fmt: skip
"""Brackets are hidden in braces, for behind the end of a row they would be an option of it."""
MARKS = {"best": r"\textbf{{{}}}", "second": r"\underline{{{}}}", None: "{}"}


def latex(table: Table, label: str) -> str:
    r"""Return a table to be read by ``\input``; it needs ``\usepackage{booktabs}`` and an engine that reads UTF-8.

    Args:
        table: The table.
        label: Name for ``\ref``, of letters, digits and hyphens.
    """
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(table.title)}. {escaped(table.note.replace('`', ''))}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{''.join('r' if numeric else 'l' for numeric in table.numeric())}}}",
        r"\toprule",
        " & ".join(map(escaped, table.header)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_cell, row)) + r" \\" for row in table.cells()),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return text that LaTeX prints as it stands."""
    return "".join(ESCAPES.get(letter, letter) for letter in text)


def _cell(cell: Cell) -> str:
    text = escaped(cell)
    if cell.numbers:
        text = re.sub(r"-(?=\d)", "$-$", text)  # a minus, not a hyphen
    return MARKS[cell.mark].format(text)
