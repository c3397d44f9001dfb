"""Every YAML that comes with the package is right, and asks for no seeds that move nothing."""

from __future__ import annotations

import pytest

from mmrec_bench.cli.app import validate
from mmrec_bench.experiments.schema.experiment import is_suite, load_experiment
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.resources import find_yaml, names
from mmrec_bench.settings import load_yaml

FOLDERS = sorted({name.partition("/")[0] for name in names("configs")})


def names_in(folder: str) -> list[str]:
    return [name for name in names("configs") if name.startswith(f"{folder}/")]


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_bundled_is_right(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in names_in(folder):
        validate(name, [])
        assert "ok: " in capsys.readouterr().out, name


@pytest.mark.parametrize("folder", FOLDERS)
def test_one_seed_is_enough_where_none_moves_anything(folder: str) -> None:
    for name in names_in(folder):
        document = load_yaml(find_yaml("configs", name))
        if not is_suite(document) and ("kind" in document.data or not {"model", "protocol"} <= set(document.data)):
            continue
        found = load_suite(name).experiments if is_suite(document) else [load_experiment(name)]
        for each in found:
            assert not each.config.entry.deterministic or len(each.config.seeds) == 1, (name, each.label)
