"""The base of sessions: named by its run, judged within the catalogue, and knocked out by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmrec_bench.errors import ConfigError, ProtocolError
from mmrec_bench.experiments.knockout import KnockoutConfig
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.experiments.variants import variants

from .interactive_worlds import KNN, make, system, write_base, write_world


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_world(tmp_path)


def test_keys_beside_the_folder_of_a_run_are_those_of_the_run(small: Path, settings: RunSettings) -> None:
    made_base, _ = make(load_experiment(write_base(small)), settings)
    folder = str(made_base.folder)
    short, whole = system(small, base=f"{{run: {folder}}}"), system(small, base=folder)
    assert short.config == whole.config
    assert short.label == "core on itemknn"
    agreeing = f"{{run: {folder}, model: itemknn, seed: 0}}"
    assert system(small, base=agreeing).config == whole.config
    for keys, told in (
        ("model: popularity", "model"),
        ("model: {name: itemknn, n_neighbors: 7}", "model"),
        ("seed: 3", "seed"),
        ("select_by: ndcg@5", "select_by"),
        ("seed: 3, select_by: ndcg@5", "select_by, seed"),
    ):
        with pytest.raises(ConfigError, match=rf"inputs\.base: {told}: not as in the run .*; leave it out"):
            system(small, base=f"{{run: {folder}, {keys}}}")
    again = load_experiment(make(short, settings)[0].folder / "config.yaml")
    assert again.config == short.config
    for empty in (f"{{run: {small}}}", str(small)):
        with pytest.raises(ConfigError, match=r"inputs\.base: is no whole folder of a run"):
            system(small, base=empty)


def test_a_base_is_not_judged_beyond_the_catalogue(small: Path) -> None:
    experiment = system(small, base=KNN.replace("}}", "}, select_by: recall@91}"))
    with pytest.raises(ProtocolError, match=r"inputs\.base\.select_by: the base is judged at 91.*there are 90 items"):
        Preparer(None)(experiment)


def test_sessions_are_not_knocked_out(small: Path) -> None:
    """All seeds share a base, so its luck would not be in their spread."""
    content = KNN.replace("itemknn", "itemknn-content")
    with pytest.raises(ConfigError, match=r"reads features by its base alone.*Knock out the base"):
        variants(system(small, base=content), KnockoutConfig(seeds=(0, 1)))
    with pytest.raises(ConfigError, match="reads no features"):
        variants(system(small), KnockoutConfig(seeds=(0, 1)))


def test_a_file_that_is_not_there_is_told_with_the_file_that_names_it(small: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        system(small, base="none.yaml")
    assert Path(caught.value.source).parent == small
    (issue,) = caught.value.issues
    assert issue.path == "none.yaml, inputs.base"
    assert "no such file" in issue.message
