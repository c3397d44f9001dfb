"""What a model asks of the data and of the retriever, models inside it included."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from mmrec_bench.models.base import MODELS, ModelEntry
from mmrec_bench.types import Task


@dataclass(frozen=True, slots=True)
class Needs:
    """What a model asks for, together with the models inside it.

    Attributes:
        modalities: Modalities it cannot do without.
        features: Whether it needs features of some modality, whichever.
        time: Whether it needs timestamps or an order of interactions.
        exports: ``vectors`` (any retriever) or ``scorer`` (dense retriever only).
    """

    modalities: tuple[str, ...]
    features: bool
    time: bool
    exports: Literal["vectors", "scorer"]

    @classmethod
    def of(cls, entries: Iterable[ModelEntry], tables: Iterable[str] = ()) -> Needs:
        """Return the needs of models inside one another, whose settings name these feature tables."""
        entries = tuple(entries)
        modalities = (modality for entry in entries for modality in entry.modalities)
        return cls(
            tuple(dict.fromkeys((*modalities, *tables))),
            # A ranker reads what describes rows, and feature tables of items where there are any.
            any(entry.uses_features and entry.task == "retrieval" for entry in entries),
            any(entry.needs_time for entry in entries),
            "scorer" if any(entry.exports == "scorer" for entry in entries) else "vectors",
        )

    def lacking(self, modalities: Collection[str]) -> tuple[str, ...]:
        """Return what is needed and not given by these modalities, in words; empty where nothing is missing."""
        if missing := tuple(name for name in self.modalities if name not in modalities):
            return missing
        return ("features of at least one modality",) if self.features and not modalities else ()


def models_for(task: Task, modalities: Collection[str]) -> list[str]:
    """Return the names of the models of a task, as they are by default, for which these modalities are enough."""
    entries = (MODELS[name] for name in MODELS)
    return [entry.name for entry in entries if entry.task == task and not Needs.of([entry]).lacking(modalities)]
