"""Getting the data that experiments need and that is not there: fetched, and built where it is built of raw files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from mmrec_bench.data.cards import data_root, find_data, load_card
from mmrec_bench.data.fetching.fetch import fetch, raw_folder
from mmrec_bench.data.fetching.policy import Policy, Watcher, unwatched
from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.data.formats.prepared import PreparedCard
from mmrec_bench.data.preparing.prepare import Means, prepare


def missing_cards(names: Iterable[str], data_dir: Path | None) -> list[DatasetCard]:
    """Return the cards whose data is not there but can be fetched, each once.

    Args:
        names: Names or paths of cards.
        data_dir: Folder that holds the data folders.

    Raises:
        ConfigError: No such card, or all that is wrong with it.
    """
    cards = (load_card(name) for name in dict.fromkeys(names))
    return [card for card in cards if card.downloads and not card.embedded and find_data(card, data_dir) is None]


def obtain(
    card: DatasetCard,
    data_dir: Path | None,
    mirror: str | None = None,
    means: Means | None = None,
    policy: Policy | None = None,
    watch: Watcher = unwatched,
    tell: Callable[[str], None] = lambda told: None,
) -> Path:
    """Fetch the files of a card, and prepare the data set where it is built of them; return its folder.

    Args:
        card: The card.
        data_dir: Folder that holds the data folders; that of the card by default, if it is a user's own.
        mirror: An address that is asked first.
        means: What preparing may use.
        policy: How patiently files are fetched.
        watch: Who is told how far each file is.
        tell: Who is told what is done.

    Raises:
        DataError: A file is offered nowhere, or is not what the card says.
        ResourceError: Disk or memory do not suffice.
    """
    raw = raw_folder(card, data_dir)
    fetch(card, raw, mirror, policy, watch)
    if not isinstance(card, PreparedCard):
        return raw
    root = data_root(data_dir)
    return prepare(card, raw, raw.parents[1] if root is None else root, means or Means(), watch=tell).folder
