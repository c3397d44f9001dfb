"""Folders of facts: what runs and made features share; where they lie, and that they are what was written."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.environment import code_digest
from mmrec_bench.resources import is_file

SCHEMA_VERSION = 1
CONFIG, MANIFEST, HISTORY = "config.yaml", "manifest.json", "history.jsonl"
PARTIAL, STALE = ".partial", ".stale"

N_TOLD = 3
"""Folders that a message names."""

State: TypeAlias = Literal["new", "partial", "damaged", "stale", "done"]
"""``stale``: finished, but by other code. ``damaged``: finished, but its files have changed since. ``partial``:
interrupted, can be resumed."""


class ArtefactKey(ABC):
    """What an artefact is, and so where it lies."""

    __slots__ = ()

    @property
    @abstractmethod
    def name(self) -> str:
        """Name while it is made, and when it is kept aside; no two artefacts below a root share it."""

    @abstractmethod
    def folder(self, out: Path) -> Path:
        """Return its folder below the root of all artefacts."""

    @abstractmethod
    def manifest(self, folder: Path) -> Mapping[str, Any]:
        """Return the checked manifest of such a folder.

        Raises:
            ArtefactError: It is missing, incomplete, changed, or of another schema.
        """

    def partial(self, out: Path) -> Path:
        """Return the folder in which this code makes it; a checkpoint made by other code is not gone on from."""
        return out / PARTIAL / f"{self.name}-code-{code_digest()[:8]}"

    def state(self, out: Path) -> State:
        """Return what lies in its folder."""
        folder = self.folder(out)
        if folder.exists():
            try:
                made_by = self.manifest(folder)["fingerprints"]["code"]
            except (ArtefactError, KeyError, TypeError):
                return "damaged"
            return "done" if made_by == code_digest() else "stale"
        return "partial" if self.partial(out).exists() else "new"


@dataclass(frozen=True, slots=True)
class SeededKey(ArtefactKey):
    """What something is that a model learned of data with a seed.

    Attributes:
        dataset: Name of the data set.
        model: Name of the model; of a model around another, both with a hyphen.
        fingerprint: Digest of what decides it, but for the seed.
        seed: The seed.
    """

    dataset: str
    model: str
    fingerprint: str
    seed: int


@dataclass(frozen=True, slots=True)
class Artefact:
    """A finished folder of facts; a subclass says what it is and what belongs to it.

    Attributes:
        folder: Where it lies.
        manifest: Content of ``manifest.json``.
    """

    KIND: ClassVar[str]
    """What it is, for messages: ``run folder``."""
    FILES: ClassVar[tuple[str, ...]]
    """Files that belong to it, the manifest among them."""
    REQUIRED: ClassVar[tuple[str, ...]]
    """Facts of the manifest without which nothing can be done with it."""

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder and check that its files are those that were written.

        Raises:
            ArtefactError: It is missing, incomplete, changed, or of another schema.
        """
        return cls(folder, checked_manifest(folder, cls.KIND, cls.FILES, cls.REQUIRED))


def fingerprint_of(facts: Any) -> str:
    """Return the digest of plain facts by which a folder is named: 16 hexadecimal digits."""
    text = json.dumps(facts, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def checked_manifest(folder: Path, what: str, files: Sequence[str], required: Sequence[str]) -> dict[str, Any]:
    """Read the manifest of a folder and check that its files are those that were written.

    Args:
        folder: The folder.
        what: What it is, for messages: ``run folder``.
        files: Files that belong to it, the manifest among them.
        required: Facts of the manifest, beside the digests of the files, without which nothing can be done with it.

    Raises:
        ArtefactError: It is missing, incomplete, changed, or of another schema.
    """
    if not folder.is_dir():
        raise ArtefactError(f"{folder}: no such {what}")
    if missing := [name for name in files if not (folder / name).is_file()]:
        raise ArtefactError(f"{folder}: not a whole {what}; missing: {', '.join(missing)}. {_way_out(folder)}")
    manifest = read_json(folder / MANIFEST)
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ArtefactError(
            f"{folder / MANIFEST}: schema_version is {manifest.get('schema_version')!r}; "
            f"this version of mmrec-bench reads {SCHEMA_VERSION}"
        )
    if missing := [name for name in (*required, "files") if name not in manifest]:
        raise ArtefactError(f"{folder / MANIFEST}: lacks {', '.join(missing)}. Delete the {what} and make it again")
    for name in files:
        if name != MANIFEST and digest_of(folder / name) != manifest["files"].get(name):
            raise ArtefactError(
                f"{folder / name}: was changed or cut short since it was made; its digest is not that of the manifest. "
                f"Delete the {what} and make it again"
            )
    return manifest


def folders_of_kind(root: Path, kind: str) -> set[Path]:
    """Return the whole folders of a kind below a root, but for those kept aside.

    Raises:
        ArtefactError: The root does not exist, or a manifest cannot be read.
    """
    if not root.is_dir():
        raise ArtefactError(f"{root}: no such folder")
    return {path.parent for path in _manifests(root) if read_json(path).get("kind", "run") == kind}


def distinct(folders: Iterable[Path]) -> list[Path]:
    """Return folders sorted by path, each once, however it is written."""
    found: dict[Path, Path] = {}
    for folder in folders:
        found.setdefault(folder.resolve(), folder)
    return sorted(found.values())


def run_beside(name: str, folder: Path) -> Path | None:
    """Return the full path of a run that a YAML in `folder` names, beside it or from here; None if none is there."""
    return next((path.resolve() for path in (folder / name, Path(name)) if is_file(path / MANIFEST)), None)


def _manifests(root: Path) -> Iterator[Path]:
    """Yield the manifests below a root, but for those kept aside."""
    return (path for path in root.rglob(MANIFEST) if not {PARTIAL, STALE} & set(path.relative_to(root).parts))


def _way_out(folder: Path) -> str:
    """Return what to do where files are missing: only what has a manifest was ever whole, and may be deleted."""
    if (folder / MANIFEST).is_file():
        return "Delete it and run again"
    if below := [str(path.parent) for path in islice(_manifests(folder), N_TOLD)]:
        return f"Name a folder that has a {MANIFEST}; below it are, among others, {', '.join(sorted(below))}"
    return f"Name a folder that has a {MANIFEST}; there is none below it"


def digest_of(path: Path) -> str:
    """Return the digest of a file's bytes, as manifests hold it.

    Raises:
        ArtefactError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read: {error.strerror or error}") from None


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ArtefactError: It cannot be read, or is no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path}: cannot be read: {error}. Delete the folder and run again") from None
    if not isinstance(content, dict):
        raise ArtefactError(f"{path}: must hold a JSON object; got {type(content).__name__}")
    return content
