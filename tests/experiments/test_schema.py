"""Every YAML that ships is valid, says how to run itself, and survives a round trip."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmrec_bench.data.cards import load_card
from mmrec_bench.errors import ConfigError
from mmrec_bench.experiments.building import write_config as write_resolved
from mmrec_bench.experiments.features.config import load_features
from mmrec_bench.experiments.features.evaluate_config import load_evaluation
from mmrec_bench.experiments.features.extract_config import load_extraction
from mmrec_bench.experiments.lis.config import load_lis
from mmrec_bench.experiments.schema.experiment import ExperimentConfig, load_experiment
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.needs import models_for
from mmrec_bench.resources import bundled, names
from mmrec_bench.settings import load_yaml, parse_yaml
from tests.models.test_contract import PROMISED

ALL = names("configs")
EXPERIMENTS = [name for name in ALL if not name.startswith(("suites/", "tuning/", "features/", "lis/"))]
FEATURES = [name for name in ALL if name.startswith("features/") and name.endswith("-ica")]
EVALUATIONS = [name for name in ALL if name.startswith("features/") and name.endswith("-evaluate")]
EXTRACTIONS = [name for name in ALL if name.startswith("features/") and name not in (*FEATURES, *EVALUATIONS)]
PROBES = [name for name in ALL if name.startswith("lis/")]
SUITES = [name for name in ALL if name.startswith("suites/")]
BASE = "schema_version: 1\ndataset: {card: synthetic}\nprotocol: {split: random-811}\n"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_complete_and_round_trips(name: str, tmp_path: Path) -> None:
    experiment = load_experiment(name)
    text = (bundled("configs") / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith(f"# mmrec-bench run configs/{name}.yaml"), "the first comment is the exact command"
    card = load_card(experiment.config.dataset.card)
    model = f"{card.name}/{experiment.config.model.name}"
    assert name == model or name.startswith(f"{model}-"), "named after its model, and what is special about it"
    assert set(experiment.config.needs.modalities) <= set(experiment.config.given)
    write_resolved(tmp_path / "again.yaml", experiment.config.model_dump(mode="json"), "resolved")
    assert load_yaml(tmp_path / "again.yaml").parse(ExperimentConfig) == experiment.config


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_loads(name: str) -> None:
    suite = load_suite(name)
    text = (bundled("configs") / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith(f"# make bench SUITE=configs/{name}.yaml")
    assert suite.experiments


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_is_complete_and_round_trips(name: str, tmp_path: Path) -> None:
    loaded = load_lis(name)
    text = loaded.path.read_text(encoding="utf-8")
    assert text.startswith(f"# mmrec-bench lis configs/{name}.yaml")
    assert name.startswith(f"lis/{load_card(loaded.config.dataset.card).name}")
    write_resolved(tmp_path / "again.yaml", loaded.config.model_dump(mode="json"), "resolved")
    assert load_lis(tmp_path / "again.yaml").config == loaded.config


@pytest.mark.parametrize("name", FEATURES)
def test_every_features_yaml_is_complete_and_round_trips(name: str, tmp_path: Path) -> None:
    config, path = load_features(name)
    assert path.read_text(encoding="utf-8").startswith(f"# mmrec-bench features align configs/{name}.yaml")
    assert name == f"features/{load_card(config.dataset.card).name}-{config.encoder.name}"
    write_resolved(tmp_path / "again.yaml", config.model_dump(mode="json"), "resolved")
    assert load_features(tmp_path / "again.yaml")[0] == config


@pytest.mark.parametrize("name", EXTRACTIONS)
def test_every_extraction_is_complete_and_round_trips(name: str, tmp_path: Path) -> None:
    config = load_extraction(name)
    text = (bundled("configs") / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith(f"# mmrec-bench features extract configs/{name}.yaml")
    assert name.startswith(f"features/{load_card(config.dataset.card).name}-")
    write_resolved(tmp_path / "again.yaml", config.model_dump(mode="json"), "resolved")
    assert load_extraction(str(tmp_path / "again.yaml")) == config


@pytest.mark.parametrize("name", EVALUATIONS)
def test_every_evaluation_of_features_is_complete_and_round_trips(name: str, tmp_path: Path) -> None:
    config, path = load_evaluation(name)
    assert path.read_text(encoding="utf-8").startswith(f"# mmrec-bench features evaluate configs/{name}.yaml")
    assert name == f"features/{load_card(config.dataset.card).name}-evaluate"
    assert any(item.random for item in config.features.values()), "a control stands beside the others"
    write_resolved(tmp_path / "again.yaml", config.model_dump(mode="json"), "resolved")
    assert load_evaluation(tmp_path / "again.yaml")[0] == config


def test_the_quick_suite_holds_every_retrieval_and_ctr_model_and_some_others() -> None:
    """All that are promised, and whatever has a YAML for these worlds."""
    promised = PROMISED | {"item-rate", "fm", "deepfm", "dcn-v2", "din-ctr"}
    suite = load_suite("suites/quick").experiments
    held = {item.config.model.name for item in suite}
    every = {name for name in MODELS if MODELS[name].task in ("retrieval", "ctr")}
    assert held >= promised
    folders = ("synthetic", "synthetic-clicks")
    written = {load_experiment(name).config.model.name for name in EXPERIMENTS if name.split("/")[0] in folders}
    assert held >= written & every
    others = {"initial", "mlp", "lambdamart", "ipw", "starank", "inforank"} | {"item-only", "core", "magus"}
    assert held - every == others


def test_the_suite_of_tiktok_holds_every_model_that_applies_and_says_which_do_not() -> None:
    suite = load_suite("suites/tiktok")
    held = {item.config.model.name for item in suite.experiments}
    left_out = PROMISED - held
    assert left_out == PROMISED - set(models_for("retrieval", ["image", "audio"])) | {"recent-popularity"}
    assert all(name in suite.config.description for name in left_out)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("model: lightgcn\nprotocl: {}", "protocl", "did you mean 'protocol'"),
        ("model: {name: lightgnc}", "model", "did you mean 'lightgcn'"),
        ("model: {name: lightgcn, n_layers: -1}", "model.n_layers", "got -1"),
        ("model: {name: bm3, dropout: 1.0}", "model.dropout", "got 1.0"),
        ("model: lightgcn\ntrainer: {schedule: {name: exponential, rate: 0}}", "trainer.schedule.rate", "got 0"),
        ("model: lightgcn\ntrainer: {step: mirror}", "trainer.step", "mirror-gradient"),
        ("model: lightgcn\nseeds: []", "seeds", "at least 1"),
        ("model: lightgcn\nseeds: [1, 1]", "seeds", "seeds must not repeat"),
        ("model: {name: [lightgcn]}", "model", "name: needs text; got ['lightgcn']"),
        ("model: [lightgcn]", "model", "the key 'name'; got ['lightgcn']"),
        ("model:", "model", "the key 'name'; got nothing"),
        ("model: lightgcn\nseeds: [-1]", "seeds[0]", "got -1"),
        ("model: lightgcn\nretriever: {backend: annoy}", "retriever.backend", "'faiss' or 'torch'"),
        ("model: ease", "", "retriever: {backend: torch}"),
        ("model: popularity\ntrainer: {max_epochs: 3}", "", "remove it"),
    ],
)
def test_what_is_refused(text: str, path: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(BASE + text, "x.yaml").parse(ExperimentConfig)
    (issue,) = caught.value.issues
    assert issue.path == path
    assert message in issue.message


def test_modalities_are_named_once() -> None:
    with pytest.raises(ConfigError, match=r"dataset: modalities must not repeat; got \['image', 'image'\]"):
        load_experiment("synthetic/vbpr", ("dataset.modalities=[image, image]",))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("cutoffs: [20, 10]", "must rise"),
        ("cutoffs: []", "at least 1"),
        ("cutoffs: [0]", "greater than 0"),
        ("select_by: recall@21", "did you mean"),
        ("metrics: [recal]", "did you mean 'recall'"),
        ("exclude: [valid]", "must hold 'train'"),
        ("exclude: [test]", "'train' or 'valid'"),
        ("split: {name: random-811, sed: 1}", "did you mean 'seed'"),
    ],
)
def test_protocols_that_make_no_sense_are_refused(settings: str, message: str) -> None:
    split = "" if "split" in settings else "split: x-label, "
    text = f"schema_version: 1\ndataset: {{card: synthetic}}\nmodel: mf\nprotocol: {{{split}{settings}}}\n"
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text, "x.yaml").parse(ExperimentConfig)


def test_protocol_ids_differ_exactly_when_the_numbers_may() -> None:
    def protocol_id(settings: str) -> str:
        return (
            parse_yaml(BASE.replace("{split: random-811}", f"{{{settings}}}") + "model: mf", "x")
            .parse(ExperimentConfig)
            .protocol.id
        )

    base = protocol_id("split: random-811")
    assert base == protocol_id("split: {name: random-811, seed: 0}, exclude: [train]")
    changed = {
        protocol_id(f"split: random-811, {change}")
        for change in (
            "exclude: [train, valid]",
            "tie_seed: 1",
            "cold_users: keep",
            "cutoffs: [20]",
            "select_by: ndcg@20",
        )
    } | {protocol_id("split: {name: random-811, seed: 1}"), protocol_id("split: x-label")}
    assert len(changed | {base}) == 8
    assert base.startswith("retrieval/random-811/exclude-train/")


def test_the_resolved_config_of_a_trained_model_has_its_trainer_and_of_a_closed_form_none() -> None:
    def parsed(model: str) -> ExperimentConfig:
        return parse_yaml(BASE + f"model: {model}", "x").parse(ExperimentConfig)

    assert parsed("mf").trainer is not None
    assert parsed("popularity").trainer is None
    released = parsed("{name: lightgcn, preset: released}").model
    assert released.model_dump()["reg_form"] == "frobenius"
    kept = parsed("{name: lightgcn, preset: released, reg_form: squared}").model
    assert kept.model_dump()["reg_form"] == "squared"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("mgcn", r"model 'motor\(mgcn\)' needs text; data set 'synthetic' gives image"),
        ("ease", r"model\.host: model 'ease' has no table of item identities"),
        ("{name: mgcn, n_layer: 1}", r"model\.host\.n_layer: unknown key; did you mean 'n_layers'"),
    ],
)
def test_errors_inside_a_model_inside_another_are_named(model: str, message: str) -> None:
    text = BASE.replace("card: synthetic", "card: synthetic, modalities: [image]")
    with pytest.raises(ConfigError, match=message):
        parse_yaml(f"{text}model: {{name: motor, host: {model}}}", "x").parse(ExperimentConfig)


def test_mistakes_in_a_card_are_told_with_its_file_key_and_line(tmp_path: Path) -> None:
    card = tmp_path / "shop.yaml"
    card.write_text("schema_version: 1\nname: shop\nformat: mmrec\nfeature: {a: b}\ncount: 3\n")
    experiment = tmp_path / "mine.yaml"
    experiment.write_text(BASE.replace("card: synthetic", f"card: {card}") + "model: mf\n")
    with pytest.raises(ConfigError) as error:
        load_experiment(experiment)
    for told in (
        f"{card}: ",
        "feature: unknown key; did you mean 'features'?",
        "(line 4)",
        "count: unknown",
        "(line 5)",
    ):
        assert told in str(error.value)
    with pytest.raises(ConfigError, match=r"is the card of a data set; name it under dataset\.card of an experiment"):
        load_experiment(card)


def test_a_default_that_is_not_measured_is_told_as_such(tmp_path: Path) -> None:
    experiment = tmp_path / "mine.yaml"
    experiment.write_text(BASE.replace("random-811", "random-811, cutoffs: [5]") + "model: mf\n")
    with pytest.raises(ConfigError, match=r"recall@20, the default of select_by, .*set protocol\.select_by .*recall@5"):
        load_experiment(experiment)
