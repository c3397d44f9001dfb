"""Rows of runs in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.collect import Row, TableKey

KEY = TableKey("retrieval", "tiny", "retrieval/x/1234", "abcd", "recall@20")


@dataclass(frozen=True, slots=True)
class MadeUp(RunArtefact):
    """An artefact in memory."""

    scores: Any = None
    epochs: Any = ()

    def per_user(self, columns: object = None) -> pd.DataFrame:
        """Return the scores of the test part."""
        users = [f"user-{u}" for u in range(len(self.scores))]
        return pd.DataFrame({"part": "test", "user_id": users, "recall@20": self.scores})

    def history(self) -> list[dict[str, Any]]:
        """Return the epochs."""
        return list(self.epochs)


def history(best: float, n_epochs: int, seconds: float = 2.0, every: int = 2) -> list[dict[str, Any]]:
    """Return epochs, every second of which is validated."""
    made: list[dict[str, Any]] = []
    for epoch in range(n_epochs):
        made.append({"epoch": epoch, "train_seconds": seconds})
        if epoch % every == every - 1:
            made[-1]["valid"] = {"recall@20": best * (1 - 0.5 ** (epoch + 1))}
    return made


def run(
    label: str, level: float, seed: int, parameters: int = 1_000, n_users: int = 50, n_epochs: int = 6, **facts: Any
) -> MadeUp:
    """Return one run."""
    rng = np.random.default_rng([seed, *label.encode()])
    scores = np.round(np.clip(level + 0.1 * rng.standard_normal(n_users), 0, 1), 1)
    manifest = {
        "task": "retrieval", "dataset": "tiny", "model": label, "seed": seed,
        "seconds": {"train": 3.0 + seed + parameters}, "n_parameters": {"total": parameters},
        "device": {"name": "cpu"}, "threads": 1,
        **facts,
    }  # fmt: skip
    metrics = {"recall@20": float(scores.mean())}
    slices = {
        "users:low": {"n_users": 20, "recall@20": level / 2},
        "users:high": {"n_users": 30, "recall@20": level},
        "items:cold": {"n_users": 0},
    }
    folders = {"valid": metrics, "test": metrics, "test_slices": slices}
    return MadeUp(Path("none"), manifest, folders, scores, history(level + 0.02 * seed, n_epochs + 2 * seed))


def row(label: str, level: float, n_seeds: int = 3, **facts: Any) -> Row:
    """Return a row of several seeds."""
    made = tuple(run(label, level, seed, **facts) for seed in range(n_seeds))
    return Row(label, KEY, f"config-{label}", tuple(range(n_seeds)), made)


def rows(n_seeds: int = 3) -> list[Row]:
    """Return four rows, the best first."""
    levels = {"freedom": (0.5, 4_000), "vbpr": (0.45, 3_000), "mf": (0.4, 2_000), "bpr": (0.2, 5_000)}
    return [row(label, level, n_seeds, parameters=count) for label, (level, count) in levels.items()]
