"""Tuning curves and tables: what is drawn is what studies hold, and unequal budgets are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmrec_bench.experiments.tuning.studies import StudyArtefact
from mmrec_bench.reports.plots import tuning_plots
from mmrec_bench.reports.plots.tuning import budgets_told, by_seconds, by_trial, study_groups, study_labels
from mmrec_bench.reports.tuning_tables import tuning_tables


def study(model: str, scores: list[float | None], trials: int = 4, protocol: str = "p/1") -> StudyArtefact:
    best: list[float | None] = []
    for score in scores:
        known = [one for one in (*best[-1:], score) if one is not None]
        best.append(max(known) if known else None)
    lines: list[dict[str, Any]] = [
        {"trial": number, "seconds": 2.0, "score": score, "best_so_far": so_far}
        for number, (score, so_far) in enumerate(zip(scores, best, strict=True))
    ]
    manifest = {
        "task": "retrieval", "dataset": "tiny", "protocol_id": protocol, "select_by": "recall@20", "model": model,
        "fingerprints": {"data": "d", "split": "s", "study": f"{model}{trials}-0123456"},
        "budget": {"trials": trials, "seconds": None}, "search": {"seed": 0},
        "spent": {"trials": len(scores), "seconds": 2.0 * len(scores), "complete": 2, "pruned": 1, "failed": 0},
        "best": {"score": best[-1]}, "curve": {"area_by_trials": 0.25, "area_by_seconds": 0.125},
    }  # fmt: skip
    return StudyArtefact(Path(f"{model}-{trials}"), manifest, tuple(lines))


MF, VBPR = study("mf", [None, 0.1, 0.05, 0.3]), study("vbpr", [0.2, None, 0.4])


def test_curves_begin_at_the_first_complete_trial_and_count_from_its_end() -> None:
    assert by_trial(MF) == ((2, 0.1), (3, 0.1), (4, 0.3))
    assert by_seconds(MF) == ((4.0, 0.1), (6.0, 0.1), (8.0, 0.3))


def test_a_picture_by_trials_and_one_by_seconds_of_each_protocol() -> None:
    plots = tuning_plots([MF, VBPR, study("mf", [0.1], protocol="p/2")])
    assert [plot.name.rpartition("-")[2] for plot in plots] == ["trials", "seconds"] * 2
    assert len({plot.name for plot in plots}) == 4
    assert all("Equal budgets: 4 trials each." in plot.note for plot in plots)
    assert all(f">{label}<" in plots[0].svg for label in ("mf", "vbpr"))


def test_unequal_budgets_are_said() -> None:
    assert budgets_told([MF, study("vbpr", [0.2], trials=1)]).startswith("Careful: budgets differ")


def test_two_studies_of_a_model_have_names_of_their_own() -> None:
    ((_, members),) = study_groups([MF, study("mf", [0.2], trials=1), VBPR]).items()
    assert study_labels(members) == ["vbpr", "mf [mf4-01]", "mf [mf1-01]"]


def test_a_table_has_the_best_and_the_areas() -> None:
    (table,) = tuning_tables([MF, VBPR])
    cells = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [(row["model"], row["best recall@20"]) for row in cells] == [("vbpr", "0.4000"), ("mf", "0.3000")]
    assert (cells[1]["trials"], cells[1]["area by trials"], cells[1]["area by seconds"]) == ("4", "0.2500", "0.1250")


def test_no_study_draws_nothing() -> None:
    assert tuning_plots([]) == []
    assert tuning_tables([]) == []


def test_a_study_of_one_trial_is_drawn() -> None:
    assert len(tuning_plots([study("ease", [0.5])])) == 2
    assert by_seconds(study("ease", [0.5])) == ((pytest.approx(2.0), 0.5),)
