"""A tiny world on disk in the MMRec layout, and experiments over it that run in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.experiment import Experiment, load_experiment

N_USERS, N_ITEMS = 40, 30


def write_world(folder: Path, *, shuffle_test: bool = False) -> Path:
    """Write a card and its files; ``shuffle_test`` gives the test rows to other items, nothing else changes."""
    rng = np.random.default_rng(7)
    lines = ["userID\titemID\tx_label\n"]
    tests = []
    for user in range(N_USERS):
        taste = np.where(np.arange(N_ITEMS) % 2 == user % 2, 5.0, 1.0)
        items = rng.choice(N_ITEMS, size=8, replace=False, p=taste / taste.sum())
        labels = [0] * 6 + [1, 2]
        taken = set(items.tolist())
        for item, label in zip(items, labels, strict=True):
            if label == 2:
                free = [other for other in range(N_ITEMS) if other not in taken]
                tests.append((user, free[user % len(free)] if shuffle_test else item))
            else:
                lines.append(f"{user}\t{item}\t{label}\n")
    lines += [f"{user}\t{item}\t2\n" for user, item in tests]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.inter").write_text("".join(lines), encoding="utf-8")
    parity = np.where(np.arange(N_ITEMS) % 2 == 0, 1.0, -1.0)[:, None]
    features = np.hstack([parity, rng.normal(size=(N_ITEMS, 5))]).astype(np.float32)
    features[3] = 0.0  # an item without an image
    np.save(folder / "image_feat.npy", features)
    np.save(folder / "text_feat.npy", features[:, ::-1].copy() + 0.1)
    card = folder / "tiny.yaml"
    card.write_text(
        "schema_version: 1\nname: tiny\nformat: mmrec\n"
        "interactions: tiny.inter\nfeatures: {image: image_feat.npy, text: text_feat.npy}\n",
        encoding="utf-8",
    )
    return card


def write_config(
    folder: Path, model: str, *, trainer: str = "{max_epochs: 4, batch_size: 64}", extra: str = ""
) -> Path:
    path = folder / f"{model.split(',', maxsplit=1)[0]}.yaml"
    section = f"trainer: {trainer}\n" if trainer else ""
    path.write_text(
        "schema_version: 1\ndataset: {card: tiny.yaml}\n"
        "protocol: {split: x-label, cutoffs: [5, 10], select_by: recall@10}\n"
        f"model: {{name: {model}}}\n{section}{extra}",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_world(tmp_path)
    return tmp_path


@pytest.fixture
def experiment(world: Path) -> Experiment:
    return load_experiment(write_config(world, "lightgcn"))


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(tmp_path / "runs", torch.device("cpu"), threads=torch.get_num_threads())


@pytest.fixture
def preparer() -> Preparer:
    return Preparer(None)
