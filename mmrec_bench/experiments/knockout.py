"""The modality truth test: what is done to the features, to learn whether a model uses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field

from mmrec_bench.data.alterations import ALTERATIONS, Alteration, Dropped, modalities_left
from mmrec_bench.experiments.schema.seeds import Seedlist
from mmrec_bench.settings import BaseConfig, explained_error

REAL = "real"
"""Label of the features as they are."""

DEFAULT_MARGIN = 0.05
"""Share of the real score within which a difference counts as none."""

Kind: TypeAlias = Literal["alone", "shuffled", "gaussian", "constant", "dropped"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What the modality truth test does to a modality."""


def _shuffled_too(kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
    if "shuffled" not in kinds:
        raise explained_error(f"kinds must hold 'shuffled', from which the verdict is read; got {list(kinds)}")
    return kinds


class KnockoutConfig(BaseConfig):
    """The modality truth test: the model trained anew on features that were tampered with."""

    kinds: Annotated[tuple[Kind, ...], AfterValidator(_shuffled_too)] = KINDS
    """What is done to each modality in turn; ``alone`` drops all others."""
    seeds: Seedlist | None = None
    """Seeds of every variant, those of the experiment by default. Real features get as many others, which show by how
    much real runs differ from real runs."""
    margin: Annotated[float, Field(gt=0, lt=1)] = DEFAULT_MARGIN
    """A model does not use a modality if all the interval of the difference lies within this share of its score."""


def tampered(modalities: Sequence[str], kinds: Sequence[Kind] = KINDS) -> dict[str, tuple[Alteration, ...]]:
    """Return what is done to the features, by label; of two modalities one alone is the other dropped, listed once."""
    found: dict[str, tuple[Alteration, ...]] = {}
    for modality in modalities:
        for kind in kinds:
            changes = _changes(kind, modality, [other for other in modalities if other != modality])
            if changes:  # a single modality is alone anyway
                found.setdefault(label_of(changes, modalities), changes)
    return found


def label_of(alterations: Sequence[Alteration], modalities: Sequence[str]) -> str:
    """Return the name of a variant of features of these modalities, whatever its seeds."""
    text = ", ".join(change.label for change in alterations)
    left = modalities_left(modalities, alterations)
    if len(left) == 1 < len(modalities) and all(isinstance(change, Dropped) for change in alterations):
        return f"{left[0]} alone ({text})"
    return text or REAL


def _changes(kind: Kind, modality: str, others: Sequence[str]) -> tuple[Alteration, ...]:
    if kind == "alone":
        return tuple(Dropped(modality=other) for other in others)
    return (ALTERATIONS[kind].model_validate({"modality": modality}),)
