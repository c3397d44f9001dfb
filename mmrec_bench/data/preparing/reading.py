"""What a recipe works with while it reads: raw files, the store, and the folder that is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.preparing.canonical import write_batches
from mmrec_bench.data.raw import metadata
from mmrec_bench.data.raw.files import RawFile
from mmrec_bench.data.raw.image_features import import_image_features
from mmrec_bench.data.raw.metadata import ItemKeys, Items
from mmrec_bench.data.raw.problems import Problems
from mmrec_bench.data.raw.rows import Source
from mmrec_bench.data.raw.store import Store

_NONE = ItemKeys("", "", ())
"""Of data sets without metadata."""


@dataclass(slots=True)
class Reading:
    """A build on its way.

    Attributes:
        store: Tables on disk.
        raw: Folder of the raw files.
        folder: Folder that is written.
        cut_short: Whether files that are cut short are used as far as they are whole.
        problems: What was wrong with the raw files.
        missing: Items without a title, a picture, a field or a vector.
        dataset: What a card of another format has read, between reading rows and writing items.
    """

    store: Store
    raw: Path
    folder: Path
    cut_short: bool
    problems: Problems = field(default_factory=Problems)
    missing: dict[str, int] = field(default_factory=dict)
    dataset: Dataset[Interactions] | None = None

    def sources(self, names: Sequence[str]) -> list[Source]:
        """Return the files of these names, in their order."""
        files = [RawFile.find(self.raw, name) for name in names]
        return [Source(n, file.name, self.problems, file, self.cut_short) for n, file in enumerate(files)]

    def write_items(
        self, item_ids: Any, names: Sequence[str] = (), keys: ItemKeys = _NONE, fields: tuple[str, ...] = ()
    ) -> None:
        """Write ``items.parquet`` of what files of metadata say.

        Args:
            item_ids: External ids in the order of their rows, Arrow array of text ``[n_items]``.
            names: Files of metadata; none leaves titles and pictures empty.
            keys: What is called how in them.
            fields: Keys that are kept besides titles and pictures.
        """
        sources = self.sources(names)
        metadata.create(self.store, item_ids)
        for source in sources:
            metadata.add_metadata(self.store, source, keys, fields)
        items = Items(self.store, sources, keys, fields)
        write_batches(self.folder / "items.parquet", self._counted(items.batches()), items.schema)

    def write_table(self, items: Any) -> None:
        """Write ``items.parquet`` of an Arrow table in the order of the rows."""
        write_batches(self.folder / "items.parquet", self._counted(iter(items.to_batches())), items.schema)

    def _counted(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            for name in batch.schema.names[1:]:
                self.missing[name] = self.missing.get(name, 0) + batch.column(name).null_count
            yield batch

    def write_image_features(self, item_ids: Any, modality: str, name: str) -> None:
        """Write the vectors of the binary file of the 2014 release as a feature table."""
        (source,) = self.sources([name])
        self.missing[modality] = import_image_features(source, item_ids, self.folder / f"{modality}.npy")
