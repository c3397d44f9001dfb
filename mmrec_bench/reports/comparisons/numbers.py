"""Comparisons as plain numbers, unrounded: one record a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mmrec_bench.reports.comparisons.pairs import Compared, ComparedTable

GAIN = 0.01
"""Relative gain for which the seeds are counted that find it."""


def frame_of_comparisons(tables: Sequence[ComparedTable]) -> pd.DataFrame:
    """Return one line a comparison with everything known of it, unrounded; differences are first minus second.

    Columns of p values for these very seeds, over users alone, begin with ``these_seeds``.
    """
    lines = []
    for made in tables:
        key, labels = made.key, {row.label: row for row in made.rows}
        base = {"task": key.task, "dataset": key.dataset, "protocol_id": key.protocol_id, "data": key.data}
        for line in made.lines:
            both = labels[line.first], labels[line.second]
            pair = {"metric": made.metric, "lower_is_better": made.sign < 0, "first": line.first, "second": line.second}
            rows = {
                f"{name}_{side}": value
                for side, row in zip(("first", "second"), both, strict=True)
                for name, value in (("fingerprint", row.fingerprint), ("n", len(row.runs)))
            }
            lines.append(base | pair | rows | numbers_of(line, made.sign))
    return pd.DataFrame(lines)


def numbers_of(line: Compared, sign: int) -> dict[str, Any]:
    """Return the numbers of a comparison; scores keep the sign of their metric, effects and claims say better."""
    found, drawn = line.found, line.found.bootstrap
    low, high = _signed(found.interval.low, found.interval.high, sign)
    drawn_low, drawn_high = (None, None) if drawn is None else _signed(drawn.low, drawn.high, sign)
    return {
        "n_users": found.n_users,
        "mean_first": sign * found.means[0], "mean_second": sign * found.means[1],
        "difference": sign * found.interval.difference, "low": low, "high": high,
        "p": found.p_value, "p_adjusted": line.p_adjusted, "verdict": line.verdict,
        "d_z": found.effect.d_z, "users_better": found.effect.better, "users_worse": found.effect.worse,
        "superiority": found.effect.superiority,
        "not_worse_p_adjusted": line.not_worse, "equivalent_p_adjusted": line.equivalent,
        "bootstrap_low": drawn_low, "bootstrap_high": drawn_high,
        "bootstrap_p": None if drawn is None else drawn.p_value,
        "these_seeds_randomisation_p": found.users_randomisation, "these_seeds_t_p": found.users_t,
        "these_seeds_wilcoxon_p": found.users_wilcoxon,
        "detectable": found.detectable, "seeds_for_1_percent": found.seeds_needed(GAIN),
    }  # fmt: skip


def _signed(low: float | None, high: float | None, sign: int) -> tuple[float | None, float | None]:
    if low is None or high is None:
        return None, None
    return (low, high) if sign > 0 else (-high, -low)
