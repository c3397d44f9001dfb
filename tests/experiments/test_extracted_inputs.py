"""Extracted tables where features are aligned and judged: found, or made first, by the road of `run`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mmrec_bench.cli.app import app
from mmrec_bench.errors import ConfigError, DataError
from mmrec_bench.experiments.features.align import align
from mmrec_bench.experiments.features.artefact import FeaturesArtefact
from mmrec_bench.experiments.features.config import load_features
from mmrec_bench.experiments.features.evaluate import evaluate_features
from mmrec_bench.experiments.features.evaluate_config import load_evaluation
from mmrec_bench.experiments.features.extract import extract
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.experiment import load_experiment

from .shop import write_shop

CPU = torch.device("cpu")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop, an encoder of its extracted texts, and an evaluation of both; nothing is extracted yet."""
    monkeypatch.setenv("MMREC_BENCH_FEATURES", str(tmp_path / "features"))
    write_shop(tmp_path)
    (tmp_path / "ica.yaml").write_text(
        "schema_version: 1\ndataset: {card: shop.yaml, features: {text: texts.yaml}}\n"
        "encoder: {name: ica, embedding_dim: 8, projection_dim: 12, n_chunks: 3, n_heads: 2}\n"
        "trainer: {batch_size: 8, max_epochs: 3}\nheld_out: 0.2\n"
    )
    (tmp_path / "judge.yaml").write_text(
        "schema_version: 1\ndataset: {card: shop.yaml, features: {text: texts.yaml}}\n"
        "protocol: {split: leave-last-out, cutoffs: [5], select_by: recall@5}\n"
        "features: {titles: {tables: [text]}, ica: {made: ica.yaml}}\nn_neighbors: 3\nmask_ratios: [1.0]\n"
    )
    return tmp_path


def call(world: Path, *words: str) -> str:
    done = CliRunner().invoke(
        app, ["features", *words, "--out", str(world / "out"), "--device", "cpu", "--threads", "1"]
    )
    assert done.exit_code == 0, done.output
    return done.output


def aligned(world: Path, *overrides: str) -> FeaturesArtefact:
    """Align by hand what is extracted by hand."""
    config, _ = load_features(world / "ica.yaml", overrides)
    preparer = Preparer(None)
    for source in config.dataset.to_extract:
        extract(source, preparer.items(source.dataset.card), None, world / "features", CPU)
    return align(config, preparer.tables(config.dataset), RunSettings(world / "out", CPU, 1))


def test_align_extracts_what_is_missing_and_encodes_it(world: Path) -> None:
    config, _ = load_features(world / "ica.yaml")
    with pytest.raises(DataError, match="have not been extracted"):
        Preparer(None).tables(config.dataset)
    assert "ica of text: trained on" in call(world, "align", str(world / "ica.yaml"))
    (folder,) = (world / "out/features/shop/ica").iterdir()
    made = FeaturesArtefact.load(folder)
    assert made.manifest["dims"] == {"text": 3}
    tables = Preparer(None).tables(config.dataset).features
    assert made.manifest["fingerprints"]["features"] == {"text": tables["text"].fingerprint()}
    vectors, present = made.encoder().encode(tables)
    assert np.allclose(vectors[present], made.table("ica").values[present], atol=1e-5)
    assert int(present.sum()) == 39, "the last item has no text"
    assert aligned(world).folder == folder, "by hand it is the same"
    assert aligned(world, "dataset.features.text.encoder.dim=2").folder != folder, "other texts, other features"
    again, _ = load_features(folder / "config.yaml")
    assert Preparer(None).tables(again.dataset).feature_fingerprints() == {"text": tables["text"].fingerprint()}


def test_evaluate_judges_extracted_tables(world: Path) -> None:
    path = world / "judge.yaml"
    printed = call(world, "evaluate", str(path), "--report-dir", str(world / "reports"))
    assert "titles" in printed
    assert len(list((world / "features/shop/text-tfidf-svd").iterdir())) == 1, "for both sets the same table"
    judged = evaluate_features(load_evaluation(path)[0], Preparer(None), RunSettings(world / "out", CPU, 1))
    titles, ica = judged.rows
    assert (titles.dim, titles.n_present, ica.dim) == (3, 39, 8)
    assert set(titles.masked) == set(ica.masked) == {"text"}
    assert titles.zero_shot["recall@5"] > titles.masked["text"][1.0]["recall@5"], "users each like one kind of title"
    with pytest.raises(ConfigError, match="unknown feature table 'image'"):
        load_evaluation(path, ("features.titles.tables=[image]",))


def test_an_experiment_alters_what_its_features_were_made_of(world: Path) -> None:
    folder = aligned(world).folder
    (world / "fused.yaml").write_text(
        "schema_version: 1\ndataset: {card: shop.yaml, features: {text: texts.yaml}}\n"
        "inputs: {features: {ica: ica.yaml}}\n"
        "protocol: {split: leave-last-out, cutoffs: [5], select_by: recall@5}\n"
        "model: {name: itemknn-content, n_neighbors: 3}\nretriever: {backend: torch}\nseeds: [0]\n"
    )
    tables = {}
    for source in ("ica.yaml", str(folder)):
        change = "dataset.alter=[{name: shuffled, modality: text, seed: 0}]"
        experiment = load_experiment(world / "fused.yaml", (f"inputs.features.ica={source}", change))
        assert len(experiment.config.to_extract) == 1 + (source == "ica.yaml")
        (plan,) = Preparer(None)(experiment).inputs
        tables[source], _ = plan.resolve(RunSettings(world / "out", CPU, 1), None)
    whole, by_folder = tables.values()
    assert by_folder.fingerprint() == whole.fingerprint()
    assert whole.fingerprint() != FeaturesArtefact.load(folder).table("ica").fingerprint()
