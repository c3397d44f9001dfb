"""A dataset: a payload of facts, with item features, item texts and external ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

import numpy as np

from mmrec_bench.data.arrays import digest
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable
from mmrec_bench.data.pairs_digest import pairs_digest
from mmrec_bench.errors import DataError
from mmrec_bench.types import StringArray


class Payload(Protocol):
    """What a dataset is about: `Interactions`, `Lists` or `Points`."""

    @property
    def n_items(self) -> int:
        """Number of items of the catalogue."""

    def __len__(self) -> int: ...

    def fingerprint(self) -> str:
        """Return a content fingerprint."""


P = TypeVar("P", bound=Payload)


@dataclass(frozen=True, slots=True)
class DataReport:
    """What happened while the data was read; printed by `mmrec-bench datasets` and kept in manifests.

    Attributes:
        n_duplicates: Rows that repeated a user-item pair and were merged into its first occurrence.
        n_duplicates_across_parts: Those among them whose delivered split labels differed.
        missing: Number of items without a vector, by modality.
        edition: Name of the card's split edition whose label counts match, if the card lists any.
        notes: Anything else worth knowing, one sentence each.
    """

    n_duplicates: int = 0
    n_duplicates_across_parts: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    edition: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Dataset(Generic[P]):
    """Everything known before an experiment starts.

    Attributes:
        name: Name of the card; the first folder of a run's path.
        payload: The facts.
        features: Tables by modality, each as long as the catalogue.
        items: Titles, images and words.
        user_ids: External ids of users, text ``[n_users]``.
        item_ids: External ids of items, text ``[n_items]``.
        report: What happened while the data was read.

    Raises:
        DataError: A table of another length than the catalogue, or external ids that repeat.
    """

    name: str
    payload: P
    features: Mapping[str, FeatureTable]
    items: ItemTable
    user_ids: StringArray
    item_ids: StringArray
    report: DataReport = field(default_factory=DataReport)

    def __post_init__(self) -> None:
        n_items = self.payload.n_items
        for modality, table in self.features.items():
            if table.n_items != n_items:
                raise DataError(
                    f"features of '{modality}' need one row an item: {n_items}; got {table.n_items} ({table.source}). "
                    "Rows are item row numbers; give an all-zero row to an item without the modality."
                )
        for name, ids in (("user", self.user_ids), ("item", self.item_ids)):
            if len(np.unique(ids)) != len(ids):
                raise DataError(f"external {name} ids must be unique; {len(ids) - len(np.unique(ids))} occur again")
        if len(self.item_ids) != n_items:
            raise DataError(f"there must be one external id an item: {n_items}; got {len(self.item_ids)}")
        object.__setattr__(self, "features", MappingProxyType(dict(self.features)))

    def feature_fingerprints(self) -> dict[str, str]:
        """Return the content fingerprint of each feature table."""
        return {modality: self.features[modality].fingerprint() for modality in sorted(self.features)}

    def pairs_digest(self: Dataset[Interactions]) -> str:
        """Return a name for who interacted with what, whatever file it was read from; see `data.pairs_digest`."""
        return pairs_digest(self.payload.users, self.payload.items, self.user_ids, self.item_ids)

    def fingerprint(self) -> str:
        """Return the content fingerprint of payload, ids and item texts; features have their own."""
        return digest(self.payload.fingerprint(), self.user_ids, self.item_ids, self.items.fingerprint())
