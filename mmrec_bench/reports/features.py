"""The written evaluation of features: one table, as Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mmrec_bench.experiments.features.evaluate import FeatureEvaluation, FeatureRow
from mmrec_bench.reports.files import write_all
from mmrec_bench.reports.table import ABSENT, Table

SHOWN = ("recall@20", "ndcg@20")
"""Metrics of the table, where the protocol has them; else its metric of selection."""


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """An evaluation of features before it is written.

    Attributes:
        title: Heading.
        command: The command that makes it again.
        evaluation: What was measured.
    """

    title: str
    command: str
    evaluation: FeatureEvaluation

    def table(self) -> Table:
        """Return the table that is shown."""
        config, rows, facts = self.evaluation.config, self.evaluation.rows, self.evaluation.facts
        shown = [name for name in SHOWN if name in config.protocol.metric_ids] or [config.protocol.select_by]
        modalities = dict.fromkeys(modality for row in rows for modality in row.masked)
        masks = [(modality, ratio) for modality in modalities for ratio in config.mask_ratios]
        header = (
            "features", "dim", "items",
            *(f"zero-shot {name}" for name in shown),
            *(f"item-KNN {name}" for name in shown),
            f"behaviour recall@{config.n_neighbors}",
            *(f"{modality} -{ratio:.0%}" for modality, ratio in masks),
        )  # fmt: skip
        body = tuple(
            (
                row.name,
                str(row.dim),
                f"{row.n_present:,}",
                *(_cell(row.zero_shot[name]) for name in shown),
                *(_cell(row.item_knn[name]) for name in shown),
                _cell(row.agreement),
                *(_cell(row.masked.get(modality, {}).get(ratio, {}).get(shown[0])) for modality, ratio in masks),
            )
            for row in rows
        )
        note = (
            f"Protocol `{facts['protocol_id']}`, {self.evaluation.part} part: {facts['n_users']:,} users; "
            f"{facts['n_items_with_neighbours_in_behaviour']:,} of {facts['n_items']:,} items have neighbours in "
            f"behaviour. n = 1: one seed ({config.seed}) for masks and control, one for each made set."
        )
        if masks:
            note += f" Last columns: zero-shot {shown[0]} where this share of the items lacks that modality."
        return Table(f"{facts['dataset']}: features", note, header, body)

    def frame(self) -> pd.DataFrame:
        """Return all numbers, unrounded: one line a set, measure and metric."""
        lines = [
            (row.name, measure, modality, ratio, metric, value)
            for row in self.evaluation.rows
            for measure, modality, ratio, values in _measures(row, self.evaluation.config.n_neighbors)
            for metric, value in values.items()
        ]
        return pd.DataFrame(lines, columns=["features", "measure", "masked", "ratio", "metric", "value"])

    def content(self) -> dict[str, Any]:
        """Return everything, as JSON can hold it."""
        rows = [
            {
                "features": row.name,
                "dim": row.dim,
                "items": row.n_present,
                **row.facts,
                "zero_shot": dict(row.zero_shot),
                "item_knn": dict(row.item_knn),
                "behaviour": {f"recall@{self.evaluation.config.n_neighbors}": row.agreement},
                "masked": {
                    name: {f"{ratio:g}": dict(values) for ratio, values in by.items()}
                    for name, by in row.masked.items()
                },
            }
            for row in self.evaluation.rows
        ]
        return {"schema_version": 1, "kind": "feature evaluation", "command": self.command,
                **self.evaluation.facts, "rows": rows}  # fmt: skip

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write ``report.md``, ``report.csv`` and ``report.json`` and return their paths.

        Raises:
            ResourceError: The folder cannot be written.
        """
        page = f"# {self.title}\n\nMade by `{self.command}`. Unrounded numbers: `report.csv`, `report.json`.\n\n"
        texts = {
            "report.md": page + self.table().markdown(),
            "report.csv": self.frame().to_csv(index=False),
            "report.json": json.dumps(self.content(), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        }
        return write_all(folder, texts)


def _cell(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.4f}"


def _measures(row: FeatureRow, k: int) -> list[tuple[str, str, float, Mapping[str, float]]]:
    return [
        ("zero-shot", "", 0.0, row.zero_shot),
        ("item-knn", "", 0.0, row.item_knn),
        ("behaviour", "", 0.0, {f"recall@{k}": row.agreement}),
        *(("zero-shot", name, ratio, values) for name, by in row.masked.items() for ratio, values in by.items()),
    ]
