"""Comparisons from run folders: which rows meet, how they are adjusted, what is claimed, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmrec_bench.errors import ArtefactError, ConfigError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.comparisons.family import Family, load_family
from mmrec_bench.reports.comparisons.files import write_comparisons
from mmrec_bench.reports.comparisons.numbers import frame_of_comparisons
from mmrec_bench.reports.comparisons.pairs import ComparedTable, compare_runs
from mmrec_bench.reports.comparisons.tables import facts_of_comparisons, tables_of_comparisons
from mmrec_bench.statistics.comparison import Comparison
from mmrec_bench.statistics.contrast import contrast, p_value
from mmrec_bench.statistics.families import adjusted

LEVELS = {"mf": 0.30, "vbpr": 0.301, "freedom": 0.36, "mgcn": 0.20}


@dataclass(frozen=True, slots=True)
class MadeUp(RunArtefact):
    """An artefact in memory."""

    scores: Any = None

    def per_user(self, columns: object = None) -> pd.DataFrame:
        users = [f"user-{u}" for u in range(len(self.scores))]
        columns = {"recall@20": self.scores, "log-loss": 1 - self.scores, "calibration": self.scores}
        parts = [pd.DataFrame({"part": part, "user_id": users, **columns}) for part in ("valid", "test")]
        return pd.concat(parts, ignore_index=True)


def artefact(seed: int, model: str, n_users: int = 200, level: float | None = None, **facts: Any) -> MadeUp:
    level = LEVELS[model] if level is None else level
    users = 0.05 * np.random.default_rng(0).standard_normal(n_users)
    scores = level + users + 0.02 * np.random.default_rng([seed, *model.encode()]).standard_normal(n_users)
    manifest = {
        "task": "retrieval", "dataset": "tiny", "model": model, "seed": seed, "protocol_id": "p",
        "select_by": "recall@20", "fingerprints": {"config": f"config-{model}", "data": "d", "split": "s", "code": "c"},
        "altered": None, "closed_form": False, **facts,
    }  # fmt: skip
    metrics = {"recall@20": float(scores.mean()), "log-loss": 1.0, "coverage@20": 0.5}
    return MadeUp(Path("none"), manifest, {"valid": metrics, "test": metrics, "test_slices": {}}, scores)


def runs(n_seeds: int = 5, **facts: Any) -> list[RunArtefact]:
    return [artefact(seed, model, **facts) for model in LEVELS for seed in range(n_seeds)]


def test_rows_of_other_protocols_are_refused_with_the_settings_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    def config(run: MadeUp) -> dict[str, Any]:
        return {
            "protocol": {"cutoffs": [20], "exclude": ["train"]} if run.manifest["model"] == "mf" else {"cutoffs": [10]}
        }

    monkeypatch.setattr(MadeUp, "config", config, raising=False)
    made = [*(artefact(seed, "mf") for seed in range(2)), *(artefact(0, "vbpr", protocol_id="other") for _ in range(1))]
    with pytest.raises(ArtefactError, match=r"differ in: protocol_id p / other; protocol.cutoffs \[20\] / \[10\]"):
        compare_runs(made, against("mf"))


def stacked(made: list[RunArtefact], model: str) -> np.ndarray:
    return np.stack([run.scores for run in made if run.manifest["model"] == model])  # type: ignore[attr-defined]


def against(label: str, **changes: Any) -> Family:
    return Family("title", "holm", baseline=label, **changes)


def verdicts(tables: list[ComparedTable]) -> dict[str, str]:
    return {f"{line.first} {line.second}": line.verdict for made in tables for line in made.lines}


def test_rows_stand_against_the_baseline_with_the_numbers_of_their_users() -> None:
    made = runs()
    (table,) = compare_runs(made[::-1], against("mf", margin=0.05))
    assert verdicts([table]) == {"freedom mf": "better", "vbpr mf": "equivalent", "mgcn mf": "worse"}
    p = [p_value(stacked(made, line.first), stacked(made, "mf")) for line in table.lines]
    assert [line.p_adjusted for line in table.lines] == pytest.approx(adjusted(p, "holm"))
    found = table.lines[0].found
    expected = contrast(stacked(made, "freedom"), stacked(made, "mf"))
    assert found.interval.difference == pytest.approx(expected.difference)
    assert found.interval.low == pytest.approx(expected.low)
    assert found.n_seeds == (5, 5)
    assert table.ranks is not None
    ranks = dict(zip((row.label for row in table.rows), table.ranks.ranks, strict=True))
    assert sorted(ranks, key=ranks.__getitem__)[0] == "freedom"


@dataclass(frozen=True, slots=True)
class OfLists(RunArtefact):
    """An artefact in memory, of users with several lists."""

    users: Any = None
    scores: Any = None

    def per_user(self, columns: object = None) -> pd.DataFrame:
        return pd.DataFrame({"part": "test", "user_id": self.users, "recall@20": self.scores})


def test_effects_and_ranks_are_of_users_whatever_their_number_of_lists() -> None:
    """A hundred users with one list are served worse, ten with fifty better: the mean over lists is better."""
    users = [f"user-{u:03d}" for u in range(100)] + [f"user-{u:03d}" for u in range(100, 110) for _ in range(50)]
    many = np.array([user >= "user-100" for user in users])
    made: list[RunArtefact] = []
    for model, few, much in (("mf", 0.5, 0.5), ("vbpr", 0.4, 0.9), ("mgcn", 0.3, 0.2)):
        for seed in range(5):
            base = artefact(seed, model)
            made.append(OfLists(base.folder, base.manifest, base.metrics, users, np.where(many, much, few)))
    (table,) = compare_runs(made, against("mf"))
    found = {line.first: line.found for line in table.lines}
    assert found["vbpr"].interval.difference == pytest.approx((100 * -0.1 + 500 * 0.4) / 600)
    effect = found["vbpr"].effect
    assert (effect.better, effect.worse) == pytest.approx((10 / 110, 100 / 110))
    assert effect.superiority == pytest.approx(10 / 110)
    assert table.ranks is not None
    ranks = dict(zip((row.label for row in table.rows), table.ranks.ranks, strict=True))
    assert ranks == pytest.approx({"mf": 120 / 110, "vbpr": 210 / 110, "mgcn": 3.0})


def test_below_five_seeds_nothing_is_claimed() -> None:
    made = [run for run in runs() if run.manifest["model"] != "mf" or run.manifest["seed"] < 4]
    tables = compare_runs(made, against("mf"))
    assert set(verdicts(tables).values()) == {"needs more seeds"}
    assert any("fewer than 5 seeds" in fact for fact in facts_of_comparisons(tables[0], against("mf")))
    single = compare_runs(runs(1), against("mf"))
    assert set(verdicts(single).values()) == {"needs more seeds"}
    assert single[0].lines[0].found.p_value is None
    assert tables_of_comparisons(single[0], against("mf"))[0].rows[0][4] == "-"


def test_one_run_of_a_closed_form_stands_for_all() -> None:
    made = [run for run in runs() if run.manifest["model"] != "mf"]
    fixed = artefact(0, "mf", closed_form=True)
    family = against("mf")
    tables = compare_runs([*made, fixed], family)
    assert verdicts(tables)["freedom mf"] == "better"
    assert tables_of_comparisons(tables[0], family)[0].rows[0][1] == "5 / fixed"
    assert frame_of_comparisons(tables)["n_second"].tolist() == [1, 1, 1]
    trained = compare_runs([*made, artefact(0, "mf")], family)
    assert verdicts(trained)["freedom mf"] == "needs more seeds"


def test_against_a_closed_form_the_power_is_that_of_all_seeds_of_the_other() -> None:
    def line(n_seeds: int) -> Comparison:
        made = [artefact(seed, "vbpr") for seed in range(n_seeds)]
        return compare_runs([*made, artefact(0, "mf", closed_form=True)], against("mf"))[0].lines[0].found

    assert line(10).n_seeds == (10, 10)
    found = line(10).components
    assert found is not None
    assert line(10).detectable == pytest.approx(found.detectable(10))
    assert found.detectable(10) < found.detectable(5)
    assert line(3).n_seeds == (3, 5), "and the other is not taken for more than it has"


def test_without_a_family_all_pairs_are_explored() -> None:
    family = Family("all", "benjamini-hochberg")
    (table,) = compare_runs(runs(), family)
    assert len(table.lines) == 6
    expected = adjusted([line.found.p_value for line in table.lines], "benjamini-hochberg")
    assert [line.p_adjusted for line in table.lines] == expected
    assert "hints, and no claims" in " ".join(facts_of_comparisons(table, family))


def test_a_family_is_adjusted_over_all_its_tables() -> None:
    made = runs() + runs(dataset="other")
    family = Family("t", "holm", labels=(("freedom", "mf"), ("vbpr", "mf")))
    tables = compare_runs(made, family)
    assert [table.key.dataset for table in tables] == ["tiny", "other"]
    lines = [line for table in tables for line in table.lines]
    assert [line.p_adjusted for line in lines] == adjusted([line.found.p_value for line in lines], "holm")


def test_numbers_do_not_hang_on_what_else_is_compared() -> None:
    alone = compare_runs(runs(), Family("t", "holm", labels=(("vbpr", "mf"),)))[0].lines[0]
    among = next(line for line in compare_runs(runs(), against("mf"))[0].lines if line.first == "vbpr")
    assert alone.found == among.found


def test_less_is_better_for_losses() -> None:
    (up,), (down,) = compare_runs(runs(), against("mf")), compare_runs(runs(), against("mf", metric="log-loss"))
    assert down.sign == -1
    assert verdicts([down]) == verdicts([up])
    frame = frame_of_comparisons([down]).set_index("first")
    assert frame.loc["freedom", "difference"] == pytest.approx(-0.06, abs=0.005)
    assert frame.loc["freedom", "low"] < frame.loc["freedom", "difference"] < frame.loc["freedom", "high"] < 0
    assert frame.loc["freedom", "mean_second"] == pytest.approx(0.7, abs=0.02)
    assert frame.loc["freedom", "users_better"] > 0.9


def test_parts_of_a_metric_of_impressions_rank_nobody() -> None:
    (table,) = compare_runs(runs(task="ctr"), against("mf"))
    assert table.ranks is None
    assert verdicts([table])["freedom mf"] == "better"
    assert "what the user adds to it" in " ".join(facts_of_comparisons(table, against("mf")))


def test_unlike_runs_never_meet() -> None:
    made = [artefact(seed, "mf") for seed in range(5)]
    made += [artefact(seed, "freedom", protocol_id="q") for seed in range(5)]
    for family in (Family("t", "holm", labels=(("freedom", "mf"),)), against("mf"), Family("t", "holm")):
        with pytest.raises(ArtefactError, match=r"protocol_id (p / q|q / p)"):
            compare_runs(made, family)
    other = [artefact(seed, "freedom", n_users=199) for seed in range(5)]
    with pytest.raises(ArtefactError, match="other users"):
        compare_runs([*made[:5], *other], against("mf"))


def test_what_cannot_be_compared_is_named() -> None:
    with pytest.raises(ArtefactError, match="no row is called 'lightgcn'; rows: freedom, vbpr, mf, mgcn"):
        compare_runs(runs(), against("lightgcn"))
    with pytest.raises(ArtefactError, match=r"'coverage@20'; it has: recall@20, log-loss"):
        compare_runs(runs(), against("mf", metric="coverage@20"))
    with pytest.raises(ArtefactError, match="no better side"):
        compare_runs(runs(), against("mf", metric="calibration"))
    with pytest.raises(ArtefactError, match=r"nothing to compare.*tiny: mf"):
        compare_runs([artefact(0, "mf")], against("mf"))


def test_a_family_is_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "family.yaml"
    path.write_text(
        "schema_version: 1\ntitle: Ours\nmargin: 0.01\ncomparisons:\n- {first: freedom, second: mf}\n", encoding="utf-8"
    )
    assert load_family(path) == Family("Ours", "holm", None, 0.01, (("freedom", "mf"),))
    path.write_text("schema_version: 1\ntitle: Ours\nmargin: 1\ncomparisons: []\nmetrics: a\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_family(path)
    assert {issue.path for issue in caught.value.issues} == {"margin", "comparisons", "metrics"}


def test_what_is_written_holds_what_is_shown(tmp_path: Path) -> None:
    family = against("mf", margin=0.05)
    tables = compare_runs(runs(), family)
    page, numbers, told, svg, png = write_comparisons(tmp_path / "out", tables, family, "mmrec-bench compare runs")
    text = page.read_text(encoding="utf-8")
    for part in ("# title", "mmrec-bench compare runs", "freedom - mf", "equivalent", "seeds for 1%", "Friedman"):
        assert part in text, part
    frame = pd.read_csv(numbers)
    facts = json.loads(told.read_text(encoding="utf-8"))
    assert [one["p"] for one in facts["comparisons"]] == pytest.approx(frame["p"].tolist())
    assert facts["ranks"][0]["ranks"]["freedom"] == pytest.approx(1.0, abs=0.2)
    assert frame["verdict"].tolist() == list(verdicts(tables).values())
    assert svg.name in text
    assert all(f">{label}  {rank:.2f}<" in svg.read_text() for label, rank in facts["ranks"][0]["ranks"].items())
    assert png.read_bytes().startswith(b"\x89PNG")


def test_two_rows_have_no_diagram_and_it_is_said_why(tmp_path: Path) -> None:
    family = against("mf")
    tables = compare_runs([run for run in runs() if run.manifest["model"] in ("mf", "vbpr")], family)
    assert len(write_comparisons(tmp_path, tables, family, "command")) == 3
    assert any(
        "no critical-difference diagram: they need three rows" in one for one in facts_of_comparisons(*tables, family)
    )
