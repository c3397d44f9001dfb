"""A small probe: a synthetic world of few users, whose whole probe takes a second or two."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from mmrec_bench.data.points import Points
from mmrec_bench.data.splitting import make_point_split
from mmrec_bench.experiments.lis.config import LoadedProbe, load_lis
from mmrec_bench.experiments.lis.probe import Probe
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings

WORLD = (
    "schema_version: 1\nname: small\nformat: synthetic\n"
    "world: {n_users: 60, n_items: 30, max_interactions: 20, mean_interactions: 10.0, factor_dim: 4,\n"
    "  impressions: {n_lists: 600, list_length: 4, position_exponent: 0.0, popularity_floor: 1.0}}\n"
)
LEAKS = (
    "leaks:\n"
    "  - {name: id-embedding, days: [20.0, 40.0], controls: [own, other-seed, random, shuffled]}\n"
    "  - {name: neighbours, days: [40.0], n_neighbors: 2, controls: [honest, random, shuffled]}\n"
    "  - {name: next-item, days: [40.0], controls: [honest, random, shuffled]}\n"
)
FEATURES = (
    "features:\n"
    "  image: {tables: [image]}\n"
    "  aligned: {tables: [image, text], align: {frequent: 1.0, trainer: {max_epochs: 3, batch_size: 16}}}\n"
    "  noise: {random: 4}\n"
)
SETTINGS = RunSettings(Path("runs"), torch.device("cpu"), 1)


def write_probe(folder: Path, *, leaks: str = LEAKS, features: str = "", more: str = "seeds: [0]\n") -> Path:
    (folder / "small.yaml").write_text(WORLD, encoding="utf-8")
    path = folder / "probe.yaml"
    path.write_text(
        "schema_version: 1\nkind: lis\ndataset: {card: small.yaml, impressions: shown}\n"
        "protocol: {split: {name: time-window, cut_share: 0.7, valid_share: 0.15, test_share: 0.1}}\n"
        "model: {name: din-ctr, embedding_dim: 4, history_length: 3, hidden_dims: [8], content: false}\n"
        "trainer: {max_epochs: 2, batch_size: 128}\n"
        f"update: {{batch_size: 32}}\nn_draws: 50\n{leaks}{features}{more}",
        encoding="utf-8",
    )
    return path


def small_probe(folder: Path, **sections: str) -> tuple[LoadedProbe, Probe]:
    loaded = load_lis(write_probe(folder, **sections))
    return loaded, Probe.of(loaded, Preparer(None))


def with_another_future(probe: Probe, seed: int = 5) -> Probe:
    """Return a probe of data in which everything from the cut on is different, and everything before it is the same."""
    points, cut = probe.points, probe.leaked_split().cut
    late = np.flatnonzero(points.timestamps >= cut)
    rng = np.random.default_rng(seed)
    users, items, labels, times = (getattr(points, name).copy() for name in ("users", "items", "labels", "timestamps"))
    users[late] = rng.integers(points.n_users, size=len(late))
    items[late] = rng.integers(points.n_items, size=len(late))
    labels[late] = rng.integers(2, size=len(late))
    times[late] = np.sort(rng.integers(cut, times[-1] + 1, size=len(late)))
    times[late[0]], times[late[-1]] = cut, points.timestamps[-1]
    other = Points(users, items, labels, times, points.n_users, points.n_items, points.recipe)
    split = make_point_split(other, probe.config.protocol.split)
    dataset = dataclasses.replace(probe.prepared.dataset, payload=other)
    prepared = dataclasses.replace(probe.prepared, load=lambda: dataset, split=split)
    return Probe(probe.config, prepared, other)
