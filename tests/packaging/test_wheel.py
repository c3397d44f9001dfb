"""The wheel in a fresh environment, away from the checkout; and a third party's model through the entry point."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parents[2]
PLUGIN = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "random-recommender"
version = "1.0"

[project.entry-points."mmrec_bench.models"]
random = "random_recommender"
broken = "random_recommender.no_such_module"

[tool.hatch.build.targets.wheel]
only-include = ["random_recommender.py"]
""",
    "random_recommender.py": '''
"""A third party's model: random vectors."""

from typing import Literal

import torch

from mmrec_bench.models.base import MODELS, ClosedFormRecommender, ModelConfig
from mmrec_bench.retrieval.base import Representations


class RandomConfig(ModelConfig):
    """Settings of `Random`."""

    name: Literal["random"] = "random"
    embedding_dim: int = 8
    """Size of the vectors."""


@MODELS.add("random", task="retrieval", config=RandomConfig, paper=None)
class Random(ClosedFormRecommender):
    """Scores at random."""

    def __init__(self, config, context):
        super().__init__()
        train, dim = context.train, config.embedding_dim
        generator = context.seeds.generator("random")
        self.register_buffer("users", torch.randn(train.n_users, dim, generator=generator))
        self.register_buffer("items", torch.randn(train.n_items, dim, generator=generator))

    def fit(self, context):
        """Nothing to learn."""

    def export(self):
        """Return the vectors."""
        return Representations(self.users, self.items)
''',
    "random.yaml": """
schema_version: 1
dataset: {card: synthetic}
protocol: {split: random-811, cutoffs: [20]}
model: {name: random, embedding_dim: 4}
""",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel and its dependencies; returns its folder of programs."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT)]
    run(build, folder)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    programs = folder / "env" / "bin"
    pip(programs, folder, f"{wheel}[cpu]")
    return programs


def run(command: list[str], folder: Path, code: int = 0) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def pip(programs: Path, folder: Path, *what: str) -> None:
    constraints = ["--constraint", str(CHECKOUT / "constraints.txt")]
    run([str(programs / "python"), "-m", "pip", "install", "--quiet", *constraints, *what], folder)


def test_the_quick_suite_runs_from_the_wheel_alone(environment: Path, tmp_path: Path) -> None:
    where = run([str(environment / "python"), "-c", "import mmrec_bench; print(mmrec_bench.__file__)"], tmp_path)
    assert str(CHECKOUT) not in where
    printed = run([str(environment / "mmrec-bench"), "bench", "configs/suites/quick.yaml"], tmp_path)
    assert "synthetic: accuracy" in printed
    report = (tmp_path / "reports" / "quick" / "report.md").read_text(encoding="utf-8")
    assert "mgcn" in report
    assert "Failed" not in report
    assert "synthetic/lightgcn" not in run([str(environment / "mmrec-bench"), "datasets"], tmp_path)


def test_a_third_party_adds_a_model_through_the_entry_point(environment: Path, tmp_path: Path) -> None:
    for name, text in PLUGIN.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    pip(environment, tmp_path, "--no-deps", str(tmp_path))
    listed = run([str(environment / "mmrec-bench"), "models"], tmp_path)
    assert "random " in listed
    assert "plug-in broken" in listed
    printed = run([str(environment / "mmrec-bench"), "run", "random.yaml"], tmp_path)
    assert "synthetic: accuracy" in printed
    wrong = [str(environment / "mmrec-bench"), "run", "random.yaml", "--set", "model.embeding_dim=3"]
    assert "did you mean 'embedding_dim'" in run(wrong, tmp_path, code=2)
