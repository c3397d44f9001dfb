"""What stands together in a report: the tables of one data set and protocol, with names that never change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from mmrec_bench.reports.errors.browser import ErrorBrowser
from mmrec_bench.reports.plots.base import Plot
from mmrec_bench.reports.table import Table


@dataclass(frozen=True, slots=True)
class Group:
    """The tables of one data set and protocol.

    Attributes:
        title: Heading.
        anchor: Name in addresses and files; no two groups of a report share one.
        tables: Accuracy first.
        facts: What a reader must know of data, split and code.
        findings: What the tables show, one sentence each.
        apart: Why these numbers stand in tables of their own; None where no others could be mixed up with them.
        plots: Pictures of it.
        errors: The users whom its first two rows serve most differently; None where nobody asked for them.
    """

    title: str
    anchor: str
    tables: Sequence[Table]
    facts: Sequence[str]
    findings: Sequence[str] = ()
    apart: str | None = None
    plots: Sequence[Plot] = ()
    errors: ErrorBrowser | None = None

    def name_of(self, table: Table) -> str:
        """Return the name of a table in addresses and files."""
        return f"{self.anchor}-{slug(table.title.rpartition(': ')[2])}"


def anchor(task: str, name: str, *content: Hashable) -> str:
    """Return a name of a group that hangs on what it is, and not on its place.

    Args:
        task: Task of its runs.
        name: What a reader knows it by, such as the data set.
        content: All that tells it from other groups.
    """
    digest = hashlib.blake2b(repr(content).encode(), digest_size=4).hexdigest()
    return f"{slug(task)}-{slug(name)}-{digest}"


def slug(text: str) -> str:
    """Return a text as a name of lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "unnamed"
