"""Extracting features: encode the contents of all items, shard by shard, and write the folder of facts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from mmrec_bench.data.cards import load_card
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.environment import device_facts, git_state, package_versions
from mmrec_bench.experiments.features.artefact import items_digest
from mmrec_bench.experiments.features.contents import Contents, contents_of
from mmrec_bench.experiments.features.extract_config import ExtractConfig
from mmrec_bench.experiments.features.extracted import (
    FILES,
    VECTORS,
    ExtractedFeatures,
    ExtractedKey,
    encoders_digest,
)
from mmrec_bench.experiments.features.shards import Tally, joined_shards, made_shards
from mmrec_bench.experiments.folders import CONFIG, SCHEMA_VERSION
from mmrec_bench.extraction.base import ContentEncoder
from mmrec_bench.training.memory import memory_errors

SHARDS = "shards"
PACKAGES = ("transformers", "sentence-transformers", "tokenizers", "huggingface-hub", "pillow")
"""What can move a vector beside the packages of every manifest."""


def extract(
    config: ExtractConfig,
    dataset: Dataset[Any],
    data_dir: Path | None,
    root: Path,
    device: torch.device,
    observer: Callable[[int, int], None] | None = None,
) -> ExtractedFeatures:
    """Return the features of a config, and extract them first where they are not there.

    An extraction that was killed goes on after its last whole shard.

    Args:
        config: What to extract.
        dataset: The data set, whose items are meant.
        data_dir: Where data folders lie.
        root: Root of extracted features.
        device: Where encoders with weights compute.
        observer: Is told how many items are done, and of how many.

    Raises:
        MMRecBenchError: Whatever went wrong; the folder then does not exist.
    """
    contents = contents_of(config, load_card(config.dataset.card), dataset, data_dir, root)
    key = ExtractedKey.of(config, dataset, contents)
    if key.state(root) != "done":
        with write.run_lock(key, root, wait=True):
            if key.state(root) != "done":  # again: another process may have made them
                with write.building(key, root, keep=True) as folder:
                    _build(config, dataset, contents, key, device, observer, folder)
    return ExtractedFeatures.load(key.folder(root))


def _build(
    config: ExtractConfig,
    dataset: Dataset[Any],
    contents: Contents,
    key: ExtractedKey,
    device: torch.device,
    observer: Callable[[int, int], None] | None,
    folder: Path,
) -> None:
    started = time.perf_counter()

    def encoder() -> ContentEncoder[Any]:
        built = config.encoder.build(device)
        built.fit(contents.to_learn_from())
        return built

    (shards := folder / SHARDS).mkdir(exist_ok=True)
    with memory_errors(device, "encoding items", "Lower encoder.batch_size"):
        paths, tally = made_shards(contents, encoder, shards, observer)
    dim = joined_shards(paths, config.dtype, folder / VECTORS)
    shutil.rmtree(shards)
    write.write_config(folder / CONFIG, config.model_dump(mode="json"), f"mmrec-bench features extract {CONFIG}")
    facts = _facts(config, dataset, contents, key, tally, device) | {"dim": dim}
    write.write_manifest(folder, {**facts, "seconds": {"encode": time.perf_counter() - started}}, FILES)


def _facts(
    config: ExtractConfig,
    dataset: Dataset[Any],
    contents: Contents,
    key: ExtractedKey,
    tally: Tally,
    device: torch.device,
) -> dict[str, Any]:
    """Return the feature card."""
    missing, ids = sum(tally.reasons.values()), dataset.item_ids
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "extracted-features",
        "dataset": dataset.name,
        "modality": config.modality,
        "encoder": config.encoder.model_dump(mode="json"),
        "weights": config.encoder.identity().get("model"),
        "contents": dict(contents.described),
        "dtype": config.dtype,
        "items": {"catalogue": len(ids), "missing": missing, "missing_share": missing / max(len(ids), 1)},
        "missing": dict(sorted(tally.reasons.items())),
        "examples": {reason: [str(ids[row]) for row in rows] for reason, rows in sorted(tally.examples.items())},
        "counts": dict(sorted((contents.counts + tally.counts).items())),
        "fingerprints": {
            "config": key.fingerprint,
            "items": items_digest(ids),
            "contents": contents.digest,
            "code": encoders_digest(),
        },
        "git": git_state(),
        "packages": package_versions() | versions_of(PACKAGES),
        "device": device_facts(device),
        "command": config.command,
    }


def versions_of(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages among these that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
