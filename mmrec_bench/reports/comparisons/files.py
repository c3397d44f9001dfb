"""Writing comparisons: a page, a table of numbers, and both with ranks as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmrec_bench.reports.comparisons.family import Family
from mmrec_bench.reports.comparisons.numbers import frame_of_comparisons
from mmrec_bench.reports.comparisons.pairs import ComparedTable
from mmrec_bench.reports.comparisons.tables import facts_of_comparisons, tables_of_comparisons
from mmrec_bench.reports.files import write_all
from mmrec_bench.reports.plots.base import Plot, stem_of, subtitle_of
from mmrec_bench.reports.plots.ranks import ranks_plot


def write_comparisons(
    folder: Path, tables: Sequence[ComparedTable], family: Family, command: str
) -> tuple[Path, ...]:  # fmt: skip
    """Write ``comparisons.md``, ``.csv`` and ``.json``, a critical-difference diagram a table, and return their paths.

    Raises:
        ResourceError: The folder cannot be written.
    """
    frame = frame_of_comparisons(tables)
    parts = [f"# {family.title}\n", f"Made by `{command}`. All numbers, unrounded: `comparisons.csv`.\n"]
    diagrams = [plot for made in tables if (plot := diagram_of(made)) is not None]
    for made in tables:
        parts += [table.markdown() for table in tables_of_comparisons(made, family)]
        parts.append("".join(f"- {fact}\n" for fact in facts_of_comparisons(made, family)))
    parts += [f"![{plot.title}]({plot.name}.svg)\n\n{plot.note}\n" for plot in diagrams]
    told = {
        "title": family.title,
        "adjustment": family.adjustment,
        "margin": family.margin,
        "comparisons": json.loads(frame.to_json(orient="records", double_precision=15)),
        "ranks": [_ranks_as_json(made) for made in tables if made.ranks],
    }
    contents: dict[str, str | bytes] = {
        "comparisons.md": "\n".join(parts),
        "comparisons.csv": frame.to_csv(index=False),
        "comparisons.json": json.dumps(told, indent=2, ensure_ascii=False) + "\n",
    }
    for plot in diagrams:
        contents |= {f"{plot.name}.svg": plot.svg, f"{plot.name}.png": plot.png()}
    return write_all(folder, contents)


def diagram_of(made: ComparedTable) -> Plot | None:
    """Return the critical-difference diagram of a table; None where nothing is ranked."""
    if made.ranks is None:
        return None
    what = f"test {made.metric} of {made.lines[0].found.n_users:,} users"
    labels = [row.label for row in made.rows]
    return ranks_plot(f"cd-{stem_of(made.key)}", made.key.heading, labels, made.ranks, what, subtitle_of(made.key))


def _ranks_as_json(made: ComparedTable) -> dict[str, Any]:
    assert made.ranks is not None
    labels = [row.label for row in made.rows]
    return {
        "dataset": made.key.dataset, "protocol_id": made.key.protocol_id, "data": made.key.data, "metric": made.metric,
        "blocks": "users", "n_blocks": made.lines[0].found.n_users, "friedman_p": made.ranks.p_value,
        "critical_difference": made.ranks.critical, "ranks": dict(zip(labels, made.ranks.ranks, strict=True)),
        "bars": [[labels[place] for place in bar] for bar in made.ranks.cliques],
    }  # fmt: skip
