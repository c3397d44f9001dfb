"""Where the YAML files that travel with the package are: in a wheel or in a checkout."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.registry import unknown_message

Kind: TypeAlias = Literal["configs", "datasets", "datasets/families", "leaderboard/tracks"]
"""``configs``: experiments, suites and tuning spaces. ``datasets``: cards. ``datasets/families``: cards of many
categories. ``leaderboard/tracks``: tracks."""

_WHAT: dict[Kind, str] = {
    "configs": "config",
    "datasets": "dataset card",
    "datasets/families": "family of dataset cards",
    "leaderboard/tracks": "track",
}
_SUFFIXES = (".yaml", ".yml")


def bundled(kind: Kind) -> Path:
    """Return the folder of the YAML files that came with the package.

    Raises:
        ConfigError: The installation holds no such folder.
    """
    package = Path(__file__).resolve().parent
    if (inside := package / "_bundled" / kind).is_dir():
        return inside
    # Site-packages may hold a folder named `configs` of anybody; only a checkout has our pyproject.toml beside it.
    beside = package.parent / kind
    if (package.parent / "pyproject.toml").is_file() and beside.is_dir():
        return beside
    message = (
        f"the package came without its folder '{kind}': neither {inside} nor {beside} is there. "
        "Install mmrec-bench again, or give the path of a YAML file"
    )
    raise ConfigError(str(package), [ConfigIssue("", message)])


def names(kind: Kind) -> tuple[str, ...]:
    """Return the names of all bundled files, such as ``amazon-baby/freedom``, sorted."""
    return tuple(_files(kind))


def find_yaml(kind: Kind, name_or_path: str | Path) -> Path:
    """Return the file of a bundled name, or of a path that ends in ``.yaml``.

    A path that exists comes first. One that does not may still name a bundled file (``configs/amazon-baby/bm3.yaml``),
    so that the commands of the documentation work outside a checkout.

    Raises:
        ConfigError: No such file; lists the known names and the nearest one.
    """
    text = str(name_or_path)
    path = Path(text)
    is_path = text.endswith(_SUFFIXES)
    if is_path and is_file(path):
        return path
    if (is_path or path.is_absolute()) and os.path.exists(path):
        what = "is a folder" if path.is_dir() else "is no regular file" if is_path else "does not end in .yaml"
        raise ConfigError(text, [ConfigIssue("", f"{what}; give the path of a {_WHAT[kind]} that ends in .yaml")])
    name = text.removesuffix(path.suffix) if is_path else text
    name = name.replace("\\", "/").removeprefix("./").removeprefix(f"{kind}/")
    files = _files(kind)
    if name in files:
        return files[name]
    if path.is_absolute():  # no bundled name is near it
        raise ConfigError(text, [ConfigIssue("", f"no such file. Give its path, or the name of a {_WHAT[kind]}")])
    message = unknown_message(_WHAT[kind], name, files)
    if is_path:
        message = f"no such file, and {message}"
    raise ConfigError(
        text or "(empty name)", [ConfigIssue("", f"{message}. Give one of these, or the path of a .yaml file")]
    )


def _files(kind: Kind) -> Mapping[str, Path]:
    return _listed(kind, bundled(kind))


@lru_cache(maxsize=8)
def _listed(kind: Kind, folder: Path) -> Mapping[str, Path]:
    """Return the files of a folder of the package by name; it stays as it is while a process runs."""
    search = folder.rglob if kind == "configs" else folder.glob  # a folder of cards may hold one of families
    found = (path for suffix in _SUFFIXES for path in search(f"*{suffix}"))
    return MappingProxyType(dict(sorted((path.relative_to(folder).with_suffix("").as_posix(), path) for path in found)))


def is_file(path: Path) -> bool:
    """Return whether there is such a file; of what can be no path there is none."""
    return os.path.isfile(path)  # pathlib raises for a name too long for the file system
