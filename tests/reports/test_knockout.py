"""Knockout tables: which runs stand against which, the verdicts, and that accuracy tables hold none of them."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.collect import collect
from mmrec_bench.reports.knockout.verdicts import judge, knockouts_of
from mmrec_bench.reports.report import make_report
from mmrec_bench.statistics.contrast import Contrast, contrast, largest_null_difference

N_USERS = 50
REAL = "a" * 16


@dataclass(frozen=True, slots=True)
class MadeUp(RunArtefact):
    """An artefact in memory."""

    scores: Any = None

    def per_user(self, columns: object = None) -> pd.DataFrame:
        parts = [
            pd.DataFrame({"part": part, "user_id": [f"user-{u}" for u in range(len(self.scores))], "recall@20": values})
            for part, values in (("valid", self.scores * 0), ("test", self.scores))
        ]
        return pd.concat(parts, ignore_index=True)


def artefact(seed: int, level: float, *changes: dict[str, Any], model: str = "vbpr", **facts: Any) -> MadeUp:
    """Return a run whose users score around a level; other seeds and other changes score a little differently."""
    rng = np.random.default_rng([seed, len(repr(changes)), int(1e4 * level)])
    scores = level + np.linspace(-0.05, 0.05, N_USERS) + 0.01 * rng.standard_normal(N_USERS)
    dropped = {change["modality"] for change in changes if change["name"] == "dropped"}
    manifest = {
        "task": "retrieval", "dataset": "tiny", "model": model, "seed": seed, "protocol_id": "p",
        "select_by": "recall@20",
        "fingerprints": {
            "config": f"{hash(repr(changes)):016x}"[-16:] if changes else REAL, "data": "d", "split": "s", "code": "c",
            "features": {name: "f" for name in ("image", "text") if name not in dropped},
        },
        "altered": {"alterations": list(changes), "unaltered": REAL} if changes else None,
        "device": {"name": "a CPU"}, "threads": 1, "seconds": {}, "n_parameters": {"total": 1},
        **facts,
    }  # fmt: skip
    metrics = {"recall@20": float(scores.mean())}
    return MadeUp(Path("none"), manifest, {"valid": metrics, "test": metrics, "test_slices": {}}, scores)


def change(name: str, modality: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "modality": modality, **settings}


@pytest.fixture
def runs() -> list[tuple[str | None, RunArtefact]]:
    """Images carry the score, texts do nothing."""
    made = [artefact(seed, 0.50) for seed in range(6)]
    for seed in range(3):
        made += [
            artefact(seed, 0.30, change("shuffled", "image", seed=seed)),
            artefact(seed, 0.50, change("shuffled", "text", seed=seed)),
            artefact(seed, 0.31, change("dropped", "image")),
            artefact(seed, 0.40, change("masked", "image", ratio=0.5, seed=0)),
        ]
    return [(None, run) for run in made]


def test_variants_stand_against_the_real_runs_of_their_seeds(runs: list[tuple[str | None, RunArtefact]]) -> None:
    (found,) = knockouts_of(runs[::-1])
    assert {label: row.seeds for label, row in found.rows.items()} == {
        "real": (0, 1, 2), "real, other seeds": (3, 4, 5), "image shuffled": (0, 1, 2),
        "text alone (image dropped)": (0, 1, 2), "text shuffled": (0, 1, 2), "image masked 0.5": (0, 1, 2),
    }  # fmt: skip
    assert list(found.rows)[:2] == ["real", "real, other seeds"]
    assert found.modalities == ("image", "text")
    made = {label: np.stack([run.scores for run in row.runs]) for label, row in found.rows.items()}
    expected = contrast(made["real"], made["image shuffled"])
    assert astuple(found.contrasts["image shuffled"]) == pytest.approx(astuple(expected))
    real = sorted(run.metrics["test"]["recall@20"] for _, run in runs if not run.manifest["altered"])
    assert found.null == pytest.approx(sum(real[3:]) / 3 - sum(real[:3]) / 3)
    assert found.real == pytest.approx(0.5, abs=0.01)
    assert found.verdict("image", 0.05)[0] == "yes"
    assert found.verdict("text", 0.05)[0] == "no"
    assert found.verdict("text", 0.0001)[0] == "unclear"
    assert found.verdict("audio", 0.05) == ("unclear", "runs on real and on shuffled features are not both there")


def test_altered_runs_stand_in_knockout_tables_alone(
    runs: list[tuple[str | None, RunArtefact]], tmp_path: Path
) -> None:
    ((_, rows),) = collect(runs).items()
    assert [(row.label, row.seeds) for row in rows] == [("vbpr", (0, 1, 2, 3, 4, 5))]
    report = make_report("T", "c", [("mine", run) for _, run in runs[:1]], extra=runs[1:], margin=0.1)
    _, page, numbers = report.write(tmp_path)
    text = page.read_text(encoding="utf-8")
    told, _, tables = text.partition("## Retrieval")
    assert "- mine uses image: yes (the interval lies above zero" in told
    accuracy, _, knockout = tables.partition("does mine use its features?")
    assert "| mine | 1 |" in accuracy
    assert "shuffled" not in accuracy
    assert "| image masked 0.5 | 3 |" in knockout
    assert "- mine uses image: yes (the interval lies above zero, and no halves of real runs differ as much" in knockout
    assert "- mine uses text: no (the interval lies within 10% of the real score (± 0.05" in knockout
    frame = pd.read_csv(numbers)
    frame = frame[frame.part == "knockout"].set_index("label")
    assert frame.verdict.dropna().to_dict() == {"mine, image shuffled": "yes", "mine, text shuffled": "no"}
    line = frame.loc["mine, image shuffled"]
    assert line.low < line.difference < line.high
    assert line.difference == pytest.approx(frame.loc["mine, real", "mean"] - line["mean"], abs=1e-12)
    assert np.isnan(frame.loc["mine, real", "difference"])


def test_one_seed_is_unclear_and_says_why(runs: list[tuple[str | None, RunArtefact]]) -> None:
    (found,) = knockouts_of([(label, run) for label, run in runs if run.manifest["seed"] == 0])
    assert found.verdict("image", 0.05) == ("unclear", "the spread over seeds needs at least two seeds")
    text = make_report("T", "c", [(None, found.rows["real"].runs[0]), (None, found.rows["image shuffled"].runs[0])])
    assert "vbpr uses image: unclear (the spread over seeds needs at least two seeds)" in text.markdown()


def test_altered_runs_without_real_ones_are_shown_without_differences() -> None:
    alone = [(None, artefact(seed, 0.3, change("shuffled", "image", seed=seed))) for seed in range(2)]
    text = make_report("T", "c", alone).markdown()
    assert "accuracy" not in text
    assert re.search(r"image shuffled \| 2 \| 0\.\d+ ± 0\.\d+ \| - \| - \| - \|", text)
    assert "uses image: unclear (runs on real and on shuffled features are not both there)" in text
    assert "uses text" not in text, "nobody asked"


def test_real_runs_of_other_seeds_alone_are_the_real_ones() -> None:
    made = [(None, artefact(seed, 0.5)) for seed in (7, 8)]
    made += [(None, artefact(seed, 0.3, change("shuffled", "image", seed=seed))) for seed in (0, 1)]
    (found,) = knockouts_of(made)
    assert found.rows["real"].seeds == (7, 8)
    assert "real, other seeds" not in found.rows


def test_what_a_model_refuses_is_listed(runs: list[tuple[str | None, RunArtefact]]) -> None:
    made = [(None, artefact(0, 0.5, model="mgcn")), (None, artefact(0, 0.5, change("shuffled", "text"), model="mgcn"))]
    text = make_report("T", "c", made).markdown()
    assert "| image alone (text dropped) | - | not possible | - | - | - |" in text
    assert "Not possible: image alone (text dropped), for mgcn needs text." in text
    assert "not possible" not in make_report("T", "c", runs).markdown()


def test_features_made_of_modalities_are_no_modality() -> None:
    changes = [(), (change("dropped", "text"),), (change("shuffled", "image"),)]
    made = [artefact(0, 0.5, *each, inputs=[{"kind": "features", "name": "fused"}]) for each in changes]
    for run in made:
        run.manifest["fingerprints"]["features"]["fused"] = "f"
    (found,) = knockouts_of([(None, run) for run in made])
    assert found.modalities == ("image", "text")
    assert list(found.rows) == ["real", "image alone (text dropped)", "image shuffled"]


def test_unlike_runs_are_never_compared(runs: list[tuple[str | None, RunArtefact]]) -> None:
    other = artefact(0, 0.9, change("shuffled", "image", seed=0), protocol_id="q")
    assert len(knockouts_of([*runs, (None, other)])) == 2
    broken = artefact(5, 0.9, change("shuffled", "image", seed=5))
    broken = MadeUp(broken.folder, broken.manifest, broken.metrics, broken.scores[:-1])
    with pytest.raises(ArtefactError, match="other users"):
        knockouts_of([*runs, (None, broken)])


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
@pytest.mark.parametrize(
    ("effect", "answer", "at_most"),
    [(0.0, "yes", 0.04), (0.05, "no", 0.04), (0.0, "unclear", 0.5), (0.3, "unclear", 0.05)],
    ids=["a false yes", "a false no", "no effect", "a large effect"],
)
def test_wrong_verdicts_are_rare(effect: float, answer: str, at_most: float, n_seeds: int) -> None:
    """600 made-up experiments of a known effect, as a share of the real score; the margin is 5 % of it."""
    rng, n_users, trials, found = np.random.default_rng(n_seeds), 400, 600, 0

    def scores(n: int, mean: float) -> np.ndarray:
        return mean + 0.003 * rng.standard_normal((n, 1)) + 0.1 * rng.standard_normal((n, n_users))

    for _ in range(trials):
        users = 0.2 * rng.standard_normal(n_users)
        real, altered = users + scores(2 * n_seeds, 0.5), users + scores(n_seeds, 0.5 * (1 - effect))
        null = largest_null_difference(real.mean(axis=1))
        found += judge(contrast(real[:n_seeds], altered), null, float(real[:n_seeds].mean()), 0.05)[0] == answer
    assert found / trials <= at_most


@pytest.mark.parametrize(
    ("difference", "low", "high", "null", "answer", "reason"),
    [
        (0.100, 0.080, 0.120, 0.010, "yes", "no halves of real runs differ as much (0.0100)"),
        (0.030, 0.020, 0.040, 0.010, "yes", "though less than 5% of the real score (± 0.0500)"),
        (0.100, 0.080, 0.120, 0.100, "unclear", "halves of real runs differ as much"),
        (0.030, 0.020, 0.040, 0.035, "no", "within 5%"),
        (0.000, -0.049, 0.049, 0.010, "no", "within 5% of the real score (± 0.0500)"),
        (0.000, -0.050, 0.051, 0.010, "unclear", "holds zero, and reaches beyond 5%"),
        (0.050, -0.001, 0.101, 0.010, "unclear", "holds zero, and reaches beyond 5%"),
        (-0.100, -0.120, -0.080, 0.010, "unclear", "better on shuffled features"),
        (-0.020, -0.030, -0.010, 0.010, "no", "within 5%"),
        (0.100, None, None, 0.010, "unclear", "at least two seeds"),
        (0.100, 0.080, 0.120, None, "unclear", "at least two seeds"),
    ],
)
def test_the_verdict(
    difference: float, low: float | None, high: float | None, null: float | None, answer: str, reason: str
) -> None:
    found, why = judge(Contrast(difference, low, high), null, 1.0, 0.05)
    assert found == answer
    assert reason in why
