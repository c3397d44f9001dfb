"""What an encoder reads of items: their texts, put together of fields, and their pictures, found in folders."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmrec_bench.data.cards import find_data
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.fetching.picture_list import failures
from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.data.preparing.recipes import AFTER_THE_FACT
from mmrec_bench.errors import DataError
from mmrec_bench.experiments.features.extract_config import ExtractConfig, PicturesConfig, TextsConfig
from mmrec_bench.extraction.pictures import PictureError, open_picture

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
IMAGES = "images"
"""Folder of fetched pictures below that of a data set's features."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class MissingContentError(Exception):
    """An item has nothing to encode; the text is the reason by which such items are counted."""


class Contents(ABC):
    """The contents of all items, in the order of rows.

    Attributes:
        digest: Fingerprint of all contents.
        counts: How many contents something happened to that is worth knowing.
        described: What is read, for the feature card.
    """

    digest: str
    counts: Counter[str]
    described: Mapping[str, Any]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, row: int) -> Any:
        """Return the content of an item.

        Raises:
            MissingContentError: It has none.
        """

    @abstractmethod
    def to_learn_from(self) -> Sequence[Any]:
        """Return all contents that an encoder may be fitted on; no pictures, which do not fit into memory."""


class Texts(Contents):
    """Texts of items.

    Args:
        texts: One an item, empty where there is none.
        config: How they were put together.
        fields: Which fields they are made of.
    """

    def __init__(self, texts: Iterable[str], config: TextsConfig, fields: Sequence[str]) -> None:
        self.counts = Counter()
        self._texts: list[str] = []
        hasher = hashlib.blake2b(digest_size=8)
        for text in texts:
            if len(text) > config.max_chars:
                self.counts[f"cut at {config.max_chars} characters"] += 1
                text = text[: config.max_chars]
            # Surrogates and NUL come out of damaged files; no tokenizer takes the former.
            text = text.encode("utf-8", "replace").decode().replace("\0", " ").strip()
            self._texts.append(text)
            hasher.update(f"{len(text)}\0{text}".encode())
        self.digest = hasher.hexdigest()
        self.described = {"fields": list(fields), "separator": config.separator, "max_chars": config.max_chars}

    def __len__(self) -> int:
        return len(self._texts)

    def read(self, row: int) -> str:
        """Return the text of an item; see `Contents.read`."""
        if not self._texts[row]:
            raise MissingContentError("no text")
        return self._texts[row]

    def to_learn_from(self) -> Sequence[str]:
        """Return all texts."""
        return self._texts


class Pictures(Contents):
    """Pictures of items, decoded when they are read.

    Args:
        places: File of each item, or the reason why it has none.
    """

    def __init__(self, places: Sequence[Path | str]) -> None:
        self.counts = Counter()
        self._places = places
        hasher = hashlib.blake2b(digest_size=8)
        for place in places:
            told = str(place)
            if isinstance(place, Path):
                try:
                    with place.open("rb") as file:
                        told = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
                except OSError:
                    told = "no file"
            hasher.update(f"{told}\0".encode())
        self.digest = hasher.hexdigest()
        self.described = {"files": sum(isinstance(place, Path) for place in places)}

    def __len__(self) -> int:
        return len(self._places)

    def read(self, row: int) -> Any:
        """Return the picture of an item in RGB; see `Contents.read`."""
        place = self._places[row]
        if not isinstance(place, Path):
            raise MissingContentError(place)
        try:
            return open_picture(place)
        except PictureError as error:
            raise MissingContentError(str(error)) from None

    def to_learn_from(self) -> Sequence[Any]:
        """Return nothing: encoders of pictures learn nothing of the data."""
        return ()


def contents_of(
    config: ExtractConfig, card: DatasetCard, dataset: Dataset[Any], data_dir: Path | None, root: Path
) -> Contents:
    """Return what is encoded of a data set.

    Args:
        config: Which texts or pictures.
        card: The data set's card.
        dataset: The data set, whose items are meant, in the order of rows.
        data_dir: Where data folders lie.
        root: Root of extracted features, where fetched pictures are.

    Raises:
        DataError: There are none, or a field is unknown or made of what users did.
    """
    folder = find_data(card, data_dir) or Path()
    if config.texts is not None:
        return _texts(config.texts, card, dataset, folder)
    assert config.pictures is not None
    return Pictures(picture_places(config.pictures, dataset, folder, root))


def _texts(config: TextsConfig, card: DatasetCard, dataset: Dataset[Any], folder: Path) -> Texts:
    found = card.texts(folder, dataset, config.fields)
    if not found:
        raise DataError(
            f"data set '{dataset.name}': its items have no texts to encode. Name the field of titles in the card, or "
            "choose another data set"
        )
    for name in found:
        declared = card.provenance.fields.get(name)
        if declared is None and name in AFTER_THE_FACT:
            raise DataError(
                f"data set '{dataset.name}': the field '{name}' tells what users did, or what was so when a page was "
                "saved, so that its vectors would know what is held out. Leave it out of texts.fields"
            )
        if declared is not None and declared.made_of != "content":
            raise DataError(
                f"data set '{dataset.name}': the field '{name}' is made of what users did ({declared.made_of}, says "
                "the card), so that its vectors would know what is held out. Leave it out of texts.fields"
            )
    rows = zip(*found.values(), strict=True)
    return Texts((config.separator.join(text for text in row if text) for row in rows), config, tuple(found))


def picture_places(config: PicturesConfig, dataset: Dataset[Any], folder: Path, root: Path) -> list[Path | str]:
    """Return the file of each item's picture, or the reason why there is none.

    Raises:
        DataError: A folder of pictures is not there, or the data set names no pictures.
    """
    ids = dataset.item_ids.tolist()
    if config.folder is not None:
        given = Path(config.folder)
        if not given.is_dir():
            raise DataError(f"pictures.folder {config.folder!r}: no such folder. Give one whose files are item ids")
        files = by_stem(given)
        return [files.get(picture_stem(item), files.get(item, "no picture")) for item in ids]
    if dataset.items.images is None:
        raise DataError(
            f"data set '{dataset.name}' names no pictures of items. Give a folder of pictures that are called by item "
            "ids: --set pictures.folder=FOLDER"
        )
    fetched = root / dataset.name / IMAGES
    files, failed = by_stem(fetched), failures(fetched)
    places: list[Path | str] = []
    for item, image in zip(ids, dataset.items.images.tolist(), strict=True):
        if not image:
            places.append("no picture")
        elif image.startswith(("http://", "https://")):
            places.append(
                files.get(picture_stem(item), f"not fetched: {failed[item]}" if item in failed else "not fetched")
            )
        else:
            path = (folder / image).resolve()
            places.append(path if path.is_relative_to(folder.resolve()) else "outside the folder of the data")
    if any(str(place).startswith("not fetched") for place in places) and not any(
        isinstance(place, Path) for place in places
    ):
        raise DataError(
            f"data set '{dataset.name}': no picture has been fetched into {fetched}. Fetch them first: mmrec-bench "
            f"features images {dataset.name}"
        )
    return places


def wanted_pictures(dataset: Dataset[Any]) -> dict[str, tuple[str, str]]:
    """Return the file name without suffix and the address of each picture that has to be fetched, by item id.

    Raises:
        DataError: The data set names no addresses.
    """
    images = () if dataset.items.images is None else dataset.items.images.tolist()
    pairs = zip(dataset.item_ids.tolist(), images, strict=False)
    found = {item: (picture_stem(item), url) for item, url in pairs if url.startswith(("http://", "https://"))}
    if not found:
        raise DataError(f"data set '{dataset.name}' names no addresses of pictures, so there is nothing to fetch")
    return found


def picture_stem(item_id: str) -> str:
    """Return the name of an item's picture without its suffix: the id, or a digest of one that is no file name."""
    if _PLAIN.fullmatch(item_id):
        return item_id
    return "id-" + hashlib.blake2b(item_id.encode(), digest_size=12).hexdigest()


def by_stem(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder by their names without suffix; none where there is no such folder."""
    if not folder.is_dir():
        return {}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file()}
