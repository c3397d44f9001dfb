"""How a prepared data set came to be."""

from __future__ import annotations

from pathlib import Path

from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.data.formats.prepared import PreparedCard, read_card
from mmrec_bench.data.raw.problems import MEANING
from mmrec_bench.reports.inspection.base import Section
from mmrec_bench.reports.table import Table, number


def built(card: DatasetCard, folder: Path | None) -> Section | None:
    """Return raw files, steps and dirt; None for what is read as it is.

    Raises:
        DataError: The card in the folder cannot be read.
    """
    if not isinstance(card, PreparedCard) or folder is None or (made := read_card(folder).built) is None:
        return None
    steps = Table(
        "Steps",
        "What is left after each step.",
        ("step", "rows", "users", "items"),
        tuple((one.step, *(number(count, ",d") for count in (one.rows, one.users, one.items))) for one in made.steps),
    )
    files = Table(
        "Raw files",
        "As they were read.",
        ("file", "bytes", "sha256"),
        tuple((name, number(facts.n_bytes, ",d"), facts.sha256) for name, facts in made.raw.items()),
    )
    tables = [steps, files]
    if made.problems:
        rows = tuple(
            (one.file, MEANING[one.kind], number(one.count, ",d"), number(one.first or None, ",d"))
            for one in made.problems
        )
        note = "By kind; line: the first one that it was met in."
        tables.append(Table("What was wrong with them", note, ("file", "what", "times", "line"), rows))
    facts = [
        f"Users and items together are named by the digest `{made.pairs_digest}`.",
        f"Made with {', '.join(f'{name} {version}' for name, version in made.packages.items())}.",
    ]
    facts += [f"{count:,} items came without {name}." for name, count in made.missing.items() if count]
    return Section("built", "How it was built", tuple(facts), tuple(tables), data=made.model_dump(mode="json"))
