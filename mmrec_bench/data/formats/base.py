"""What every dataset card holds, whatever the format of its files."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, PositiveInt, PrivateAttr, StringConstraints

from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import DataError
from mmrec_bench.registry import Registry, unknown_message
from mmrec_bench.settings import BaseConfig, explained_error

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _modalities_are_names(features: Mapping[str, str]) -> Mapping[str, str]:
    """Refuse modalities that cannot stand in file names, tables and command lines."""
    for modality in features:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", modality):
            raise explained_error(
                "names of modalities are 1 to 64 letters (a-z, A-Z), digits, '.', '_' or '-', such as image or "
                f"clip.v2; got {modality[:80]!r}"
            )
    return features


BY_MODALITY = AfterValidator(_modalities_are_names)
"""Annotates a mapping whose keys are modalities."""


class Counts(BaseConfig):
    """Published size of a data set, after repeated pairs are merged; checked at load."""

    n_users: PositiveInt | None = None
    """Number of users."""
    n_items: PositiveInt | None = None
    """Number of items of the catalogue."""
    n_interactions: PositiveInt | None = None
    """Number of distinct user-item pairs."""


class Edition(BaseConfig):
    """Size of the parts of one delivered split."""

    train: PositiveInt
    """Rows with label 0."""
    valid: PositiveInt
    """Rows with label 1."""
    test: PositiveInt
    """Rows with label 2."""
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] | None = None
    """Content fingerprint of the interactions. Per-user random splits of the same data all have the same counts, so
    another draw is only told apart by its content; a difference is noted, not refused."""


class DatasetCard(BaseConfig):
    """Where a data set comes from, what is known about it, and how its files are read.

    Each format has a subclass with the keys of its files.
    """

    schema_version: Literal[1]
    """Version of this YAML form."""
    name: Name
    """Name of the data set; the first folder of a run's path."""
    format: str
    """Form of the files; decides which further keys there are."""
    title: str = ""
    """Name for people."""
    sources: tuple[str, ...] = ()
    """Where to get the files officially, best first: a URL, and what is there."""
    licence: str = "not stated"
    """Terms of the publisher, as far as known."""
    citation: str = ""
    """Whom to cite."""
    notes: tuple[str, ...] = ()
    """What a user should know, one sentence each."""
    encoders: Mapping[str, str] = {}
    """Who made the vectors of each modality, as far as known."""
    folders: tuple[FileName, ...] = ()
    """Folders to look for below the data directory, best first; the name by default."""
    counts: Counts | None = None
    """Published size."""
    editions: Mapping[str, Edition] = {}
    """Known delivered splits; files whose labels match none are refused."""
    sha256: Mapping[str, Digest] = {}
    """Digests of files by name; a file that differs is refused."""

    _folder: Path | None = PrivateAttr(default=None)

    @property
    def folder(self) -> Path | None:
        """Folder of the card's own file, where the data of a user's card may lie; None for a card made in memory."""
        return self._folder

    def beside(self, folder: Path) -> DatasetCard:
        """Return a copy that also looks for its files in ``folder``."""
        card = self.model_copy()
        card._folder = folder
        return card

    @property
    @abstractmethod
    def modalities(self) -> tuple[str, ...]:
        """Names of the feature tables."""

    @property
    def embedded(self) -> bool:
        """Whether the data is made, not read, so that no file is needed."""
        return self.main_file is None

    @property
    @abstractmethod
    def main_file(self) -> str | None:
        """The file without which there is no data; None where no file is needed."""

    @abstractmethod
    def read(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Interactions]:
        """Read the files.

        Args:
            folder: Where they lie; of no meaning where there is no main file.
            modalities: Feature tables to read; all by default.

        Raises:
            DataError: The files break their contract; names file, line, value and remedy.
        """

    def chosen(self, modalities: Sequence[str] | None) -> tuple[str, ...]:
        """Return the modalities to read.

        Raises:
            DataError: One is unknown; lists the known ones.
        """
        for modality in modalities or ():
            if modality not in self.modalities:
                message = unknown_message("modality", modality, self.modalities)
                raise DataError(f"data set '{self.name}': {message}. Change dataset.modalities, or add it to the card")
        return self.modalities if modalities is None else tuple(dict.fromkeys(modalities))


FORMATS: Registry[type[DatasetCard]] = Registry("data format")
"""Card classes by the value of their key ``format``."""
