"""Tracks: one task, data set and protocol each, so that all numbers of a track mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, PositiveInt, SerializeAsAny, ValidationInfo, model_validator

from mmrec_bench.data.cards import load_card
from mmrec_bench.data.recipes import RecipeField
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.protocol import ProtocolConfig
from mmrec_bench.experiments.schema.parts import PROTOCOLS
from mmrec_bench.leaderboard.words import Line
from mmrec_bench.registry import unknown_message
from mmrec_bench.reports.directions import has_direction
from mmrec_bench.resources import find_yaml, names
from mmrec_bench.settings import BaseConfig, Slug, explained_error, load_yaml
from mmrec_bench.types import Task

TRACKS: Literal["leaderboard/tracks"] = "leaderboard/tracks"


def _protocol(value: object, info: ValidationInfo) -> ProtocolConfig:
    if isinstance(value, ProtocolConfig):
        return value
    if (task := info.data.get("task")) is None:  # an issue of its own
        raise explained_error("cannot be read without a task")
    return PROTOCOLS[task].model_validate(value)


class TrackData(BaseConfig):
    """The data of a track."""

    card: str
    """Name of a card in ``datasets/``."""
    impressions: RecipeField | None = None
    """How impressions are made of the data; of the CTR task alone."""
    shipped: bool
    """Whether everybody may have the data, so that lists can be verified anywhere: true of synthetic worlds."""


class Track(BaseConfig):
    """A track of the leaderboard."""

    schema_version: Literal[1]
    """Version of this YAML form."""
    name: Slug
    """Name in paths; that of the file."""
    title: Line
    """Name on the board."""
    task: Task
    """What is done."""
    dataset: TrackData
    """On which data."""
    protocol: Annotated[SerializeAsAny[ProtocolConfig], PlainValidator(_protocol)]
    """What the numbers mean, as in the YAML of an experiment."""
    headline: Annotated[tuple[str, ...], Field(min_length=1)]
    """Test metrics on the board; the first ranks it."""
    depth: PositiveInt | None = None
    """Items of each retrieved list; the largest cutoff. Null for tasks whose lists are given."""
    learns_from: Literal["labels", "clicks", "order"] | None = None
    """What rankers of the closed tier learn from, by ``learns_from`` of their models; null where they may choose."""
    tuning_trials: PositiveInt = 50
    """Trials that the study of a closed system may spend."""
    lists_in_git: bool
    """Whether lists are kept beside the entries."""
    notes: tuple[Line, ...] = ()
    """What a reader should know, one sentence each."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        load_card(self.dataset.card)
        for name in self.headline:
            if name not in self.metric_ids:
                raise explained_error(f"headline: {unknown_message('metric', name, self.metric_ids)}")
        if not has_direction(self.headline[0]):
            raise explained_error(f"headline: {self.headline[0]} orders no systems; begin with another metric")
        deepest = max(self.protocol.cutoffs) if self.task == "retrieval" else None  # type: ignore[attr-defined]
        if self.depth != deepest:
            raise explained_error(
                f"depth must be the largest cutoff of a retrieval protocol ({deepest}), and left out for other tasks; "
                f"got {self.depth}"
            )
        if (self.dataset.impressions is not None) != (self.task == "ctr"):
            raise explained_error("dataset.impressions is needed by the CTR task, and read by no other")
        if isinstance(self.protocol, InteractiveProtocol) and not (
            self.protocol.last_guess and self.protocol.user.name != "impatient"
        ):
            raise explained_error(
                "protocol: sessions can be verified where users never leave and the last guess is told; set "
                "last_guess, and another user than impatient"
            )
        return self

    @property
    def metric_ids(self) -> tuple[str, ...]:
        """Names of the metrics of its protocol."""
        found: tuple[str, ...] = getattr(self.protocol, "metric_ids", None) or self.protocol.metrics  # type: ignore[attr-defined]
        return found

    @property
    def settings(self) -> dict[str, Any]:
        """What an experiment of this track must hold: card, recipe and protocol as plain data."""
        told = self.model_dump(mode="json", include={"protocol": True, "dataset": {"card", "impressions"}})
        return {"dataset": told["dataset"], "protocol": told["protocol"]}


def load_track(name_or_path: str | Path) -> Track:
    """Read a track by its name, or the path of its YAML.

    Raises:
        ConfigError: There is none of the name, or all issues of the file.
    """
    return load_yaml(find_yaml(TRACKS, name_or_path)).parse(Track)


def load_tracks() -> Mapping[str, Track]:
    """Return all tracks by name, sorted."""
    return {name: load_track(name) for name in names(TRACKS)}
