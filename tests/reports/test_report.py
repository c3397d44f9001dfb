"""Reports: mean and unbiased standard deviation over seeds, and no table of unlike numbers."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.suite import Failure
from mmrec_bench.reports.collect import Estimate, collect, machines_of
from mmrec_bench.reports.report import make_report


class MadeUp(RunArtefact):
    """An artefact in memory: three users, one of whom has two lists of the same score."""

    def per_user(self, columns: object = None) -> pd.DataFrame:
        recall = self.metrics["test"]["recall@20"]
        scores = [0.8 * recall, recall, recall, 1.2 * recall]
        return pd.DataFrame({"part": "test", "user_id": ["a", "b", "b", "c"], "recall@20": scores})


def artefact(seed: int, recall: float, **changes: Any) -> RunArtefact:
    facts: dict[str, Any] = {
        "task": "retrieval",
        "dataset": "tiny",
        "model": "mf",
        "seed": seed,
        "protocol_id": "retrieval/x-label/exclude-train/aaaa",
        "select_by": "recall@20",
        "fingerprints": {"config": "c" * 16, "data": "d", "split": "s"},
        "n_parameters": {"total": 1000, "item_representation": 640},
        "model_facts": {"distinct_codes": 0.75},
        "training": {"epochs_run": 10},
        "seconds": {"prepare": 0.1, "train": 1.0, "validate": 0.5, "test": 0.2},
        "peak_memory_mib": 500.0,
        "device": {"name": "a CPU"},
        "threads": 2,
        "data_report": {
            "n_duplicates": 3,
            "missing": {"image": 13, "text": 0},
            "edition": "mine",
            "notes": ["a file is not there"],
        },
        "split_report": {
            "counts": {"train": 1000, "valid": 100, "test": 100},
            "cold_users": {"valid": 0, "test": 2},
            "cold_users_dropped": {"valid": 0, "test": 5},
            "cold_items": {"valid": 0, "test": 0},
            "notes": [],
        },
    }
    for name, value in changes.items():
        facts[name] = {**facts.get(name, {}), **value} if isinstance(value, dict) else value
    values = {"recall@20": recall, "ndcg@20": recall / 2, "coverage@20": 0.5}
    slices = {"items:tail": {"n_users": 7, "recall@20": recall / 10}, "items:cold": {"n_users": 0}}
    return MadeUp(Path("none"), facts, {"valid": values, "test": values, "test_slices": slices})


def test_seeds_become_one_row_with_the_unbiased_deviation() -> None:
    values = [0.1, 0.12, 0.17]
    ((key, rows),) = collect([(None, artefact(seed, value)) for seed, value in enumerate(values)]).items()
    (row,) = rows
    assert key.select_by == "recall@20"
    assert row.seeds == (0, 1, 2)
    estimate = row.metric("test", "recall@20")
    assert estimate == Estimate(pytest.approx(statistics.fmean(values)), pytest.approx(statistics.stdev(values)), 3)
    assert estimate.text() == "0.1300 ± 0.0361"
    assert Estimate.of([0.5]).text() == "0.5000"


def test_unlike_numbers_never_share_a_table() -> None:
    runs = [
        artefact(0, 0.1),
        artefact(0, 0.2, protocol_id="retrieval/x-label/exclude-train+valid/bbbb"),
        artefact(0, 0.3, dataset="other"),
        artefact(0, 0.4, fingerprints={"split": "another draw"}),
    ]
    assert len(collect([(None, run) for run in runs])) == 4


def test_two_runs_of_one_seed_are_not_one() -> None:
    """Such as those of two machines: which of them counts is nothing to be decided by the names of folders."""
    one, same, other = (
        dataclasses.replace(artefact(0, value), folder=Path(name))
        for name, value in (("a", 0.1), ("b", 0.1), ("c", 0.2))
    )
    ((_, (row,)),) = collect([(None, one), (None, same)]).items()
    assert row.seeds == (0,)
    with pytest.raises(ArtefactError, match="a and c are runs of one configuration and seed, 0, with other numbers"):
        collect([(None, one), (None, other)])


def test_two_configurations_of_one_model_are_told_apart_and_sorted_by_validation() -> None:
    runs = [artefact(0, 0.1), artefact(0, 0.2, fingerprints={"config": "e" * 16})]
    ((_, rows),) = collect([(None, run) for run in runs]).items()
    assert [row.label for row in rows] == ["mf [eeeeee]", "mf [cccccc]"]
    ((_, rows),) = collect([("a", runs[0]), ("b", runs[1])]).items()
    assert [row.label for row in rows] == ["b", "a"]


def test_the_written_report(tmp_path: Path) -> None:
    runs = [(None, artefact(seed, 0.1 + seed / 100)) for seed in range(2)]
    failures = [Failure("mgcn", 0, "needs image"), Failure("other", None, "no data")]
    report = make_report("A title", "mmrec-bench bench x", runs, description="Why.", failures=failures)
    _, page, numbers = report.write(tmp_path / "deep" / "folder")
    text = page.read_text(encoding="utf-8")
    for part in (
        "# A title", "Why.", "mmrec-bench bench x", "## Retrieval", "retrieval/x-label/exclude-train/aaaa",
        "0.1050 ± 0.0071", "items:tail (7)", "n = 2 seeds", "1,000", "**mgcn**, seed 0: needs image",
        "**other**: no data",
        "Rows for train / valid / test: 1,000 / 100 / 100, edition 'mine'.",
        "Held-out users without a training row: 0 in valid, 2 in test.",
        "Rows of cold users left out: 0 of valid, 5 of test.",
        "Repeated user-item pairs merged when the run was made: 3.",
        "Items without features: image 13.",
        "A file is not there.",
    ):  # fmt: skip
        assert part in text, part
    assert "items:cold" not in text, "an empty slice has no column"
    assert "different versions" not in text
    frame = pd.read_csv(numbers)
    line = frame[(frame.part == "test") & (frame.metric == "recall@20")].iloc[0]
    assert line["mean"] == pytest.approx(0.105, abs=1e-15)
    assert line["sd"] == pytest.approx(statistics.stdev([0.1, 0.11]))
    assert line["seeds"] == "0 1"


def test_a_report_without_runs_still_says_what_failed(tmp_path: Path) -> None:
    _, page, _ = make_report("T", "c", [], failures=[Failure("x", None, "broken")]).write(tmp_path)
    assert "broken" in page.read_text(encoding="utf-8")


def test_runs_of_different_code_are_marked() -> None:
    runs = [(None, artefact(seed, 0.1, fingerprints={"code": f"code{seed}"})) for seed in range(2)]
    text = make_report("T", "c", runs).markdown()
    assert "made by different versions of the code: code0 (1 runs), code1 (1 runs)" in text
    assert "what runs stand on" not in text


def test_inputs_of_other_code_are_told() -> None:
    inputs = [{"kind": "features", "name": "fused", "code": "old"}, {"kind": "base", "model": "mf", "code": "new"}]
    runs = [(None, artefact(seed, 0.1, fingerprints={"code": "new"}, inputs=inputs)) for seed in range(2)]
    text = make_report("T", "c", runs).markdown()
    assert "another version of the code than they were: features fused by old (2 runs)." in text
    assert "different versions of the code" not in text


def test_parameters_of_items_and_facts_of_the_model_are_told() -> None:
    made = make_report("Title", "command", [(None, artefact(seed, 0.1)) for seed in range(2)])
    cost = next(table for group in made.groups["retrieval"] for table in group.tables if table.title.endswith("cost"))
    assert dict(zip(cost.header, cost.rows[0], strict=True))["item parameters"] == "640"
    told = made.frame[made.frame["part"] == "run"].set_index("metric")["mean"]
    assert told["n_parameters_item_representation"] == 640
    assert told["distinct_codes"] == 0.75


def test_costs_tell_how_many_processes_trained_a_model() -> None:
    several = artefact(1, 0.2, data_parallel={"world_size": 2, "backend": "gloo"})
    ((_, rows),) = collect([(None, artefact(0, 0.1)), (None, several)]).items()
    assert machines_of(rows) == ["a CPU, 2 threads", "a CPU, 2 threads, 2 processes"]


def test_intervals_are_over_users_and_over_seeds_where_there_are_several() -> None:
    def table(best: list[float], other: list[float]) -> list[list[str]]:
        runs = [("best", artefact(seed, value)) for seed, value in enumerate(best)]
        runs += [
            ("other", artefact(seed, value, fingerprints={"config": "o" * 16})) for seed, value in enumerate(other)
        ]
        text = make_report("T", "c", runs).markdown()
        section = text[text.index("tiny: intervals") : text.index("tiny: slices")]
        return [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line[:2] == "| "]

    # users score .85, 1 (two lists) and 1.15 times recall: mean 1, deviation .15, times t(2) = 4.3027 over root 3
    _, _, best, other = table([0.4], [0.2])
    assert best == ["best", "1", "0.4000", "[0.2510, 0.5490]", "-", "-", "-"]
    assert other == ["other", "1", "0.2000", "[0.1255, 0.2745]", "-0.2000", "[-0.2745, -0.1255]", "needs more seeds"]
    _, _, best, other = table([0.5, 0.3], [0.3, 0.1])
    assert best[2:4] == ["0.4000", "[0.2510, 0.5490]"], "of these seeds"
    low, high = (float(end) for end in other[5].strip("[]").split(","))
    assert other[4] == "-0.2000"
    assert low < -0.2745
    assert high > -0.1255


def test_the_ceiling_of_two_stages_stands_beside_what_is_made_of_it() -> None:
    plain = make_report("T", "c", [("mine", artefact(0, 0.1))]).markdown()
    assert "ceiling" not in plain
    text = make_report("T", "c", [("mine", artefact(0, 0.1, lists={"test": {"ceiling": 0.25}}))]).markdown()
    assert "| valid recall@20 | ceiling |" in text
    assert "| mine | 1 | 0.1000 | 0.0500 | 0.1000 | 0.2500 |" in text
