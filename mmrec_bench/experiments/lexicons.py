"""Words and queries of an experiment, mined from the items or read from a log."""

from __future__ import annotations

from pathlib import Path

from mmrec_bench.data.cards import find_data
from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.data.formats.query_log import read_queries
from mmrec_bench.data.items import ItemTable
from mmrec_bench.data.lexicon import Lexicon, known_words, logged_lexicon, mined_lexicon
from mmrec_bench.evaluation.interactive_protocol import LoggedQueries, MinedQueries, QueriesConfig


def lexicon_of(config: QueriesConfig, items: ItemTable, card: DatasetCard, data_dir: Path | None) -> Lexicon:
    """Return the words and queries that a protocol allows.

    Raises:
        DataError: Items have too few words of use, or the log of queries is missing or broken.
    """
    if isinstance(config, LoggedQueries):
        folder = find_data(card, data_dir) or card.folder or Path()  # a made data set has no folder but its card's
        logged = read_queries(folder / config.file, known_words(items, config.supports))
        return logged_lexicon(items, config.supports, logged, config.min_count)
    assert isinstance(config, MinedQueries)
    return mined_lexicon(items, config.supports, config.max_words)
