"""The typed files of a ledger, and reading them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from mmrec_bench.errors import ArtefactError
from mmrec_bench.reports.cards.files import json_document, read_card
from mmrec_bench.reports.cards.schema import ResultCard
from mmrec_bench.reports.legacy_file import LegacyFile
from mmrec_bench.settings import BaseConfig, explained_error, load_yaml

INTRODUCTION, PUBLISHED, PEERS = "introduction.md", "published.yaml", "peers.yaml"
LEGACY, CARDS = "legacy.json", "cards"

Metrics = Annotated[dict[str, NonNegativeFloat], Field(min_length=1)]
"""Values by the name of the metric, such as ``recall@20``."""


class Source(BaseConfig):
    """Who printed values."""

    title: str
    """Paper, log or table."""
    setting: str
    """Name of the setting under which they were measured."""
    verified: bool = True
    """Whether the table was at hand; others are told apart."""


class PublishedValue(BaseConfig):
    """What a source prints of a model on a data set."""

    model: str
    """Label of the row here."""
    dataset: str
    """Name of the data set."""
    source: str
    """Name of the source."""
    metrics: Metrics
    """What is printed."""


class Published(BaseConfig):
    """``published.yaml``: printed values, with their sources."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    settings: dict[str, str]
    """Protocol, split and features under which values were measured, in words, by name."""
    sources: dict[str, Source]
    """Sources by name."""
    values: tuple[PublishedValue, ...]
    """The values; a model may have several sources."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name, source in self.sources.items():
            if source.setting not in self.settings:
                raise explained_error(f"sources.{name}: the setting '{source.setting}' is not under settings")
        for value in self.values:
            if value.source not in self.sources:
                raise explained_error(f"values: the source '{value.source}' of {value.model} is not under sources")
        return self


class PeerValue(BaseConfig):
    """What the released code of a model reached."""

    model: str
    """Label of the row here."""
    settings: str
    """Its hyper-parameters, in words."""
    epochs: PositiveInt
    """Epochs that were run."""
    valid: Metrics
    """Metrics on validation."""
    test: Metrics
    """Metrics on test."""


class Peers(BaseConfig):
    """``peers.yaml``: what released code of others reached on the same files and split."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    dataset: str
    """Name of the data set."""
    protocol_id: str
    """The protocol here whose numbers mean the same."""
    data: str
    """Digest of the content of the data set, as cards have it: the same files."""
    split: str
    """Digest of the content of the split."""
    note: str
    """Which code, how it was run, what is known of its chance."""
    n: PositiveInt
    """Number of seeds."""
    values: tuple[PeerValue, ...]
    """The values."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """All facts of a ledger.

    Attributes:
        introduction: What stands at the top of the page, Markdown.
        published: Printed values.
        peers: What released code reached on the same files.
        cards: Result cards of runs here, by file name.
        legacy: What choosing on test would have published; none where it was not measured.
    """

    introduction: str
    published: Published
    peers: Peers
    cards: Mapping[str, ResultCard]
    legacy: LegacyFile | None


def read_ledger(folder: Path) -> Ledger:
    """Read the files of a ledger.

    They are ``introduction.md``, ``published.yaml``, ``peers.yaml``, ``cards/*.json`` and, where it is there,
    ``legacy.json``.

    Raises:
        ArtefactError: There is no such folder, or a card was changed.
        ConfigError: A file is not of its form; with all its issues at once.
    """
    if not folder.is_dir():
        held = f"{INTRODUCTION}, {PUBLISHED}, {PEERS}, {CARDS}/ and {LEGACY}"
        raise ArtefactError(f"{folder}: no such folder; a ledger holds {held}")
    try:
        introduction = (folder / INTRODUCTION).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtefactError(f"{folder / INTRODUCTION}: cannot be read: {error}") from None
    cards = {path.name: read_card(path) for path in sorted((folder / CARDS).glob("*.json"))}
    legacy = folder / LEGACY
    return Ledger(
        introduction,
        load_yaml(folder / PUBLISHED).parse(Published),
        load_yaml(folder / PEERS).parse(Peers),
        cards,
        json_document(legacy).parse(LegacyFile) if legacy.is_file() else None,
    )
