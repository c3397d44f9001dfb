"""The modality truth test in print: one table, one sentence a modality, and the unrounded numbers."""

from __future__ import annotations

import pandas as pd

from mmrec_bench.reports.knockout.verdicts import Knockout
from mmrec_bench.reports.table import ABSENT, Table, interval, number
from mmrec_bench.reports.tables import FRAME_COLUMNS, code_facts, estimate_cell
from mmrec_bench.statistics.contrast import LEVEL


def knockout_table(knockout: Knockout, margin: float) -> Table:
    """Return all variants with their scores, and by how much the real features are better."""
    key = knockout.key
    rows: list[tuple[str, ...]] = []
    for label, row in knockout.rows.items():
        score = row.metric("test", key.select_by)
        cells = (label, number(len(row.seeds), "d"), estimate_cell(score))
        found, real = knockout.contrasts.get(label), knockout.real
        if found is None:
            rows.append((*cells, ABSENT, ABSENT, ABSENT))
            continue
        share = number(found.difference / real if real else None, "+.1%")
        rows.append((*cells, number(found.difference, "+.4f"), interval(found.low, found.high, "+.4f"), share))
    rows += [
        (label, ABSENT, "not possible", *[ABSENT] * 3) for label in knockout.refusals if label not in knockout.rows
    ]
    null = "" if knockout.null is None else f" Halves of real runs differ by up to {knockout.null:.4f}."
    note = (
        f"Protocol `{key.protocol_id}`, data `{key.data}`. Test {key.select_by}, mean ± unbiased standard deviation "
        f"over seeds; real minus variant, its {LEVEL:.0%} interval over users and seeds together, and its share of the "
        f"real score. Margin of a `no`: {margin:.0%} of that score.{null}"
    )
    header = ("features", "n", key.select_by, "real minus variant", f"{LEVEL:.0%} interval", "share")
    return Table(f"{key.heading}: does {knockout.label} use its features?", note, header, tuple(rows))


def knockout_facts(knockout: Knockout, margin: float) -> list[str]:
    """Return the verdict on each modality, and what was not possible, one sentence each."""
    facts = []
    for modality in knockout.tested:
        answer, reason = knockout.verdict(modality, margin)
        facts.append(f"{knockout.label} uses {modality}: {answer} ({reason}).")
    facts += [f"Not possible: {label}, for {why}." for label, why in knockout.refusals.items()]
    return facts + code_facts(list(knockout.rows.values()))


def knockout_frame(knockout: Knockout, margin: float) -> pd.DataFrame:
    """Return one line a variant, unrounded: `FRAME_COLUMNS`, real minus variant with its interval, the verdict."""
    key, lines = knockout.key, []
    verdicts = {f"{name} shuffled": knockout.verdict(name, margin)[0] for name in knockout.tested}
    for label, row in knockout.rows.items():
        score, found = row.metric("test", key.select_by), knockout.contrasts.get(label)
        names = (key.task, key.dataset, key.protocol_id, key.data, row.runs[0].manifest["model"])
        line = (*names, f"{knockout.label}, {label}", row.fingerprint, " ".join(map(str, row.seeds)), "knockout")
        numbers = (None, None, None) if score is None else (score.mean, score.sd, score.n)
        differences = (None, None, None) if found is None else (found.difference, found.low, found.high)
        lines.append((*line, key.select_by, *numbers, *differences, verdicts.get(label)))
    return pd.DataFrame(lines, columns=[*FRAME_COLUMNS, "difference", "low", "high", "verdict"])
