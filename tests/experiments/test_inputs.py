"""Made features: made once, read by experiments, judged side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmrec_bench.data.alterations import alter
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import ArtefactError, ConfigError, ModelError
from mmrec_bench.experiments import folders
from mmrec_bench.experiments.artefact import find_runs
from mmrec_bench.experiments.candidates import restored
from mmrec_bench.experiments.features import align as align_module
from mmrec_bench.experiments.features.align import SCORE, align
from mmrec_bench.experiments.features.artefact import FeaturesArtefact, FeaturesKey
from mmrec_bench.experiments.features.config import FeaturesConfig, load_features
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run, with_inputs
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.experiments.suite import plan, run_all
from mmrec_bench.reports.knockout.verdicts import knockouts_of
from mmrec_bench.training.records import EpochRecord, SilentObserver

from .conftest import N_ITEMS, write_config, write_world
from .rankers import CANDIDATES, write_ranker
from .test_suite import Diary

ENCODER = "{name: ica, embedding_dim: 8, projection_dim: 12, n_chunks: 3, n_heads: 2}"
FUSED = "inputs: {features: {fused: ica.yaml}}\n"
Count = Callable[[], int]


def write_features(folder: Path, *, card: str = "tiny.yaml", encoder: str = ENCODER) -> Path:
    path = folder / "ica.yaml"
    path.write_text(
        f"schema_version: 1\ndataset: {{card: {card}}}\nencoder: {encoder}\n"
        "trainer: {batch_size: 8, max_epochs: 5, checkpoint_seconds: 0}\nheld_out: 0.2\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def features(world: Path) -> Path:
    return write_features(world)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Count:
    """Counts how often an encoder is trained."""
    made: list[object] = []

    def counted(*args: object, **kwargs: object) -> object:
        made.append(args)
        return train(*args, **kwargs)  # type: ignore[arg-type]

    train = align_module.train
    monkeypatch.setattr(align_module, "train", counted)
    return lambda: len(made)


def dataset_of(config: FeaturesConfig) -> Dataset[Interactions]:
    return Preparer(None).tables(config.dataset)


def make(
    path: Path, settings: RunSettings, *overrides: str, observer: SilentObserver | None = None
) -> FeaturesArtefact:
    config, _ = load_features(path, overrides)
    return align(config, dataset_of(config), settings, observer)


def test_the_folder_of_facts(features: Path, settings: RunSettings) -> None:
    made = make(features, settings)
    assert made.folder == settings.out / "features" / "tiny" / "ica" / made.fingerprint
    names = {"config.yaml", "manifest.json", "history.jsonl", "vectors.safetensors", "encoder.safetensors"}
    assert {path.name for path in made.folder.iterdir()} == names, "and no checkpoint"
    table = made.table("fused")
    assert (table.modality, table.dim, table.n_missing) == ("fused", 8, 0)
    assert table.present[3], "it lacks the image and has a text"
    facts = made.manifest
    assert facts["dims"] == {"image": 6, "text": 6}
    assert facts["items"] == {"train": 24, "valid": 6, "catalogue": N_ITEMS}
    assert set(facts["seconds"]) == {"prepare", "train", "validate", "encode"}
    history = [json.loads(line) for line in (made.folder / "history.jsonl").read_text().splitlines()]
    assert len(history) == facts["training"]["epochs_run"] == 5
    best = history[facts["training"]["best_epoch"]]
    assert best["valid"][SCORE] == facts["training"]["best_score"] == max(line["valid"][SCORE] for line in history)
    assert set(best) >= {"masked_image", "masked_text"}
    config, _ = load_features(made.folder / "config.yaml")
    assert FeaturesKey.of(config, dataset_of(config)).fingerprint == made.fingerprint, "the config loads again"
    encoded, present = made.encoder().encode(dataset_of(config).features)
    assert np.allclose(encoded[present], table.values[present], atol=1e-5), "the encoder makes these vectors"
    with pytest.raises(ArtefactError, match="holds no run"):
        find_runs([settings.out])


def test_features_are_made_once_until_something_changes(
    features: Path, settings: RunSettings, trainings: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(features, settings)
    assert make(features, settings, "trainer.checkpoint_seconds=7").folder == first.folder
    assert trainings() == 1
    changed = {
        make(features, settings, change).fingerprint
        for change in (
            "seed=1",
            "encoder.n_layers=1",
            "trainer.max_epochs=2",
            "held_out=0.3",
            "dataset.modalities=[text]",
        )
    }
    assert len(changed | {first.fingerprint}) == trainings() == 6
    image = np.load(features.parent / "image_feat.npy")
    image[0, 0] += 1
    np.save(features.parent / "image_feat.npy", image)
    assert make(features, settings).fingerprint not in changed | {first.fingerprint}
    assert trainings() == 7
    monkeypatch.setattr(folders, "code_digest", lambda: "0" * 16)
    kept = RunSettings(settings.out, settings.device, settings.threads, reuse_stale=True)
    make(features, kept)
    assert trainings() == 7
    make(features, settings)
    assert trainings() == 8, "made by other code: made again"


def test_interrupted_features_go_on_and_end_bit_identical(
    features: Path, settings: RunSettings, tmp_path: Path
) -> None:
    class Interrupt(SilentObserver):
        def on_epoch(self, record: EpochRecord) -> None:
            if record.epoch == 3:
                raise KeyboardInterrupt

    whole = make(features, RunSettings(tmp_path / "whole", settings.device, settings.threads))
    resuming = RunSettings(settings.out, settings.device, settings.threads, resume=True)
    with pytest.raises(KeyboardInterrupt):
        make(features, resuming, observer=Interrupt())
    assert not (settings.out / "features").exists()
    again = make(features, resuming)
    for name in ("vectors.safetensors", "encoder.safetensors"):
        a, b = (load_file(made.folder / name) for made in (whole, again))
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_damaged_features_are_named(features: Path, settings: RunSettings, world: Path, trainings: Count) -> None:
    made = make(features, settings)
    (made.folder / "vectors.safetensors").write_bytes(b"x")
    with pytest.raises(ArtefactError, match=r"vectors.safetensors: was changed or cut short"):
        FeaturesArtefact.load(made.folder)
    experiment = load_experiment(
        write_config(world, "lightgcn", extra=f"inputs: {{features: {{fused: '{made.folder}'}}}}\n")
    )
    with pytest.raises(ArtefactError, match="was changed or cut short"):
        Preparer(None)(experiment)
    make(features, settings)
    assert trainings() == 2, "what is damaged is made again"
    (made.folder / "encoder.safetensors").unlink()
    with pytest.raises(ArtefactError, match=r"not a whole folder of made features; missing: encoder.safetensors"):
        FeaturesArtefact.load(made.folder)
    with pytest.raises(ArtefactError, match="no such folder of made features"):
        FeaturesArtefact.load(made.folder / "none")


def test_an_experiment_reads_made_features(
    features: Path, world: Path, settings: RunSettings, trainings: Count
) -> None:
    path = write_config(world, "alignrec, content: fused, n_neighbors: 4", extra=FUSED)
    experiment, preparer = load_experiment(path), Preparer(None)
    prepared = preparer(experiment)
    key = run_key(experiment, prepared, 0)
    assert trainings() == 0, "planning makes nothing"
    made = run(experiment, prepared, key, settings)
    assert trainings() == 1
    (fact,) = made.manifest["inputs"]
    assert (fact["kind"], fact["name"], fact["encoder"]) == ("features", "fused", "ica")
    artefact = FeaturesArtefact.load(settings.out / "features" / "tiny" / "ica" / fact["fingerprint"])
    assert fact["content"] == artefact.table("fused").fingerprint()
    assert made.manifest["fingerprints"]["features"]["fused"] == fact["fingerprint"]
    assert made.manifest["data_report"]["missing"]["fused"] == 0
    weights = load_file(made.folder / "model.safetensors")
    assert any(value.shape == (N_ITEMS, 8) for value in weights.values()), "alignrec fine-tunes the fused vectors"
    again = load_experiment(made.folder / "config.yaml")
    assert again.config == experiment.config
    assert run_key(again, Preparer(None)(again), 0) == key


def fingerprint(path: Path, *overrides: str) -> str:
    experiment = load_experiment(path, overrides)
    return run_key(experiment, Preparer(None)(experiment), 0).fingerprint


def test_the_fingerprint_of_a_run_covers_what_its_features_are_made_of(features: Path, world: Path) -> None:
    path = write_config(world, "mf", extra=FUSED)
    changes = (
        (), ("inputs.features={}",), ("inputs.features.fused.encoder.n_layers=1",), ("inputs.features.fused.seed=4",),
        ("dataset.modalities=[image]",),
    )  # fmt: skip
    prints = [fingerprint(path, *change) for change in changes]
    assert len(set(prints)) == len(changes)
    text = np.load(world / "text_feat.npy")
    np.save(world / "text_feat.npy", text + 1)
    assert fingerprint(path, "dataset.modalities=[image]") not in prints, "a table only the encoder reads counts, too"


def test_naming_the_folder_is_naming_what_made_it(features: Path, world: Path, settings: RunSettings) -> None:
    made = make(features, settings)
    by_yaml = fingerprint(write_config(world, "mf", extra=FUSED))
    by_folder = fingerprint(write_config(world, "mf", extra=f"inputs: {{features: {{fused: '{made.folder}'}}}}\n"))
    assert by_yaml == by_folder


def test_a_model_may_live_on_made_features_alone(features: Path, world: Path, settings: RunSettings) -> None:
    path = write_config(world, "vbpr", extra=FUSED)
    experiment = load_experiment(path, ("dataset.modalities=[]",))
    prepared = Preparer(None)(experiment)
    assert not prepared.dataset.features
    made = run(experiment, prepared, run_key(experiment, prepared, 0), settings)
    assert "items:no-fused" in made.metrics["test_slices"]
    assert "items:no-image" not in made.metrics["test_slices"]
    with pytest.raises(ConfigError, match=r"needs .*image"):
        load_experiment(write_config(world, "mgcn", extra=FUSED), ("dataset.modalities=[]",))


def test_altered_tables_are_encoded_by_the_encoder_of_the_unaltered(
    features: Path, world: Path, settings: RunSettings, trainings: Count
) -> None:
    path, made = write_config(world, "alignrec, content: fused, n_neighbors: 4", extra=FUSED), make(features, settings)
    raw, whole = dataset_of(load_features(features)[0]).features, made.table("fused")
    contents, keys = {whole.fingerprint()}, {fingerprint(path)}
    for change in (
        "{name: masked, modality: image, ratio: 0.5}", "{name: masked, modality: image, ratio: 1.0}",
        "{name: shuffled, modality: text}", "{name: constant, modality: text}",
    ):  # fmt: skip
        experiment = load_experiment(path, (f"dataset.alter=[{change}]", "trainer.max_epochs=1"))
        prepared = Preparer(None)(experiment)
        (item,) = prepared.inputs
        table, _ = item.resolve(settings, None)
        altered = alter(raw, experiment.config.dataset.alter)
        expected, present = made.encoder().encode(altered)
        assert np.allclose(table.values[present], expected[present], atol=1e-5)
        if "0.5" in change:
            same = altered["image"].present == raw["image"].present
            assert np.allclose(table.values[same], whole.values[same], atol=1e-5)
            assert not np.isclose(table.values[~same & present], whole.values[~same & present]).all(axis=1).any()
        assert prepared.unaltered["features/fused"] == made.fingerprint != prepared.fingerprints["features/fused"]
        contents.add(table.fingerprint())
        keys.add(run_key(experiment, prepared, 0).fingerprint)
    assert len(contents) == len(keys) == 5
    done = run(experiment, prepared, run_key(experiment, prepared, 0), settings)
    assert trainings() == 1
    (fact,) = done.manifest["inputs"]
    assert fact["alterations"] == [{"name": "constant", "modality": "text"}]
    assert fact["content"] == table.fingerprint()


def test_a_dropped_modality_is_masked_in_every_item(features: Path, world: Path, settings: RunSettings) -> None:
    path = write_config(world, "alignrec, content: fused, n_neighbors: 4", extra=FUSED)
    found = []
    for change in ("{name: dropped, modality: image}", "{name: masked, modality: image, ratio: 1.0}"):
        (item,) = Preparer(None)(load_experiment(path, (f"dataset.alter=[{change}]",))).inputs
        found.append(item.resolve(settings, None)[0].fingerprint())
    assert found[0] == found[1]


def test_tables_other_than_those_an_encoder_was_trained_on_are_not_encoded(
    features: Path, world: Path, settings: RunSettings
) -> None:
    made = make(features, settings)
    image = np.load(world / "image_feat.npy")
    np.save(world / "image_feat.npy", image + 1)
    path = write_config(world, "alignrec, content: fused", extra=f"inputs: {{features: {{fused: '{made.folder}'}}}}\n")
    (item,) = Preparer(None)(load_experiment(path)).inputs
    assert item.resolve(settings, None)[0].fingerprint() == made.table("fused").fingerprint()
    (item,) = Preparer(None)(load_experiment(path, ("dataset.alter=[{name: shuffled, modality: text}]",))).inputs
    with pytest.raises(ArtefactError, match="the encoder was trained on other feature tables: image"):
        item.resolve(settings, None)


def test_a_suite_makes_features_once(features: Path, world: Path, settings: RunSettings, trainings: Count) -> None:
    write_config(world, "alignrec, content: fused, n_neighbors: 4", extra=FUSED)
    write_config(world, "vbpr", extra=FUSED)
    (world / "suite.yaml").write_text(
        "schema_version: 1\ntitle: Tiny\nseeds: [0, 1]\nset: [trainer.max_epochs=1]\n"
        "experiments:\n  - config: alignrec.yaml\n  - config: vbpr.yaml\n",
        encoding="utf-8",
    )
    planned, failures = plan(load_suite(world / "suite.yaml").experiments, Preparer(None), settings.out)
    done = run_all(planned, settings, Diary(), failures=failures)
    assert not done.failures
    assert (len(done.runs), trainings()) == (4, 1)
    assert len({artefact.manifest["inputs"][0]["content"] for _, artefact in done.runs}) == 1
    assert [run.folder for run in find_runs([settings.out])] == sorted(run.folder for _, run in done.runs)


def test_a_suite_of_masks_compares_each_with_whole_features(
    features: Path, world: Path, settings: RunSettings, trainings: Count
) -> None:
    write_config(world, "alignrec, content: fused, n_neighbors: 4", extra=FUSED)
    alter = "dataset.alter=[{{name: masked, modality: image, ratio: {}}}]"
    (world / "suite.yaml").write_text(
        "schema_version: 1\ntitle: Tiny\nseeds: [0, 1]\nset: [trainer.max_epochs=1]\n"
        "experiments:\n  - config: alignrec.yaml\n"
        + "".join(f"  - {{config: alignrec.yaml, set: ['{alter.format(ratio)}']}}\n" for ratio in (0.5, 1.0)),
        encoding="utf-8",
    )
    planned, failures = plan(load_suite(world / "suite.yaml").experiments, Preparer(None), settings.out)
    done = run_all(planned, settings, Diary(), failures=failures)
    assert not done.failures
    assert trainings() == 1
    (knockout,) = knockouts_of(done.runs)
    assert knockout.modalities == ("image", "text"), "made features are no modality"
    assert list(knockout.rows) == ["real", "image masked 0.5", "image masked 1"]
    assert set(knockout.contrasts) == {"image masked 0.5", "image masked 1"}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            "inputs: {features: {image: ica.yaml}}\n",
            "inputs.features.image: the data set has a feature table of this name",
        ),
        ("inputs: {features: {'a b': ica.yaml}}\n", "names of modalities are"),
        ("inputs: {features: {fused: icy.yaml}}\n", "no such file"),
        ("inputs: {features: {fused: 3}}\n", "needs the path of a features YAML"),
        ("inputs: {feature: {fused: ica.yaml}}\n", "did you mean 'features'"),
        ("inputs: {features: {fused: other.yaml}}\n", "these features are made of data set 'synthetic'"),
        ("inputs: {features: {fused: bad.yaml}}\n", "did you mean 'n_layers'"),
    ],
)
def test_what_is_refused(features: Path, world: Path, extra: str, message: str) -> None:
    write_features(world, card="synthetic").rename(world / "other.yaml")
    write_features(world, encoder="{name: ica, n_layer: 2}").rename(world / "bad.yaml")
    write_features(world)
    with pytest.raises(ConfigError, match=message):
        load_experiment(write_config(world, "lightgcn", extra=extra))


def test_features_of_other_items_are_refused(
    features: Path, world: Path, settings: RunSettings, tmp_path: Path
) -> None:
    made = make(features, settings)
    extra = f"inputs: {{features: {{fused: '{made.folder}'}}}}\n"
    other = tmp_path / "other"
    card = write_world(other)
    card.write_text(card.read_text(encoding="utf-8").replace("name: tiny", "name: huge"), encoding="utf-8")
    with pytest.raises(ArtefactError, match="are of data set 'tiny', not of 'huge'"):
        Preparer(None)(load_experiment(write_config(other, "lightgcn", extra=extra)))
    renamed = tmp_path / "renamed"
    card = write_world(renamed)
    (renamed / "i_id_mapping.csv").write_text(
        "asin\titemID\n" + "".join(f"x{row}\t{row}\n" for row in range(N_ITEMS)), encoding="utf-8"
    )
    card.write_text(card.read_text(encoding="utf-8") + "item_ids: i_id_mapping.csv\n", encoding="utf-8")
    with pytest.raises(ArtefactError, match="are of other items of 'tiny'"):
        Preparer(None)(load_experiment(write_config(renamed, "lightgcn", extra=extra)))


def test_a_setting_that_does_not_fit_the_tables_leaves_nothing_behind(features: Path, settings: RunSettings) -> None:
    with pytest.raises(ModelError, match="name exactly the modalities image, text; got image"):
        make(features, settings, "encoder.mask_ratio={image: 0.5}")
    assert not (settings.out / "features").exists()
    with pytest.raises(ConfigError, match="an encoder needs at least one modality"):
        load_features(features, ("dataset.modalities=[]",))
    with pytest.raises(ConfigError, match="makes features; run it with `mmrec-bench features align`"):
        load_experiment(features)


def test_a_first_stage_is_built_again_of_the_features_it_was_trained_on(features: Path, settings: RunSettings) -> None:
    knn = "{model: itemknn-content, retriever: {backend: torch}}"
    chosen = f"{{features: {{fused: ica.yaml}}, candidates: {{first_stage: {knn}, n: 12}}}}"
    protocol = CANDIDATES.replace("[5, 20]", "[2, 5]")
    path = write_ranker(
        features.parent, "initial", inputs=chosen, protocol=protocol, dataset="card: tiny.yaml", trainer=""
    )
    prepared, _ = with_inputs(Preparer(None)(load_experiment(path)), 0, settings, None)
    stage, first = prepared.first_stage, prepared.first_run
    assert stage is not None
    assert first is not None
    assert "fused" in stage.prepared.dataset.features
    again = restored(stage, first, settings.device).export()
    bare = replace(stage, prepared=replace(stage.prepared, load=lambda: Preparer(None)(stage.experiment).dataset))
    users = torch.arange(5)
    assert not torch.equal(again.scores(users), restored(bare, first, settings.device).export().scores(users))
