"""What a run needs of this machine's disk, and where it lies on another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from mmrec_bench.data.cards import find_data, load_card
from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.data.formats.prepared import CARD, PreparedCard
from mmrec_bench.errors import DataError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.features.artefact import FeaturesArtefact
from mmrec_bench.experiments.folders import digest_of, fingerprint_of
from mmrec_bench.resources import is_file

DATA = "data"
"""Folder below the root of unpacked luggage that is the data directory there."""


@dataclass(frozen=True, slots=True)
class Luggage:
    """Files that travel with an order.

    Attributes:
        files: Where each lies here, by its name below the root there.
        places: Names below that root for the paths that the config holds.
        digests: Digest of each file, by its name.
    """

    files: dict[str, Path] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Digest of all names and contents."""
        return fingerprint_of(self.digests)


def luggage_of(config: Mapping[str, Any], data_dir: Path | None) -> Luggage:
    """Return the files that a resolved config names: cards, files of data, folders of runs and of made features.

    Args:
        config: Of an experiment or of made features, as plain data.
        data_dir: Where data folders lie.

    Raises:
        DataError: Data are not found, or a card names files outside of its folder.
        ArtefactError: A file cannot be read.
    """
    found = Luggage()
    for card in dict.fromkeys(_cards(config)):
        _add_card(found, card, config, data_dir)
    inputs = config.get("inputs") or {}
    for text in (source for source in inputs.get("features", {}).values() if isinstance(source, str)):
        _add_folder(found, text, FeaturesArtefact.FILES)
    for key in ("base", "start"):
        if (run := (inputs.get(key) or {}).get("run")) is not None:
            _add_folder(found, run, RunArtefact.FILES)
    found.digests.update({name: digest_of(path) for name, path in found.files.items()})
    return found


def moved(value: Any, places: Mapping[str, str]) -> Any:
    """Return plain data in which every text that is a key of ``places`` is replaced by its value."""
    if isinstance(value, Mapping):
        return {key: moved(inner, places) for key, inner in value.items()}
    if isinstance(value, list):
        return [moved(inner, places) for inner in value]
    return places.get(value, value) if isinstance(value, str) else value


def _cards(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(card := value.get("card"), str):
            yield card
        for inner in value.values():
            yield from _cards(inner)


def _add_card(found: Luggage, text: str, config: Mapping[str, Any], data_dir: Path | None) -> None:
    card = load_card(text)
    if card.folder is None:  # it travels with the package
        place = f"{DATA}/{(card.folders or (card.name,))[0]}"
    else:
        place = f"cards/{len(found.places)}"
        path = Path(text)
        found.files[f"{place}/{path.name}"] = path
        found.places[text] = f"{place}/{path.name}"
    folder = find_data(card, data_dir)
    if folder is None:
        folder = card.folder if card.embedded else None
        if not card.embedded:
            raise DataError(f"data set '{card.name}' was not found, so that it cannot be sent; see --data-dir")
    if folder is not None:
        found.files.update({f"{place}/{name}": folder / name for name in _named(folder, card, config)})


def _named(folder: Path, card: DatasetCard, config: Mapping[str, Any]) -> Iterator[str]:
    """Return the names of files in a folder that a card or config holds, and of all files of prepared data."""
    if isinstance(card, PreparedCard):
        yield from (CARD, *card.checked(folder).files)
    for text in _texts(card.model_dump(mode="json", exclude={"downloads"})):
        if not is_file(folder / text):
            continue
        if PurePath(text).is_absolute() or ".." in PurePath(text).parts:
            raise DataError(
                f"data set '{card.name}' names {text}, which is outside of its folder {folder} and cannot be sent to "
                "other machines; put it beside the other files"
            )
        yield text
    for text in _texts(config.get("protocol", {})):
        if is_file(folder / text) and not PurePath(text).is_absolute() and ".." not in PurePath(text).parts:
            yield text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str) and value:
        yield value


def _add_folder(found: Luggage, text: str, names: tuple[str, ...]) -> None:
    place = f"folders/{len(found.places)}"
    found.files.update({f"{place}/{name}": Path(text) / name for name in names})
    found.places[text] = place
