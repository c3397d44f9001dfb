"""How YAMLs name features: by the path of another YAML, by what stands in it, or by a folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from mmrec_bench.errors import ConfigError
from mmrec_bench.resources import find_yaml, is_file
from mmrec_bench.settings import BaseConfig, Document, explained_error, in_one_line, load_yaml

SUFFIXES = (".yaml", ".yml")

C = TypeVar("C", bound=BaseConfig)

Reader: TypeAlias = Callable[[str, Path | None], dict[str, Any]]
"""Returns the content of a YAML by its path, or name; a folder may be told where it may lie as well."""

Step: TypeAlias = Callable[[dict[str, Any], Path], dict[str, Any]]
"""Returns the data of a YAML of this folder with one of its sections told in full."""


def source_of(config: type[C], what: str, read: Reader) -> Callable[[Any], C | str]:
    """Return a validator that turns the path of a YAML, or its content, into a config, and leaves a folder as it is.

    Args:
        config: Class of the config.
        what: What has to be given, for messages.
        read: Reads such a YAML.
    """

    def source(value: Any) -> C | str:
        if isinstance(value, config) or (isinstance(value, str) and not value.endswith(SUFFIXES)):
            return value
        if not isinstance(value, (str, dict)):
            raise explained_error(f"needs {what}; got {str(value)[:80]!r}")
        with in_one_line():
            data = read(value, None) if isinstance(value, str) else value
        return config.model_validate(data)

    return source


def self_contained(document: Document, folder: Path, overrides: tuple[str, ...], steps: Sequence[Step]) -> Document:
    """Return the document of a file with what is overridden; it loads again from anywhere.

    The steps are taken before the overrides, so that these can change what a named file holds, and after them, since
    they may name others.

    Args:
        document: The document, as its file gives it.
        folder: Where its file lies.
        overrides: Each ``a.b=c``.
        steps: What makes paths beside the file absolute, or replaces them by what stands there.

    Raises:
        ConfigError: With what is wrong in a file that is named, said of this one.
    """
    return _told(_told(document, folder, steps).with_overrides(overrides), folder, steps)


def card_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data of a YAML with the card's path made absolute, where the card lies beside the YAML or here.

    A resolved config then loads again from anywhere.
    """
    dataset = data.get("dataset")
    card = dataset.get("card") if isinstance(dataset, dict) else None
    if isinstance(card, str) and card.endswith(SUFFIXES):
        for path in (folder / card, Path(card)):
            if path.is_file():
                return {**data, "dataset": {**data["dataset"], "card": str(path.resolve())}}
    return data


def data_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data of a YAML whose section ``dataset`` loads again from anywhere: card and extracted tables."""
    return features_beside(card_beside(data, folder), "dataset", folder, read_extraction)


def read_extraction(name_or_path: str | Path, folder: Path | None = None) -> dict[str, Any]:
    """Return the content of the YAML of an extraction, the path of its card made absolute.

    Args:
        name_or_path: Path, or name of a bundled file.
        folder: Where it may lie as well, such as beside the experiment that names it.

    Raises:
        ConfigError: There is no such file, or it is no YAML.
    """
    path = _found(name_or_path, folder)
    return card_beside(load_yaml(path).data, path.parent)


def read_features(name_or_path: str | Path, folder: Path | None = None) -> dict[str, Any]:
    """Return the content of a features YAML, whose data can be read from anywhere; see `read_extraction`."""
    path = _found(name_or_path, folder)
    return data_beside(load_yaml(path).data, path.parent)


def features_beside(data: dict[str, Any], section: str, folder: Path, read: Reader) -> dict[str, Any]:
    """Return the data of a YAML in which the features of a section are given by their content; see `sources_beside`."""
    found = data.get(section)
    features = found.get("features") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(features, dict):
        return data
    return {**data, section: {**found, "features": sources_beside(features, folder, read)}}


def sets_beside(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the data of a YAML in which the sets under ``features`` are given by their content."""
    if not isinstance(sets := data.get("features"), dict):
        return data
    found = {
        name: sources_beside(item, folder, read_features) if isinstance(item, dict) else item
        for name, item in sets.items()
    }
    return {**data, "features": found}


def sources_beside(sources: dict[str, Any], folder: Path, read: Reader) -> dict[str, Any]:
    """Return a mapping in which paths of YAMLs are replaced by what stands there; folders beside become absolute paths.

    A path without a file stays, and is refused where its place in the document is known.
    """
    return {name: _beside(value, folder, read) if isinstance(value, str) else value for name, value in sources.items()}


def _told(document: Document, folder: Path, steps: Sequence[Step]) -> Document:
    data = document.data
    try:
        for step in steps:
            data = step(data, folder)
    except ConfigError as error:
        raise ConfigError(document.source, error.within()) from None
    return dataclasses.replace(document, data=data)


def _beside(value: str, folder: Path, read: Reader) -> Any:
    if not value.endswith(SUFFIXES):
        return str((folder / value).resolve()) if (folder / value).is_dir() else value
    try:
        _found(value, folder)
    except ConfigError:
        return value
    return read(value, folder)


def _found(name_or_path: str | Path, folder: Path | None) -> Path:
    beside = None if folder is None else folder / name_or_path
    return beside if beside is not None and is_file(beside) else find_yaml("configs", name_or_path)
