"""What can be shown of users and items: titles, pictures, histories; or ids alone, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.split import Split, VaultLedger
from mmrec_bench.data.splitting import make_split
from mmrec_bench.errors import ArtefactError, ConfigError, DataError
from mmrec_bench.evaluation.protocol import RetrievalProtocol
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.folders import CONFIG
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.reports.errors.thumbnails import Thumbnails

VAULT_PURPOSE = "error browser: users of the test part are shown; no metric"


@dataclass(frozen=True, slots=True)
class ItemViews:
    """What can be shown of users and items.

    Attributes:
        notes: What is missing, one sentence each.
        titles: By external id.
        links: Addresses of pictures by external id; a page shows them as links, and loads none.
        thumbnails: Pictures from a folder.
        histories: Items of the training part by user, the latest first where time is known.
        truths: What users wanted, by part and user; a part that is not there is not known.
    """

    notes: tuple[str, ...]
    titles: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    thumbnails: Thumbnails | None = None
    histories: Mapping[str, Sequence[str]] = field(default_factory=dict)
    truths: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    def title(self, item_id: str) -> str:
        """Return a title, or nothing."""
        return self.titles.get(item_id, "")

    def link(self, item_id: str) -> str:
        """Return the address of a picture, or nothing; addresses other than http(s) are none."""
        address = self.links.get(item_id, "")
        return address if address.startswith(("http://", "https://")) else ""

    def picture(self, item_id: str) -> str | None:
        """Return a small picture as a data URL, or None."""
        return None if self.thumbnails is None else self.thumbnails.of(item_id)

    def history(self, user_id: str) -> Sequence[str]:
        """Return the items of a user's training part."""
        return self.histories.get(user_id, ())

    def wanted(self, user_id: str, part: str) -> Sequence[str] | None:
        """Return what a user wanted; None where that is not known."""
        return None if part not in self.truths else self.truths[part].get(user_id, ())


def item_views(
    run: RunArtefact, data_dir: Path | None, part: Literal["valid", "test"], images: Path | None = None
) -> ItemViews:
    """Read what a run's data set can show; ids alone where the data is not found, and a note that says so.

    Args:
        run: A run of retrieval or ranking.
        data_dir: Where data folders lie.
        part: The part that is looked at; the vault is opened for ``test`` alone.
        images: Folder of pictures, named by external ids.

    Raises:
        ArtefactError: The data that is found is not that of the run.
        DataError: The folder of pictures is none.
        MissingExtraError: Pictures are asked for, and the package that reads them is not installed.
    """
    thumbnails = None if images is None else Thumbnails(images)
    preparer = Preparer(data_dir)
    try:
        config = load_experiment(run.folder / CONFIG).config
        read = preparer.lists if config.kind == "lists" else preparer.dataset
        dataset: Dataset[Any] = read(config.dataset.card, ())
    except (ConfigError, DataError) as error:  # no card, or no files
        told = f"The data is not at hand, so that ids alone are shown: {error}"
        return ItemViews((told,), thumbnails=thumbnails)
    prints = run.manifest["fingerprints"]
    if (found := dataset.fingerprint()) != prints["data"]:
        raise ArtefactError(
            f"{run.folder}: was made of other data than what is found now ({prints['data']}, here {found}). "
            "Name its folder with --data-dir"
        )
    titles = _texts(dataset, dataset.items.titles)
    notes = [] if titles else ["The data set has no titles: ids are shown."]
    views = ItemViews(tuple(notes), titles, _texts(dataset, dataset.items.images), thumbnails)
    if not (isinstance(dataset.payload, Interactions) and isinstance(config.protocol, RetrievalProtocol)):
        return views
    split = make_split(dataset.payload, config.protocol.split, config.protocol.cold_users)
    if (found := split.fingerprint()) != prints["split"]:
        raise ArtefactError(f"{run.folder}: today's code parts its data in another way ({prints['split']}, {found})")
    return replace(views, histories=_by_user(dataset, split.train), truths=_truths(dataset, split, part))


def _truths(
    dataset: Dataset[Interactions], split: Split[Interactions], part: Literal["valid", "test"]
) -> dict[str, dict[str, list[str]]]:
    rows = split.valid if part == "valid" else split.test.open(VAULT_PURPOSE, VaultLedger())
    return {part: _by_user(dataset, rows)}


def _by_user(dataset: Dataset[Interactions], rows: Interactions) -> dict[str, list[str]]:
    """Return the items of each user, the latest first; in the order of the rows where time is not known."""
    clock = rows.clock()
    order = np.lexsort((-(np.zeros(len(rows)) if clock is None else clock), rows.users))
    users, items = dataset.user_ids[rows.users[order]], dataset.item_ids[rows.items[order]]
    found: dict[str, list[str]] = {}
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        found.setdefault(user, []).append(item)
    return found


def _texts(dataset: Dataset[Any], column: Any) -> dict[str, str]:
    if column is None:
        return {}
    return {item: text for item, text in zip(dataset.item_ids.tolist(), column.tolist(), strict=True) if text}
