"""What CONTRIBUTING.md says of a new model: one file, one import line, one YAML, and the contract tests come free."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("mmrec_bench", "configs", "tests")
LINKED = (".github", "datasets", "docs", "leaderboard", "pyproject.toml", "CONTRIBUTING.md")

MODEL = '''"""MyModel: a model that nobody has written down yet."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt

from mmrec_bench.losses import bpr, dot
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.blocks import IdEmbedding, ItemHost
from mmrec_bench.retrieval.base import Representations


class MyModelConfig(ModelConfig):
    """Settings of `MyModel`."""

    name: Literal["mymodel"] = "mymodel"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""


@MODELS.add(
    "mymodel",
    task="retrieval",
    config=MyModelConfig,
    paper=Citation(title="My model", authors="Nobody", venue="nowhere 2026", url="https://example.org/mymodel"),
)
class MyModel(ItemHost):
    """Scores ``y_ui = e_u . e_i``. Source: https://example.org/mymodel."""

    def __init__(self, config: MyModelConfig, context: ModelContext) -> None:
        super().__init__()
        self.users = IdEmbedding(context.train.n_users, config.embedding_dim, "xavier_normal")
        self.items = IdEmbedding(context.train.n_items, config.embedding_dim, "xavier_normal")

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr``."""
        users, liked, other = self.users.rows(batch.users), *map(self.items.rows, (batch.positives, batch.negatives))
        return {"bpr": bpr(dot(users, liked), dot(users, other))}

    @torch.no_grad()
    def export(self) -> Representations:
        """Return both tables."""
        return Representations(self.users.all().clone(), self.items.all().clone())
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the repository with a new model, made of what CONTRIBUTING.md asks for and nothing else."""
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    models = tmp_path / "mmrec_bench" / "models"
    (models / "retrieval" / "mymodel.py").write_text(MODEL)
    with (models / "__init__.py").open("a") as file:
        file.write("from mmrec_bench.models.retrieval.mymodel import MyModel as MyModel\n")
    config = tmp_path / "configs" / "amazon-baby" / "mymodel.yaml"
    text = (ROOT / "configs" / "amazon-baby" / "mf.yaml").read_text()
    text = re.sub(r"^model: .*$", "model: {name: mymodel, embedding_dim: 64}", text, flags=re.MULTILINE)
    config.write_text(text.replace("amazon-baby/mf.yaml", "amazon-baby/mymodel.yaml"))
    return tmp_path


def run_tests(checkout: Path, *arguments: str) -> tuple[int, str]:
    """Run tests of the copy; return the exit code, and the last lines."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *arguments],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.slow
def test_a_new_model_is_one_file_one_import_line_and_one_yaml(checkout: Path) -> None:
    steps = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for promised in ("retrieval/mymodel.py", "models/__init__.py", "configs/amazon-baby/mymodel.yaml", "-k mymodel"):
        assert promised in steps
    code, told = run_tests(checkout, "tests", "-k", "mymodel")
    assert code == 0, told
    found = re.search(r"(\d+) passed", told)
    assert found is not None
    assert int(found[1]) > 50, "its contract, and its contract inside motor"
    rules = ("experiments/test_schema.py", "models/test_motor.py", "models/test_needs.py", "test_registry.py")
    code, told = run_tests(checkout, *(f"tests/{name}" for name in rules))
    assert code == 0, told
