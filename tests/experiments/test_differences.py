"""Differences: each kind is found in its group, and two makings of one run differ in nothing that counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.differences import (
    Differences,
    Side,
    differences,
    differences_of_suites,
    side_of_experiment,
    side_of_run,
)
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import load_experiment

from .conftest import write_config, write_world

TRAINER = "{max_epochs: 2, batch_size: 64}"


def made(
    folder: Path, out: str, *, seed: int = 0, overrides: tuple[str, ...] = (), shuffled: bool = False
) -> RunArtefact:
    """Write a world into a folder, and run MF there."""
    write_world(folder, shuffle_test=shuffled)
    experiment = load_experiment(write_config(folder, "mf", trainer=TRAINER), overrides)
    settings = RunSettings(folder / out, torch.device("cpu"), threads=torch.get_num_threads())
    prepared = Preparer(None)(experiment)
    return run(experiment, prepared, run_key(experiment, prepared, seed), settings)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> RunArtefact:
    return made(tmp_path_factory.mktemp("first"), "runs")


def of(left: RunArtefact, right: RunArtefact) -> Differences:
    return differences(side_of_run(left), side_of_run(right))


def groups(found: Differences) -> dict[str, set[str]]:
    told: dict[str, set[str]] = {}
    for one in found.moving:
        told.setdefault(one.group, set()).add(one.what)
    return told


def test_two_makings_of_one_run_differ_in_nothing_that_counts(first: RunArtefact, tmp_path: Path) -> None:
    second = made(tmp_path / "elsewhere", "other-runs", overrides=("trainer.checkpoint_seconds=1.0",))
    found = of(first, second)
    assert found.moving == ()
    assert found.outcome == ()
    assert {"folder", "dataset.card", "trainer.checkpoint_seconds"} <= {one.what for one in found.idle}
    blocks = made(tmp_path / "blocks", "block-runs", overrides=("retriever.memory_mib=64",))
    assert groups(of(first, blocks)) == {"config": {"retriever.memory_mib"}}, (
        "sums of blocks of another size are rounded"
    )


def test_settings_are_found_by_key_and_what_came_of_them_is_told(first: RunArtefact, tmp_path: Path) -> None:
    found = of(first, made(tmp_path, "runs", overrides=("model.embedding_dim=8", "trainer.learning_rate=0.5")))
    assert groups(found) == {"config": {"model.embedding_dim", "trainer.learning_rate"}}
    assert "n_parameters.total" in {one.what for one in found.outcome}
    assert {one.left for one in found.moving} >= {"64", "0.001"}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("protocol.cutoffs=[10]",), {"protocol": {"protocol.cutoffs", "id"}}),
        (
            ("protocol.split=random-811",),
            {"split": {"protocol.split.name", "protocol.split.seed", "content of split"}, "protocol": {"id"}},
        ),
        (
            ("dataset.alter=[{name: shuffled, modality: image}]",),
            {"features": {"dataset.alter", "content of features/image"}},
        ),
        (("dataset.modalities=[text]",), {"features": {"content of features/image"}}),
    ],
)
def test_data_and_protocol_are_told_apart(
    first: RunArtefact, tmp_path: Path, overrides: tuple[str, ...], expected: Mapping[str, set[str]]
) -> None:
    found = groups(of(first, made(tmp_path, "runs", overrides=overrides)))
    assert {group: whats & expected.get(group, set()) for group, whats in found.items()} == expected


def test_other_content_under_the_same_names_is_found(first: RunArtefact, tmp_path: Path) -> None:
    found = groups(of(first, made(tmp_path, "runs", shuffled=True)))
    assert found == {"data": {"content of data"}, "split": {"content of split"}}


def test_seeds_differ(first: RunArtefact, tmp_path: Path) -> None:
    assert groups(of(first, made(tmp_path, "runs", seed=3))) == {"seed": {"seed"}}


TOLD: list[tuple[str, dict[str, Any], str]] = [
    ("code", {"fingerprints": {"code": "other"}}, "digest"),
    ("packages", {"packages": {"numpy": "0.0"}}, "numpy"),
    ("threads", {"threads": 99}, "threads"),
    ("device", {"device": {"name": "an abacus"}}, "name"),
    ("device", {"retriever": {"served": {"test": {"faiss-gpu": 40}}}}, "retrieval of test"),
    ("determinism", {"determinism": "none"}, "level"),
    ("tuning", {"tuning": {"study": "ab", "trial": 3, "spent": {"seconds": 1.0}}}, "study"),
    ("inputs", {"fingerprints": {"base": "other"}}, "content of base"),
    ("inputs", {"inputs": [{"kind": "features", "name": "fused", "code": "other"}]}, "run: features/fused.code"),
    ("data", {"leak": [{"kind": "window"}]}, "leak"),
]


@pytest.mark.parametrize(("group", "changes", "what"), TOLD)
def test_each_fact_of_a_manifest_is_found_in_its_group(
    first: RunArtefact, group: str, changes: dict[str, Any], what: str
) -> None:
    facts = dict(first.manifest)
    for key, value in changes.items():
        facts[key] = {**facts[key], **value} if isinstance(value, dict) and facts[key] else value
    found = groups(of(first, dataclasses.replace(first, manifest=facts)))
    assert set(found) == {group}
    assert what.removeprefix("run: ") in found[group]


def test_what_cannot_move_a_number_is_told_apart(first: RunArtefact) -> None:
    facts = {**first.manifest, "git": {"sha": "f00", "dirty": True}}
    facts["packages"] = {**facts["packages"], "pyarrow": "0.0"}
    found = of(first, dataclasses.replace(first, manifest=facts))
    assert not found.moving
    assert {"git.sha", "packages.pyarrow"} <= {one.what for one in found.idle}


def side(folder: Path, *overrides: str) -> Side:
    experiment = load_experiment(folder / "mf.yaml", overrides)
    return side_of_experiment(experiment, Preparer(None)(experiment).fingerprints)


def test_a_run_does_not_differ_from_its_yaml(first: RunArtefact) -> None:
    folder = first.folder.parents[4]
    assert folder.joinpath("mf.yaml").is_file()
    found = differences(side(folder), side_of_run(first))
    assert found.moving == ()
    assert set(found.untold) == {"threads", "device", "determinism", "tuning"}
    assert groups(differences(side(folder, "seeds=[1, 2]"), side_of_run(first))) == {"seed": {"seed"}}
    assert groups(differences(side(folder, "model.embedding_dim=8"), side(folder))) == {
        "config": {"model.embedding_dim"}
    }


def test_without_the_data_names_stand_for_content(first: RunArtefact) -> None:
    experiment = load_experiment(first.folder.parents[4] / "mf.yaml")
    nameless = side_of_experiment(experiment, None)
    found = differences(nameless, side_of_experiment(experiment, None))
    assert found.moving == ()
    assert "content of data, split and features" in found.untold
    other = dataclasses.replace(nameless, paths={**nameless.paths, "dataset.card": "another"})
    assert groups(differences(nameless, other)) == {"data": {"dataset.card"}}


def test_suites_differ_by_label(first: RunArtefact) -> None:
    folder = first.folder.parents[4]
    left = {"a": side(folder), "b": side(folder)}
    right = {"a": side(folder, "model.embedding_dim=8"), "c": side(folder)}
    found = differences_of_suites(left, right)
    assert [(one.what, one.left, one.right) for one in found.moving] == [
        ("a: model.embedding_dim", "64", "8"), ("b", "there", "-"), ("c", "-", "there"),
    ]  # fmt: skip
