"""What studies spent and found, as tables."""

from __future__ import annotations

from collections.abc import Sequence

from mmrec_bench.experiments.tuning.studies import StudyArtefact
from mmrec_bench.reports.plots.tuning import budgets_told, study_groups, study_labels
from mmrec_bench.reports.table import Table, number


def tuning_tables(studies: Sequence[StudyArtefact]) -> list[Table]:
    """Return a table a data set and protocol, best validation score first."""
    tables = []
    for group, members in study_groups(studies).items():
        rows = tuple(_cells(label, study) for label, study in zip(study_labels(members), members, strict=True))
        note = (
            f"Validation {group.select_by} of the best trial of each study. {budgets_told(members)} Protocol "
            f"`{group.protocol_id}`. Area: mean of the best score so far, over the trials from the first complete one "
            "on, and over the seconds from its end to the end of the study."
        )
        header = (
            "model", f"best {group.select_by}", "trials", "complete", "pruned", "failed", "seconds", "area by trials",
            "area by seconds",
        )  # fmt: skip
        tables.append(Table(f"{group.dataset}: tuning", note, header, rows))
    return tables


def _cells(label: str, study: StudyArtefact) -> tuple[str, ...]:
    spent, curve = study.manifest["spent"], study.manifest["curve"]
    return (
        label,
        number(study.manifest["best"]["score"], ".4f"),
        *(number(spent[name], ",d") for name in ("trials", "complete", "pruned", "failed")),
        number(spent["seconds"], ".1f"),
        *(number(curve[name], ".4f") for name in ("area_by_trials", "area_by_seconds")),
    )
