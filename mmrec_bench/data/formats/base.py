"""What every dataset card holds, whatever the format of its files."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, PositiveInt, PrivateAttr, StringConstraints, model_validator

from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.downloads import Digest, Download
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.provenance import Provenance
from mmrec_bench.errors import DataError
from mmrec_bench.registry import Registry, unknown_message
from mmrec_bench.settings import BaseConfig, Slug, check_unique, explained_error, of_form


def _is_no_pickle(name: str) -> str:
    """Refuse files that run code when they are read."""
    if name.lower().endswith((".pkl", ".pickle", ".p")):
        raise explained_error(f"pickled files are never read, for they can run any code; got {name[:80]!r}")
    return name


FileName = Annotated[
    str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00]+$"), AfterValidator(_is_no_pickle)
]
PayloadKind: TypeAlias = Literal["interactions", "lists"]
"""What a data set can be about: interactions for retrieval, lists for ranking."""


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
    """Number of users, or of queries."""
    n_items: PositiveInt | None = None
    """Number of items of the catalogue, or of documents."""
    n_interactions: PositiveInt | None = None
    """Number of distinct user-item pairs."""
    n_lists: PositiveInt | None = None
    """Number of lists."""
    n_rows: PositiveInt | None = None
    """Number of rows of all lists together."""

    def of(self, kind: PayloadKind) -> dict[str, int]:
        """Return what is known that can be checked against a payload of this kind."""
        apart = {"interactions": ("n_lists", "n_rows"), "lists": ("n_interactions",)}[kind]
        return {name: n for name, n in self.model_dump().items() if n is not None and name not in apart}


class Edition(BaseConfig):
    """Size of the parts of one delivered split."""

    train: PositiveInt
    """Rows with label 0."""
    valid: PositiveInt
    """Rows with label 1."""
    test: PositiveInt
    """Rows with label 2."""
    fingerprint: Annotated[str, of_form(r"[0-9a-f]{16}", "16 hexadecimal digits")] | None = None
    """Content fingerprint of the interactions. Per-user random splits of the same data all have the same counts, so
    another draw is only told apart by its content; a difference is noted, not refused."""


_KINDS: tuple[PayloadKind, ...] = ("interactions", "lists")


class DatasetCard(BaseConfig):
    """Where a data set comes from, what is known about it, and how its files are read.

    Each format has a subclass with the keys of its files.
    """

    schema_version: Literal[1]
    """Version of this YAML form."""
    name: Slug
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
    downloads: tuple[Download, ...] = ()
    """Files that `mmrec-bench data fetch` gets."""
    provenance: Provenance = Provenance()
    """How the data came to be, as far as it bears on leaks; `mmrec-bench audit` reads it."""

    _folder: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _counts_are_checked(self) -> Self:
        """Refuse sizes of what the files do not hold, for nothing would ever check them."""
        given = set() if self.counts is None else {name for kind in _KINDS for name in self.counts.of(kind)}
        checked = set() if self.counts is None else {name for kind in self.payloads for name in self.counts.of(kind)}
        if unchecked := sorted(given - checked):
            raise explained_error(f"counts.{unchecked[0]}: format '{self.format}' holds {' and '.join(self.payloads)}")
        if self.editions and "interactions" not in self.payloads:
            raise explained_error(f"editions are of interactions; format '{self.format}' holds lists. Write sha256")
        return self

    @model_validator(mode="after")
    def _downloads_differ(self) -> Self:
        check_unique("downloads: file", [name for one in self.downloads for name in (one.file, *one.unpack)])
        return self

    @model_validator(mode="after")
    def _declared_fields_are_there(self) -> Self:
        for name in self.provenance.fields:
            if name not in self.fields:
                raise explained_error(f"provenance.fields.{unknown_message('field', name, self.fields)}")
        if self.provenance.filter is not None and "interactions" not in self.payloads:
            raise explained_error(
                f"provenance.filter is of interactions; format '{self.format}' holds lists. Remove it"
            )
        return self

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
    def fields(self) -> Mapping[str, str]:
        """What describes items or rows, by name, with the file or column it comes from."""
        return dict.fromkeys(self.modalities, "")

    @property
    def embedded(self) -> bool:
        """Whether the data is made, not read, so that no file is needed."""
        return self.main_file is None

    @property
    def is_built(self) -> bool:
        """Whether the downloads are raw files, of which `mmrec-bench data prepare` builds the data."""
        return False

    @property
    def payloads(self) -> tuple[PayloadKind, ...]:
        """What can be read: ``interactions`` by `read`, ``lists`` by `read_lists`."""
        return ("interactions",)

    @property
    @abstractmethod
    def main_file(self) -> str | None:
        """The file without which there is no data; None where no file is needed."""

    def read(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Interactions]:
        """Read the interactions.

        Args:
            folder: Where the files lie; of no meaning where there is no main file.
            modalities: Feature tables to read; all by default.

        Raises:
            DataError: The files hold none, or break their contract; names file, line, value and remedy.
        """
        raise self.lacks("interactions")

    def read_lists(self, folder: Path, modalities: Sequence[str] | None) -> Dataset[Lists]:
        """Read the lists; arguments and errors are those of `read`."""
        raise self.lacks("lists")

    def texts(self, folder: Path, dataset: Dataset[Any], fields: Sequence[str] | None) -> dict[str, list[str]]:
        """Return texts of items by field, for encoders of texts; a format that holds more than words overrides it.

        Args:
            folder: Where the files lie; of no meaning where there is no main file.
            dataset: What was read of them; the texts are in the order of its items.
            fields: Fields to return, in this order; the title and all words by default.

        Returns:
            A text an item, empty where there is none, by field.

        Raises:
            DataError: There is no such field.
        """
        items = dataset.items
        for field in fields or ():
            if field not in items.text_fields:
                raise self.no_text(field, items.text_fields)
        return {field: items.texts(field) for field in fields or items.text_fields}

    def no_text(self, field: str, known: Sequence[str]) -> DataError:
        """Return the error of a field that items do not have."""
        return DataError(f"data set '{self.name}': {unknown_message('text field', field, known)}. Change texts.fields")

    def lacks(self, kind: PayloadKind) -> DataError:
        """Return the error of a reader for another task than the data set is for."""
        task = {"interactions": "retrieval", "lists": "ranking"}[kind]
        return DataError(
            f"data set '{self.name}' holds {' and '.join(self.payloads)}, not {kind}; the task {task} needs a data set "
            f"of {kind}. `mmrec-bench datasets` shows what each one holds"
        )

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
