"""Rankers from the command line: what works, and what a wrong YAML is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .test_cli import call, flags

LISTS, STAGES, RETRIEVAL = (f"configs/synthetic/{name}.yaml" for name in ("starank", "starank-lightgcn", "lightgcn"))


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (
            RETRIEVAL,
            ["dataset.clicks.model=pbm"],
            "'lightgcn' learns from interactions, so dataset.clicks would do nothing",
        ),
        (
            RETRIEVAL,
            ["inputs.candidates.first_stage=ease.yaml"],
            "'lightgcn' ranks no given lists; remove inputs.candidates",
        ),
        (
            RETRIEVAL,
            ["protocol.split=by-user"],
            "split 'by-user' does not part interactions; those that do: cold-items",
        ),
        (
            RETRIEVAL,
            ["dataset.card=mq2008-fold1"],
            "'mq2008-fold1' holds lists, not interactions; the task retrieval needs",
        ),
        (
            LISTS,
            ["retriever.backend=torch"],
            "'starank' retrieves nothing, so the section 'retriever' would do nothing",
        ),
        (LISTS, ["dataset.clicks.model=pmb"], "dataset.clicks.model: unknown click model 'pmb'; did you mean 'pbm'?"),
        (
            LISTS,
            ["dataset.clicks.model.severty=2"],
            "dataset.clicks.model.severty: unknown key; did you mean 'severity'?",
        ),
        (LISTS, ["protocol.cutoffs=[5, 3]"], "cutoffs must rise without repeats; got [5, 3] (line "),
        (LISTS, ["protocol.simulated.ndcg.model=pbm"], "such as nsim-pbm, and no metric's; got 'ndcg'"),
        (LISTS, ["protocol.split=random-811"], "split 'random-811' does not part lists; those that do: by-user"),
        (LISTS, ["protocol.split={name: without-fold, of: x-label}"], "split 'without-fold' does not part lists"),
        (
            LISTS,
            ["dataset.card=amazon-baby"],
            "holds interactions, not lists; the task ranking needs a data set of lists.",
        ),
        (LISTS, ["dataset.card=amazon-baby"], "Or rank what a retrieval model finds: inputs.candidates"),
        (LISTS, ["protocol.exclude=[train]"], "protocol.exclude: unknown key; known: cutoffs, metrics, options"),
        (
            LISTS,
            ["model=initial", "trainer=null"],
            "'initial' learns nothing from lists, so dataset.clicks would do nothing",
        ),
        (
            LISTS,
            ["model.learns_from=labels"],
            "would read none of the clicks of dataset.clicks; set model.learns_from: clicks",
        ),
        (STAGES, ["dataset.clicks.model=pbm"], "Remove one of dataset.clicks and inputs.candidates"),
        (STAGES, ["protocol.split=by-user"], "split 'by-user' does not part interactions"),
        (
            STAGES,
            ["protocol.metrics=[ndcg, clicked-ndcg]"],
            "shown to nobody; remove clicked-ndcg from protocol.metrics",
        ),
        (
            STAGES,
            ["inputs.candidates.first_stage=starank.yaml"],
            "a first stage retrieves; model 'starank' solves the task",
        ),
        (
            STAGES,
            ["inputs.candidates.first_stage=none.yaml"],
            "inputs.candidates.first_stage: no such file, and unknown config",
        ),
        (STAGES, ["inputs.candidates.first_stage=../suites/quick.yaml"], "a first stage is the YAML of an experiment"),
        (
            STAGES,
            ["inputs.candidates.first_stage=alignrec-ica.yaml"],
            "inputs.features: ica: name these under inputs.features",
        ),
        (
            STAGES,
            ["inputs.candidates.first_stage.model=lightgnc"],
            "first_stage.model: unknown model 'lightgnc'; did you mean",
        ),
        (
            STAGES,
            ["inputs.candidates.first_stage.model=ease"],
            "inputs.candidates.first_stage: model 'ease' is fitted in closed",
        ),
        (
            STAGES,
            ["inputs.candidates.first_stage={model: ease}"],
            "which faiss cannot search; set retriever: {backend: torch}",
        ),
        (
            STAGES,
            ["inputs.candidates.first_stage={model: mgcn}", "dataset.modalities=[text]"],
            "on mgcn' needs image; data set",
        ),
        (STAGES, ["inputs.candidates.n=0", "inputs.candidates.share=1.5"], "2 errors"),
    ],
)
def test_a_wrong_yaml_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: str, settings: list[str], message: str
) -> None:
    assert call(monkeypatch, "validate", config, *flags(settings)) == 2
    printed = capsys.readouterr().err
    assert message in printed, printed
    assert "Traceback" not in printed


def write_log(folder: Path, column: str) -> Path:
    """Write a log that holds clicks alone, or labels of 0 to 5 alone, and an experiment on it."""
    rng, lines = np.random.default_rng(0), [f"list\tuser\titem\tposition\t{column}\tpart\n"]
    for number in range(40):
        for place in range(1, 5):
            value = rng.integers(0, 2 if column == "click" else 6)
            part = ("train", "train", "valid", "test")[number % 4]
            lines.append(f"{number}\tu{number % 7}\ti{place * 6 + number % 5}\t{place}\t{value}\t{part}\n")
    (folder / "log.tsv").write_text("".join(lines), encoding="utf-8")
    (folder / "log.yaml").write_text(
        "schema_version: 1\nname: log\nformat: click-log\nlog: log.tsv\n", encoding="utf-8"
    )
    path = folder / "mlp.yaml"
    path.write_text(
        "schema_version: 1\ndataset: {card: log.yaml}\n"
        "protocol: {split: x-label, cutoffs: [3], metrics: [ndcg], select_by: ndcg@3}\n"
        "model: {name: mlp, item_ids: true}\ntrainer: {max_epochs: 1}\n",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize(
    ("column", "settings", "message"),
    [
        ("click", [], "the held-out lists hold none. Choose a data set with labels"),
        (
            "label",
            ["model.learns_from=clicks"],
            "'mlp' learns from clicks, and the training lists give labels, order. Change",
        ),
        ("label", ["model.learns_from=clicks"], "model.learns_from, or simulate clicks: dataset.clicks"),
        (
            "label",
            ["dataset.clicks.model=pbm", "model.learns_from=clicks"],
            "labels of the training lists go up to 5, and dataset.clicks.model.attraction",
        ),
        (
            "label",
            ["dataset.clicks.model={name: pbm, attraction: {max_label: 5}}", "model.learns_from=clicks"],
            "'linear' needs features of rows; choose",
        ),
        (
            "label",
            ["protocol.metrics=[ndcg, clicked-ndcg]"],
            "metric 'clicked-ndcg' needs clicks, and the held-out lists hold",
        ),
        ("label", ["protocol.options.max_label=3", "protocol.metrics=[ndcg, err]"], "Raise protocol.options.max_label"),
        (
            "label",
            ["protocol.simulated.nsim.model=ubm"],
            "protocol.simulated.nsim: labels must be at most attraction.max_label",
        ),
        (
            "label",
            ["protocol.split=global-time"],
            "split 'global-time' needs timestamps, and the data has none. Choose x-label, by-user or carved-valid",
        ),
        (
            "label",
            ["protocol.split=carved-valid"],
            "split 'carved-valid' carves validation from train, but 10 lists were",
        ),
    ],
)
def test_lists_that_lack_something_are_bad_input_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    column: str, settings: list[str], message: str,
) -> None:  # fmt: skip
    config = write_log(tmp_path, column)
    assert call(monkeypatch, "run", str(config), *flags(settings), "--out", str(tmp_path / "runs")) == 2
    printed = capsys.readouterr().err
    assert message in printed, printed
    assert not (tmp_path / "runs").exists()


def test_features_are_validated_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, told in (
        ("features/synthetic-ica", "ok: ica on synthetic, seed 0"),
        ("features/synthetic-evaluate", "ok: 5 feature sets on synthetic, retrieval/random-811/"),
        ("synthetic/starank-lightgcn", "ok: starank on lightgcn on synthetic, 5 seed(s), ranking/random-811/"),
    ):
        assert call(monkeypatch, "validate", f"configs/{name}.yaml") == 0
        assert told in capsys.readouterr().out
    assert call(monkeypatch, "validate", "configs/features/synthetic-ica.yaml", *flags(["encoder.n_head=2"])) == 2
    assert "encoder.n_head: unknown key; did you mean 'n_heads'?" in capsys.readouterr().err
    assert call(monkeypatch, "validate", "configs/features/synthetic-evaluate.yaml", *flags(["shrink=-1"])) == 2
    assert "shrink" in capsys.readouterr().err
    assert call(monkeypatch, "run", "configs/features/synthetic-evaluate.yaml") == 2
    assert "judges features; run it with `mmrec-bench features evaluate`" in capsys.readouterr().err


def test_models_and_data_sets_of_both_tasks_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "models") == 0
    rows = {line.split()[0]: line.split()[1:4] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["starank"] == ["ranking", "optional", "-"]
    assert rows["initial"] == ["ranking", "none", "-"]
    assert rows["lightgcn"] == ["retrieval", "none", "vectors"]
    assert call(monkeypatch, "datasets") == 0
    assert "interactions, lists" in capsys.readouterr().out


def test_a_suite_of_both_tasks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(
        "schema_version: 1\nname: small\nformat: synthetic\n"
        "world: {n_users: 120, n_items: 90, max_interactions: 40, mean_interactions: 14.0,\n"
        "  impressions: {n_lists: 200}}\n",
        encoding="utf-8",
    )
    configs = Path("configs/synthetic").resolve()
    (tmp_path / "mixed.yaml").write_text(
        "schema_version: 1\ntitle: Both\nseeds: [0]\n"
        f"set: ['dataset.card={tmp_path / 'small.yaml'}', trainer.max_epochs=1]\nexperiments:\n"
        f"  - {{config: '{configs}/lightgcn.yaml'}}\n"
        f"  - {{config: '{configs}/popularity.yaml'}}\n"
        f"  - {{config: '{configs}/starank.yaml'}}\n"
        f"  - config: '{configs}/starank-lightgcn.yaml'\n"
        "    set: [inputs.candidates.first_stage.trainer.max_epochs=1]\n",
        encoding="utf-8",
    )
    places = ["--out", str(tmp_path / "runs"), "--report-dir", str(tmp_path / "reports")]
    assert call(monkeypatch, "bench", str(tmp_path / "mixed.yaml"), *places) == 0
    text = (tmp_path / "reports" / "mixed" / "report.md").read_text(encoding="utf-8")
    assert text.index("## Retrieval: which k of all items?") < text.index("## Ranking: in which order are given items?")
    assert text.count("### small: accuracy") == 3
    assert "| starank on lightgcn | 1 |" in text
    assert "Lists are the 50 candidates of lightgcn, seed 0 (starank on lightgcn)." in text
    capsys.readouterr()
    assert call(monkeypatch, "bench", str(tmp_path / "mixed.yaml"), *places) == 0
    assert "4 of 4 runs were there already" in capsys.readouterr().out
    found = sorted((tmp_path / "runs" / "small" / "starank").glob("*/seed-0"))
    assert len(found) == 2
    assert call(monkeypatch, "diff", str(found[0]), str(found[1])) == 1, "they differ"
    told = capsys.readouterr().out
    assert "protocol.split.name" in told
    assert "inputs.candidates.first_stage.model.name" in told
    assert call(monkeypatch, "report", str(tmp_path / "runs"), "--report-dir", str(tmp_path / "again")) == 0
    again = (tmp_path / "again" / "report.md").read_text(encoding="utf-8")
    assert again.count("### small: accuracy") == 4, "the first stage, judged on its own, stands apart"
