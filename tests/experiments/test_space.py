"""Search spaces: what fits an experiment, and that whatever does not is told at once."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from mmrec_bench.errors import ConfigError
from mmrec_bench.experiments.schema.experiment import Experiment, load_experiment
from mmrec_bench.experiments.tuning.space import Space, load_space, read_space
from mmrec_bench.resources import bundled, names

SHIPPED = [name for name in names("configs") if name.startswith("tuning/")]


@functools.cache
def shipped(name: str) -> Experiment:
    return load_experiment(name)


def space(folder: Path, axes: str, experiment: Experiment, model: str = "lightgcn") -> Space:
    path = folder / "space.yaml"
    path.write_text(f"schema_version: 1\nmodel: {model}\naxes:\n{axes}", encoding="utf-8")
    return load_space(path, experiment)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_space_fits_every_shipped_experiment_of_its_model(name: str) -> None:
    config, _, path = read_space(name)
    assert name == f"tuning/{config.model}"
    command = path.read_text(encoding="utf-8").splitlines()[0].split()
    assert command[:3] == ["#", "mmrec-bench", "tune"]
    assert command[4] == f"configs/{name}.yaml"
    assert load_space(command[4], shipped(command[3])).distributions
    tried = 0
    for other in names("configs"):
        data = (bundled("configs") / f"{other}.yaml").read_text(encoding="utf-8")
        if re.search(rf"^model: {{name: {config.model}[,}}]", data, re.MULTILINE) and "\nkind:" not in data:
            assert load_space(name, shipped(other)).distributions
            tried += 1
    assert tried


def test_an_experiment_at_values_differs_in_them_alone(world: Path, experiment: Experiment) -> None:
    found = space(
        world,
        "  model.n_layers: {range: [1, 4]}\n  trainer.step.clip_norm: {choices: [null, 1.0]}\n"
        "  trainer.learning_rate: {range: [1.0e-4, 1.0e-1], log: true}\n",
        experiment,
    )
    drawn = {"model.n_layers": 3, "trainer.step.clip_norm": "1.0", "trainer.learning_rate": 0.02}
    config = found.at(found.values(drawn)).config
    assert (config.model.n_layers, config.trainer.step.clip_norm, config.trainer.learning_rate) == (3, 1.0, 0.02)
    data, base = config.model_dump(mode="json"), experiment.config.model_dump(mode="json")
    data["model"]["n_layers"] = base["model"]["n_layers"]
    data["trainer"]["step"]["clip_norm"] = base["trainer"]["step"]["clip_norm"]
    data["trainer"]["learning_rate"] = base["trainer"]["learning_rate"]
    assert data == base


def test_all_errors_of_a_space_at_once(world: Path, experiment: Experiment) -> None:
    with pytest.raises(ConfigError) as caught:
        space(
            world,
            "  seeds: {choices: [[0], [1]]}\n"
            "  protocol.tie_seed: {range: [0, 5]}\n"
            "  dataset.card: {choices: [tiktok]}\n"
            "  inputs.features: {choices: [{}]}\n"
            "  model.name: {choices: [lightgcn, mf]}\n"
            "  model.preset: {choices: [clean, released]}\n"
            "  model.n_layer: {range: [1, 4]}\n"
            "  model.n_layers: {range: [0.5, 2.5]}\n"
            "  model.embedding_dim: {choices: [16, -1, many]}\n"
            "  model.reg_weight: {range: [0, 1]}\n"
            "  model.host.n_layers: {choices: [1]}\n"
            "  trainer.validate_every: {choices: [1, 2]}\n",
            experiment,
        )
    issues = {issue.path.removeprefix("axes."): issue for issue in caught.value.issues}
    assert set(issues) == {
        "seeds", "protocol.tie_seed", "dataset.card", "inputs.features", "model.name", "model.preset", "model.n_layer",
        "model.n_layers", "model.embedding_dim", "model.reg_weight", "model.host.n_layers", "trainer.validate_every",
    }  # fmt: skip
    assert "n_layers" in issues["model.n_layer"].message, "the nearest key is named"
    assert "fractions" in issues["model.reg_weight"].message
    assert len([issue for issue in caught.value.issues if issue.path == "axes.model.embedding_dim"]) == 2
    assert issues["model.n_layers"].line == 11


@pytest.mark.parametrize(
    ("axis", "what"),
    [
        ("{}", "got neither"),
        ("{choices: [1], range: [1, 2]}", "got both"),
        ("{choices: []}", "at least 1"),
        ("{choices: [1, 1]}", "repeat"),
        ("{choices: [1], log: true}", "belong to a range"),
        ("{range: [3, 2]}", "rise"),
        ("{range: [0, 2], log: true}", "above 0"),
        ("{range: [1, 4], step: 2}", "do not meet"),
        ("{range: [1, 4], step: 1.5}", "integer"),
        ("{range: [0.0, 1.0], step: 1.0e-300}", "at most 1,000,000,000 steps"),
        ("{range: [a, 4]}", r": 1 error\n.*range\[0\]: needs a number; got 'a'"),
        ("{range: [1, true]}", r": 1 error\n.*range\[1\]: needs a number; got True"),
        ("{range: [1, .inf]}", r": 1 error\n.*range\[1\]: needs a number; got inf"),
        ("{range: [1]}", "range"),
        ("{between: [1, 2]}", "unknown key"),
    ],
)
def test_axes_that_are_none(world: Path, experiment: Experiment, axis: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        space(world, f"  model.n_layers: {axis}\n", experiment)


def test_spaces_of_other_models_and_what_is_no_space(world: Path, experiment: Experiment) -> None:
    with pytest.raises(ConfigError, match="made for 'mf'"):
        space(world, "  model.embedding_dim: {choices: [8]}\n", experiment, model="mf")
    with pytest.raises(ConfigError, match="lightgcm"):
        space(world, "  model.embedding_dim: {choices: [8]}\n", experiment, model="lightgcm")
    with pytest.raises(ConfigError, match="no search space"):
        load_space(experiment.source, experiment)
    with pytest.raises(ConfigError, match="is a search space"):
        load_experiment(world / "space.yaml")
