"""The plan of a modality truth test, and the identity of runs on altered features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmrec_bench.data.alterations import Constant, Dropped, Shuffled
from mmrec_bench.errors import ConfigError
from mmrec_bench.experiments.building import write_config as write_resolved
from mmrec_bench.experiments.knockout import KINDS, KnockoutConfig, label_of, tampered
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import Experiment, ExperimentConfig, load_experiment
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.experiments.suite import plan
from mmrec_bench.experiments.variants import variants
from mmrec_bench.settings import load_yaml

from .conftest import write_config

SHUFFLED = "dataset.alter=[{name: shuffled, modality: image, seed: 3}]"
DROPPED = "dataset.alter=[{name: dropped, modality: image}]"


def vbpr(world: Path, *overrides: str) -> Experiment:
    return load_experiment(write_config(world, "vbpr"), overrides)


def key_of(experiment: Experiment, seed: int = 0) -> str:
    return run_key(experiment, Preparer(None)(experiment), seed).fingerprint


def test_one_alone_is_the_other_dropped_and_listed_once() -> None:
    assert list(tampered(["image", "text"])) == [
        "image alone (text dropped)", "image shuffled", "image gaussian", "image constant",
        "text alone (image dropped)", "text shuffled", "text gaussian", "text constant",
    ]  # fmt: skip
    assert list(tampered(["image", "text"], ["shuffled"])) == ["image shuffled", "text shuffled"]
    assert list(tampered(["image"])) == ["image shuffled", "image gaussian", "image constant", "image dropped"]
    three = tampered(["image", "text", "audio"])
    assert len(three) == 3 * len(KINDS)
    assert three["audio alone (image dropped, text dropped)"] == (Dropped(modality="image"), Dropped(modality="text"))
    assert three["audio dropped"] == (Dropped(modality="audio"),)
    assert label_of((), ["image"]) == "real"


def test_every_seed_draws_its_own_noise_and_real_features_get_other_seeds_too(world: Path) -> None:
    experiment = vbpr(world, "seeds=[0, 4]")
    found = {item.label: item for item in variants(experiment, KnockoutConfig())}
    assert list(found) == ["real", *tampered(["image", "text"])]
    (real,) = found["real"].experiments
    assert real.config == experiment.config.model_copy(update={"seeds": (0, 4, 5, 6)})
    shuffled = [(one.config.seeds, one.config.dataset.alter) for one in found["image shuffled"].experiments]
    assert shuffled == [((seed,), (Shuffled(modality="image", seed=seed),)) for seed in (0, 4)]
    (constant,) = found["text constant"].experiments
    assert constant.config.seeds == (0, 4)
    assert constant.config.dataset.alter == (Constant(modality="text"),)
    assert constant.label == "vbpr, text constant"
    own = variants(experiment, KnockoutConfig(seeds=(7,)))
    assert own[0].experiments[0].config.seeds == (7, 8)


def test_what_a_model_cannot_do_without_is_listed_and_not_run(world: Path) -> None:
    found = {item.label: item for item in variants(load_experiment(write_config(world, "mgcn")), KnockoutConfig())}
    assert {label: item.refusal for label, item in found.items() if not item.experiments} == {
        "image alone (text dropped)": "needs text",
        "text alone (image dropped)": "needs image",
    }
    single = {item.label: item for item in variants(vbpr(world, "dataset.modalities=[image]"), KnockoutConfig())}
    assert single["image dropped"].refusal == "needs features of at least one modality"


def test_what_cannot_be_knocked_out_is_said(world: Path) -> None:
    with pytest.raises(ConfigError, match=r"lightgcn.yaml.*\n.*'lightgcn' reads no features"):
        variants(load_experiment(write_config(world, "lightgcn")), KnockoutConfig())
    made = f"inputs.features.fused={world}"
    with pytest.raises(ConfigError, match="gives no features to knock out"):
        variants(vbpr(world, "dataset.modalities=[]", made), KnockoutConfig())
    single = {item.label: item for item in variants(vbpr(world, "dataset.modalities=[image]", made), KnockoutConfig())}
    assert single["image dropped"].experiments, "the made features are left"
    with pytest.raises(ConfigError, match=r"dataset\.alter must be empty"):
        variants(vbpr(world, SHUFFLED), KnockoutConfig())


@pytest.mark.parametrize(
    ("model", "alter", "message"),
    [
        ("vbpr", "[{name: shuffled, modality: imag}]", "did you mean 'image'"),
        ("vbpr", "[{name: shufled, modality: image}]", "unknown alteration 'shufled'; did you mean 'shuffled'"),
        ("vbpr", "[{name: constant, modality: image, seed: 1}]", "seed: unknown key"),
        ("vbpr", "[{name: masked, modality: image}]", "ratio: required"),
        ("vbpr", "[{name: masked, modality: image, ratio: 1.5}]", "got 1.5"),
        ("vbpr", "[{name: masked, modality: image, ratio: 0}]", "got 0"),
        ("vbpr", "[{name: shuffled, modality: image, seed: -1}]", "got -1"),
        ("mgcn", "[{name: dropped, modality: image}]", "'mgcn' needs image; .* gives text after dataset.alter"),
        ("vbpr", "[{name: dropped, modality: image}, {name: dropped, modality: text}]", "gives none after"),
    ],
)  # fmt: skip
def test_alterations_that_make_no_sense_are_refused(world: Path, model: str, alter: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_experiment(write_config(world, model), (f"dataset.alter={alter}",))


def test_an_altered_config_round_trips_and_altered_runs_have_a_name_of_their_own(world: Path) -> None:
    several = "dataset.alter=[{name: masked, modality: text, ratio: 0.5, seed: 1}, {name: shuffled, modality: image}]"
    experiment = vbpr(world, several)
    write_resolved(world / "again.yaml", experiment.config.model_dump(mode="json"), "resolved")
    assert load_yaml(world / "again.yaml").parse(ExperimentConfig) == experiment.config
    names = {key_of(vbpr(world, *overrides)) for overrides in ([], [SHUFFLED], [several], [DROPPED])}
    names.add(key_of(vbpr(world, "dataset.modalities=[text]")))
    assert len(names) == 5, "the same content has two names where one of the two says that it was altered"
    assert key_of(vbpr(world, "dataset.alter=[]")) == key_of(vbpr(world))


def test_two_alterations_of_the_same_content_are_two_runs(world: Path, settings: RunSettings) -> None:
    constant, shuffled = "{name: constant, modality: image}", "{name: shuffled, modality: image}"
    once, twice = (vbpr(world, f"dataset.alter=[{text}]") for text in (constant, f"{constant}, {shuffled}"))
    planned, failures = plan([once, twice], Preparer(None), settings.out)
    assert not failures
    first, second = (item.prepared.fingerprints for item in planned)
    assert first == second
    assert planned[0].key != planned[1].key


def test_a_run_on_altered_features_says_so_and_loads_again(world: Path, settings: RunSettings) -> None:
    real, altered = vbpr(world), vbpr(world, SHUFFLED)
    preparer = Preparer(None)
    artefacts = []
    for experiment in (real, altered):
        prepared = preparer(experiment)
        artefacts.append(run(experiment, prepared, run_key(experiment, prepared, 0), settings))
    first, second = (artefact.manifest for artefact in artefacts)
    assert first["altered"] is None
    assert second["altered"] == {
        "alterations": [{"name": "shuffled", "modality": "image", "seed": 3}],
        "unaltered": first["fingerprints"]["config"],
    }
    assert first["fingerprints"]["features"]["text"] == second["fingerprints"]["features"]["text"]
    assert first["fingerprints"]["features"]["image"] != second["fingerprints"]["features"]["image"]
    assert second["data_report"]["notes"] == ["features altered on purpose: image shuffled"]
    copy = world / "config.yaml"
    copy.write_bytes((artefacts[1].folder / "config.yaml").read_bytes())
    again = load_experiment(copy)
    assert again.config == altered.config
    assert run_key(again, Preparer(None)(again), 0).folder(settings.out) == artefacts[1].folder


def test_altered_data_is_made_when_it_is_asked_for(world: Path) -> None:
    preparer = Preparer(None)
    real, one, other = (preparer(vbpr(world, *alter)) for alter in ([], [SHUFFLED], [DROPPED]))
    assert one.dataset is one.dataset, "the latest stays"
    held = one.dataset
    assert list(other.dataset.features) == ["text"]
    assert one.dataset is not held, "and only the latest"
    np.testing.assert_array_equal(one.dataset.features["image"].filled(), held.features["image"].filled())
    assert one.split is real.split
    assert real.dataset.features["text"] is other.dataset.features["text"]


@pytest.fixture
def suite(world: Path) -> Path:
    write_config(world, "vbpr")
    write_config(world, "popularity", trainer="")
    path = world / "suite.yaml"
    path.write_text(
        "schema_version: 1\ntitle: T\nseeds: [0]\nknockout: {kinds: [shuffled], seeds: [0, 1]}\n"
        "experiments:\n  - config: popularity.yaml\n  - {config: vbpr.yaml, knockout: true}\n",
        encoding="utf-8",
    )
    return path


def test_runs_that_a_table_and_a_knockout_share_are_made_once(suite: Path, settings: RunSettings) -> None:
    loaded = load_suite(suite)
    (tested,) = loaded.knockouts
    tried = [one for item in variants(tested, loaded.config.knockout) for one in item.experiments]
    planned, failures = plan(loaded.experiments, Preparer(None), settings.out, tried)
    assert not failures
    assert [(item.experiment.label, item.key.seed, item.extra) for item in planned] == [
        ("popularity", 0, False), ("vbpr", 0, False), ("vbpr, real", 1, True), ("vbpr, real", 2, True),
        ("vbpr, real", 3, True), ("vbpr, image shuffled", 0, True), ("vbpr, image shuffled", 1, True),
        ("vbpr, text shuffled", 0, True), ("vbpr, text shuffled", 1, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[shuffled]", "[constant]"), "kinds must hold 'shuffled'"),
        (("[shuffled]", "[shufled]"), "'alone', 'shuffled'"),
        (("kinds: [shuffled]", "margin: 0"), "greater than 0"),
        ((", knockout: true", ""), "without one it does nothing"),
        (("[0, 1]", "[1, 1]"), "must not repeat"),
    ],
)
def test_knockouts_of_a_suite_that_make_no_sense_are_refused(
    suite: Path, change: tuple[str, str], message: str
) -> None:
    suite.write_text(suite.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_suite(suite)
