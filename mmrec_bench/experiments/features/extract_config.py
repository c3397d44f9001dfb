"""The YAML of extracted features: which texts or pictures of items become vectors, by which encoder."""

from __future__ import annotations

import contextlib
import json
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, PositiveInt, SerializeAsAny, model_validator

import mmrec_bench.extraction  # noqa: F401 - importing the encoders fills their registry
from mmrec_bench.data.cards import load_card
from mmrec_bench.data.formats.base import BY_MODALITY
from mmrec_bench.errors import ConfigError
from mmrec_bench.experiments.features.sources import card_beside, read_extraction, source_of
from mmrec_bench.extraction.base import CONTENT_ENCODERS, ContentEncoderConfig, Modality
from mmrec_bench.settings import BaseConfig, Document, check_unique, explained_error, in_one_line, named, parse_yaml

DEFAULT_ENCODERS: dict[Modality, str] = {"text": "tfidf-svd", "image": "colour-edges"}
"""Encoders without weights, which work offline."""

ContentEncoderField = Annotated[
    SerializeAsAny[ContentEncoderConfig],
    PlainValidator(named(lambda: CONTENT_ENCODERS, ContentEncoderConfig, lambda entry: entry)),
]
"""An encoder config, resolved by the registry from ``NAME`` or ``{name: NAME, ...}``."""


class CardRef(BaseConfig):
    """Which data set."""

    card: str
    """Name of a card in ``datasets/``, or the path of a card file."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        with in_one_line():
            load_card(self.card)
        return self


class TextsConfig(BaseConfig):
    """What is read of an item as its text."""

    fields: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Fields of items that are put together, in this order; the title and all words by default."""
    separator: str = ". "
    """Between two fields."""
    max_chars: PositiveInt = 20_000
    """Characters after which a text is cut, before any encoder sees it; how many were cut stands in the feature
    card."""


class PicturesConfig(BaseConfig):
    """Where the pictures of items are."""

    folder: str | None = None
    """Folder of files that are called by external item ids; by default the pictures that ``mmrec-bench features
    images`` fetched, and local files that the data set names."""


class ExtractConfig(BaseConfig):
    """Features that an encoder makes of texts or pictures of items, without interactions."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    dataset: CardRef
    """Which data set."""
    modality: Modality
    """What is encoded: ``text`` or ``image``."""
    encoder: ContentEncoderField
    """Which encoder, with its settings."""
    texts: TextsConfig | None = None
    """What is read of an item as its text; of the modality text alone."""
    pictures: PicturesConfig | None = None
    """Where the pictures are; of the modality image alone."""
    dtype: Literal["float16", "float32"] = "float16"
    """In which precision vectors are kept; models compute in float32."""

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, data: object) -> object:
        """Write the section of the modality out, so that the resolved config is complete."""
        if not isinstance(data, dict):
            return data
        section = {"text": "texts", "image": "pictures"}.get(str(data.get("modality")))
        return data if section is None or data.get(section) is not None else data | {section: {}}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.encoder.modality != self.modality:
            fitting = [name for name in CONTENT_ENCODERS if CONTENT_ENCODERS[name].modality == self.modality]
            raise explained_error(
                f"encoder '{self.encoder.name}' reads {self.encoder.modality}, and modality is {self.modality}; "
                f"encoders of {self.modality}: {', '.join(fitting)}"
            )
        for modality, section in (("text", "texts"), ("image", "pictures")):
            if self.modality != modality and getattr(self, section) is not None:
                raise explained_error(f"the section '{section}' is of modality {modality}, so it would do nothing here")
        return self

    @property
    def command(self) -> str:
        """The command that makes these features."""
        words = ["mmrec-bench", "features", "extract", self.dataset.card, "--modality", self.modality]
        words += ["--encoder", json.dumps(self.encoder.model_dump(mode="json", exclude_defaults=False))]
        given = self.model_dump(mode="json", exclude_defaults=True, include={"texts", "pictures", "dtype"})
        words += [word for key, value in given.items() if value for word in ("--set", f"{key}={json.dumps(value)}")]
        return shlex.join(words)


_NEEDED = "the path of a YAML for `mmrec-bench features extract`, its content, or a folder of extracted features"

ExtractSource = Annotated[
    SerializeAsAny[ExtractConfig | str], PlainValidator(source_of(ExtractConfig, _NEEDED, read_extraction))
]
"""Extracted features: the path of their YAML, what stands in it, or the folder where they lie."""


class ExtractedTables(CardRef):
    """Which data, with which feature tables: those of the card, and extracted ones."""

    modalities: tuple[str, ...] | None = None
    """Feature tables to load; all of the card's by default."""
    features: Annotated[dict[str, ExtractSource], BY_MODALITY] = Field(default_factory=dict)
    """Feature tables that ``mmrec-bench features extract`` makes of texts or pictures, by name: the path of their YAML,
    its content, or a folder of extracted features. They stand beside the card's, and in place of those of the same
    name."""

    @model_validator(mode="after")
    def _tables_fit(self) -> Self:
        check_unique("modalities", self.modalities or ())
        with in_one_line():
            _ = self.given
        own = load_card(self.card).name
        for name, source in self.features.items():
            if isinstance(source, ExtractConfig) and (other := load_card(source.dataset.card).name) != own:
                raise explained_error(
                    f"features.{name}: these features are of data set '{other}', the experiment is on '{own}'. Set "
                    f"features.{name}.dataset.card, or name other features"
                )
        return self

    @property
    def read(self) -> tuple[str, ...] | None:
        """The feature tables that are read of the card's files; None for all."""
        if not self.features:
            return self.modalities
        return tuple(name for name in load_card(self.card).chosen(self.modalities) if name not in self.features)

    @property
    def given(self) -> tuple[str, ...]:
        """Names of all feature tables."""
        return (*load_card(self.card).chosen(self.read), *self.features)

    @property
    def to_extract(self) -> tuple[ExtractConfig, ...]:
        """How the tables are extracted that are not named by a folder."""
        return tuple(source for source in self.features.values() if isinstance(source, ExtractConfig))


def load_extraction(
    name_or_card: str, modality: Modality | None = None, encoder: str | None = None, overrides: tuple[str, ...] = ()
) -> ExtractConfig:
    """Read the YAML of an extraction, or make one of a data set's name.

    Args:
        name_or_card: Path or name of a YAML, or name or path of a card.
        modality: What is encoded; of a card, ``text`` by default.
        encoder: Name of an encoder, or a YAML mapping; the modality's one without weights by default.
        overrides: Assignments ``a.b=c``.

    Raises:
        ConfigError: With all issues at once.
    """
    data: dict[str, Any] = {}
    with contextlib.suppress(ConfigError):  # no YAML of configs/; then it must be a card, which says so if it is none
        data = read_extraction(name_or_card)
    given: Any = None if encoder is None else parse_yaml(encoder, "--encoder", mapping=False).data["value"]
    if "encoder" not in data:
        load_card(name_or_card)
        data = card_beside({"schema_version": 1, "dataset": {"card": name_or_card}}, Path())
        data["modality"] = modality or _read_by(given)
        data["encoder"] = DEFAULT_ENCODERS[data["modality"]]
    if modality is not None:
        data["modality"] = modality
    if given is not None:
        data["encoder"] = given
    return Document(name_or_card, data).with_overrides(overrides).parse(ExtractConfig)


def _read_by(encoder: Any) -> Modality:
    """Return what an encoder of this name, or mapping, reads; ``text`` where it is not known."""
    name = encoder.get("name") if isinstance(encoder, dict) else encoder
    return CONTENT_ENCODERS[name].modality if isinstance(name, str) and name in CONTENT_ENCODERS else "text"
