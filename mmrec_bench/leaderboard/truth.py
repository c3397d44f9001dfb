"""The data of a track: what lists are checked and judged against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mmrec_bench.data.split import VaultLedger
from mmrec_bench.experiments.prepare import Prepared, Preparer
from mmrec_bench.leaderboard.lists import index_of
from mmrec_bench.leaderboard.scoring import prepared_for
from mmrec_bench.leaderboard.track import Track
from mmrec_bench.types import IntArray

PURPOSE = "verification of submitted lists"


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The data of a track, with both held-out parts open.

    Attributes:
        track: The track.
        prepared: Data, split, order of equal scores, lexicon.
        parts: Held-out rows of ``valid`` and ``test``.
        users: External ids of users, by row.
        items: External ids of items, by row.
    """

    track: Track
    prepared: Prepared
    parts: Mapping[str, Any]
    users: pd.Index
    items: pd.Index

    @property
    def train(self) -> Any:
        """Training rows."""
        return self.prepared.split.train

    @property
    def ties(self) -> IntArray:
        """Place of each item among equal scores, int64 ``[n_items]``."""
        return self.prepared.ties


def load_truth(track: Track, data_dir: Path | None) -> Truth:
    """Read and split the data of a track.

    Raises:
        DataError: The data are not there, or are not what their card says.
    """
    protocol, dataset = track.protocol, track.dataset
    prepared = prepared_for(dataset.card, protocol, Preparer(data_dir), dataset.impressions)
    parts = {"valid": prepared.split.valid, "test": prepared.split.test.open(PURPOSE, VaultLedger())}
    ids = prepared.dataset
    return Truth(track, prepared, parts, index_of(ids.user_ids), index_of(ids.item_ids))
