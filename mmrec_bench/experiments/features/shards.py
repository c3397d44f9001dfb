"""Shards of an extraction: so many items each, written whole or not at all, so that a killed extraction goes on."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmrec_bench.errors import DataError
from mmrec_bench.experiments.features.contents import Contents, MissingContentError
from mmrec_bench.extraction.base import ContentEncoder
from mmrec_bench.types import FloatArray

SHARD_ITEMS = 512
"""Items of a shard; batches end with it, so that vectors do not hang on where an extraction was killed."""
EXAMPLES = 5
"""Items named in the feature card for each reason of missing ones."""


@dataclass(slots=True)
class Tally:
    """What became of items.

    Attributes:
        reasons: Number of items without a vector, by reason.
        examples: The first rows of each reason.
        counts: What the encoder counted.
    """

    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def miss(self, row: int, reason: str) -> None:
        """Count an item without a vector."""
        self.reasons[reason] += 1
        if len(named := self.examples.setdefault(reason, [])) < EXAMPLES:
            named.append(row)

    def add(self, other: Tally) -> None:
        """Add what became of later items."""
        for reason, rows in other.examples.items():
            named = self.examples.setdefault(reason, [])
            named += rows[: EXAMPLES - len(named)]
        self.reasons += other.reasons
        self.counts += other.counts


def made_shards(
    contents: Contents,
    encoder: Callable[[], ContentEncoder[Any]],
    folder: Path,
    observer: Callable[[int, int], None] | None = None,
) -> tuple[list[Path], Tally]:
    """Make the shards that are not there, and return all in order, with what became of the items.

    Args:
        contents: Of all items.
        encoder: Returns the encoder, fitted; called when the first shard has to be made.
        folder: Where shards lie.
        observer: Is told how many items are done, and of how many.

    Raises:
        DataError: A vector does not fit the others.
        OSError: A shard cannot be written.
    """
    tally, paths = Tally(), []
    ready: ContentEncoder[Any] | None = None
    for start in range(0, len(contents), SHARD_ITEMS):
        rows = range(start, min(start + SHARD_ITEMS, len(contents)))
        path = folder / f"shard-{start // SHARD_ITEMS:06d}.npy"
        if (found := _kept(path, len(rows))) is None:
            ready = encoder() if ready is None else ready
            found = _encode(contents, ready, rows, path)
        tally.add(found)
        paths.append(path)
        if observer is not None:
            observer(rows.stop, len(contents))
    return paths, tally


def _encode(contents: Contents, encoder: ContentEncoder[Any], rows: range, path: Path) -> Tally:
    """Encode the items of one shard and write it, and what became of them before it."""
    tally = Tally()
    encoder.counts.clear()
    found: dict[int, FloatArray] = {}
    for start in range(0, len(rows), encoder.at_once):
        known, batch = [], []
        for row in rows[start : start + encoder.at_once]:
            try:
                batch.append(contents.read(row))
                known.append(row)
            except MissingContentError as reason:
                tally.miss(row, str(reason))
        for row, vector in zip(known, encoder.encode(batch) if batch else (), strict=True):
            if not np.isfinite(vector).all():
                tally.miss(row, "no vector")
            elif not vector.any():
                tally.miss(row, "vector of zeros")
            else:
                found[row - rows.start] = vector
    values = np.full((len(rows), len(next(iter(found.values()), ()))), np.nan, np.float32)
    for place, vector in found.items():
        values[place] = vector
    tally.counts = Counter(encoder.counts)
    told = {"reasons": tally.reasons, "examples": tally.examples, "counts": tally.counts}
    _replace(path.with_suffix(".json"), json.dumps(told).encode())
    _replace(path, values)
    return tally


def _kept(path: Path, n_rows: int) -> Tally | None:
    """Return what became of the items of a shard that is there, or None."""
    try:
        if len(np.load(path, mmap_mode="r", allow_pickle=False)) != n_rows:
            return None
        told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return Tally(Counter(told["reasons"]), told["examples"], Counter(told["counts"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _replace(path: Path, content: bytes | FloatArray) -> None:
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            np.save(file, content, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def joined_shards(paths: Sequence[Path], dtype: str, target: Path) -> int:
    """Write all shards as one ``.npy`` file, and return the length of its vectors; shards without any are missing rows.

    Raises:
        DataError: No item has a vector, vectors differ in length, or a value is too large for the dtype.
        OSError: The file cannot be written.
    """
    shapes = [np.load(path, mmap_mode="r", allow_pickle=False).shape for path in paths]
    dims = sorted({dim for _, dim in shapes if dim})
    if not dims:
        raise DataError("no item has a vector; the feature table would be empty. See the reasons above")
    if len(dims) > 1:
        raise DataError(f"the encoder made vectors of different lengths: {dims}; a table needs one length")
    n_rows = sum(rows for rows, _ in shapes)
    header = {"descr": np.dtype(dtype).newbyteorder("<").str, "fortran_order": False, "shape": (n_rows, dims[0])}
    with target.open("wb") as file:  # written, not mapped: a full disk is then an error, and no crash
        np.lib.format.write_array_header_1_0(file, header)
        for values in _values(paths, dims[0]):
            with np.errstate(over="ignore"):
                kept = values.astype(dtype)
            if (infinite := np.isinf(kept)).any():
                largest = float(np.abs(values[infinite]).max())
                raise DataError(
                    f"a value of {largest:.4g} is too large for {dtype}; set dtype: float32, or encoder.normalise: true"
                )
            file.write(kept.tobytes())
    return int(dims[0])


def _values(paths: Sequence[Path], dim: int) -> Iterator[FloatArray]:
    for path in paths:
        values = np.load(path, allow_pickle=False)
        yield values if values.shape[1] else np.full((len(values), dim), np.nan, np.float32)
