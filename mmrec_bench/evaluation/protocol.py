"""Protocols: everything that decides what a number means, as one named and fingerprinted object."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from mmrec_bench.data.rules import SplitRule
from mmrec_bench.errors import ProtocolError
from mmrec_bench.metrics.identity import checked_cutoffs, ids_of
from mmrec_bench.metrics.ranking import METRICS
from mmrec_bench.registry import unknown_message
from mmrec_bench.settings import BaseConfig, check_rising, check_unique, explained_error

EVALUATOR_VERSION = 1
"""Raised whenever the same lists would give other numbers; part of every protocol id."""


class ProtocolConfig(BaseConfig, ABC):
    """What the protocols of all tasks hold."""

    split: SplitRule
    """Split rule: ``x-label``, ``random-811``, ``leave-last-out``, ``global-time``, ``cold-items``, or a mapping with
    its settings."""
    select_by: str
    """Validation metric by which weights are chosen; never rounded, never of the test part."""
    tie_seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    """Seed of the hash of external item ids that orders equal scores."""

    def digest(self, evaluator: int, versions: Mapping[str, int], **further: Any) -> str:
        """Return 8 hexadecimal digits that change with whatever changes what the numbers mean.

        Args:
            evaluator: Version of the evaluator of the task.
            versions: That of each metric, by name.
            further: Other facts beside the settings, plain data.
        """
        facts = {"evaluator": evaluator, **self.model_dump(mode="json"), "metrics": dict(versions), **further}
        return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=4).hexdigest()

    def check_select_by(self, choices: Sequence[str]) -> None:
        """Refuse to select by what is not measured; for use inside validators."""
        if self.select_by in choices:
            return
        told = unknown_message("select_by metric", self.select_by, choices)
        if "select_by" not in self.model_fields_set:
            told = f"{self.select_by}, the default of select_by, is not measured here; set protocol.select_by ({told})"
        raise explained_error(told)

    @property
    @abstractmethod
    def id(self) -> str:
        """Readable name plus a digest of all settings.

        Two tables carry the same id exactly if their numbers mean the same thing.
        """

    @abstractmethod
    def check_catalogue(self, n_items: int, where: str) -> None:
        """Refuse a catalogue of a size on which the numbers would mean nothing.

        Raises:
            ProtocolError: Names the setting, the number of items and the remedy.
        """


def check_names(field: str, names: Sequence[str], known: Iterable[str]) -> None:
    """Refuse names of metrics that repeat or that nobody knows."""
    check_unique(field, names)
    known = tuple(known)
    for name in names:
        if name not in known:
            raise explained_error(unknown_message("metric", name, known))


class RetrievalProtocol(ProtocolConfig):
    """How retrieval is judged: which rows are hidden, which items are ranked, which numbers are taken."""

    exclude: tuple[Literal["train", "valid"], ...] = ("train",)
    """Items of a user that are not ranked at test. ``[train]`` as MMRec: validation positives stay candidates;
    ``[train, valid]`` as RecBole. At validation always train only."""
    cutoffs: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (5, 10, 20, 50)
    """List lengths k, rising."""
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = ("recall", "precision", "ndcg", "map", "mrr", "hit-rate")
    """Names of ranking metrics."""
    select_by: str = "recall@20"
    """Validation metric by which weights are chosen; never rounded, never of the test part."""
    cold_users: Literal["drop", "keep"] = "drop"
    """What becomes of held-out rows whose user has no train row; both ways they are counted in the manifest."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if "train" not in self.exclude:
            raise explained_error("exclude must hold 'train': items a user is known to have are never ranked")
        check_rising("cutoffs", self.cutoffs)
        check_names("metrics", self.metrics, METRICS)
        check_unique("exclude", self.exclude)
        choices = self.metric_ids
        self.check_select_by(choices)
        return self

    @property
    def metric_ids(self) -> tuple[str, ...]:
        """All ``name@k`` of this protocol, in the order of metrics, then cutoffs."""
        return ids_of(self.metrics, self.cutoffs)

    def check_catalogue(self, n_items: int, where: str) -> None:
        """Refuse lists longer than the catalogue.

        Raises:
            ProtocolError: Names the cutoff, the number of items and the remedy.
        """
        try:
            checked_cutoffs(self.cutoffs, n_items, self.metrics[0])
        except ProtocolError as error:
            raise ProtocolError(f"{error} in {where}") from None

    @property
    def id(self) -> str:
        """Readable name plus a digest of all settings, such as ``retrieval/x-label/exclude-train/1f2e3d4c``.

        Two tables carry the same id exactly if their numbers mean the same thing.
        """
        versions = {name: METRICS[name].version for name in self.metrics}
        code = self.digest(EVALUATOR_VERSION, versions, exclude=sorted(self.exclude))
        return f"retrieval/{self.split.name}/exclude-{'+'.join(sorted(self.exclude))}/{code}"
