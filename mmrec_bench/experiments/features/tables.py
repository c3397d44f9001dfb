"""Extracted features as tables of a data set: found where they lie, or made before an experiment reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from mmrec_bench.data.cards import load_card
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.errors import DataError, MMRecBenchError
from mmrec_bench.experiments.features.contents import contents_of
from mmrec_bench.experiments.features.extract import extract
from mmrec_bench.experiments.features.extract_config import ExtractConfig
from mmrec_bench.experiments.features.extracted import ExtractedFeatures, ExtractedKey, features_root


def with_extracted(
    dataset: Dataset[Any], sources: Mapping[str, ExtractConfig | str], data_dir: Path | None
) -> Dataset[Any]:
    """Return the data set with extracted feature tables beside its own, and in place of those of the same name.

    Args:
        dataset: The data set.
        sources: How each table was extracted, or the folder where it lies.
        data_dir: Where data folders lie.

    Raises:
        DataError: One has not been extracted yet; names the command that does it.
        ArtefactError: One is damaged, or of other items.
    """
    root, tables = features_root(), dict(dataset.features)
    for name, source in sources.items():
        if isinstance(source, str):
            folder = Path(source)
        else:
            contents = contents_of(source, load_card(source.dataset.card), dataset, data_dir, root)
            folder = ExtractedKey.of(source, dataset, contents).folder(root)
            if not folder.exists():
                raise DataError(
                    f"dataset.features.{name}: the features of '{dataset.name}' by {source.encoder.name} have not been "
                    f"extracted: {folder} is not there. Extract them: {source.command}"
                )
        found = ExtractedFeatures.load(folder)
        found.check(dataset.name, dataset.item_ids)
        tables[name] = found.table(name)
    missing = {name: table.n_missing for name, table in tables.items()}
    return dataclasses.replace(dataset, features=tables, report=dataclasses.replace(dataset.report, missing=missing))


def extract_missing(
    sources: Iterable[ExtractConfig],
    load: Callable[[str], Dataset[Any]],
    data_dir: Path | None,
    device: torch.device,
    observer: Callable[[ExtractConfig], Callable[[int, int], None]],
) -> list[MMRecBenchError]:
    """Extract what is not there of some configs, each once, and return what went wrong; the others are made.

    Args:
        sources: What to extract.
        load: Returns a data set by its card.
        data_dir: Where data folders lie.
        device: Where encoders with weights compute.
        observer: Returns what is told how many items of a config are done.
    """
    done: set[str] = set()
    errors: list[MMRecBenchError] = []
    for source in sources:
        if (text := source.model_dump_json()) not in done:
            done.add(text)
            try:
                extract(source, load(source.dataset.card), data_dir, features_root(), device, observer(source))
            except MMRecBenchError as error:
                errors.append(error)
    return errors
