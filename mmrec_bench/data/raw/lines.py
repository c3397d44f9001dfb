"""Lines of raw files as Arrow batches with their numbers, without a Python object a line."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mmrec_bench.data.raw.files import CutShortError, RawFile
from mmrec_bench.data.raw.problems import Problems
from mmrec_bench.errors import DataError
from mmrec_bench.types import IntArray

MAX_LINE = 1 << 24
"""Bytes of a line; longer ones are counted and left out."""

BATCH = 1 << 24
"""Bytes of lines handed over at a time."""

LINES = pa.schema([("line", pa.int64()), ("text", pa.string())])
"""Number of the line, from 1, and its text without the line end."""


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a text file.

    Attributes:
        file: The file.
        problems: Takes lines that are no text or too long.
        cut_short: Whether what is whole of a damaged packed file is read and the rest noted; an error otherwise.
    """

    file: RawFile
    problems: Problems
    cut_short: bool = False

    @property
    def schema(self) -> Any:
        """`LINES`."""
        return LINES

    def batches(self) -> Iterator[Any]:
        """Yield record batches of the schema `LINES`; blank lines are in them.

        Raises:
            DataError: The file cannot be read, is a bomb, or is cut short where that is not allowed.
        """
        number = 1
        for block, n_lines in self._whole_lines():
            if block is None:  # of a line that is too long nothing is kept
                self.problems.add(self.file.name, "too-long", number)
            else:
                yield self._batch(block, number)
            number += n_lines

    def _whole_lines(self) -> Iterator[tuple[bytes | None, int]]:
        """Yield blocks that end with a line end, and how many lines each holds; None for a line that is too long."""
        rest: list[bytes] = []
        size, skipping, first = 0, False, True
        try:
            for block in self.file.blocks():
                if first:
                    block, first = block.removeprefix(codecs.BOM_UTF8), False
                if skipping:
                    end = block.find(b"\n")
                    if end < 0:
                        continue
                    block, skipping = block[end + 1 :], False
                    yield None, 1
                rest.append(block)
                size += len(block)
                if size < BATCH:
                    continue
                data = b"".join(rest)
                if cut := data.rfind(b"\n") + 1:
                    yield data[:cut], data.count(b"\n", 0, cut)
                rest, size = [data[cut:]], len(data) - cut
                if size > MAX_LINE:
                    rest, size, skipping = [], 0, True
            ending = b"\n"
        except CutShortError as error:
            if not self.cut_short:
                raise DataError(
                    f"{error}, or write `allow_cut_short: true` under 'build' to use what is whole"
                ) from None
            self.problems.add(self.file.name, "cut-short", 0)
            ending = b""  # half a line may look like a whole one
        if skipping:
            yield None, 1
        data = b"".join(rest)
        data = data + ending if data and not data.endswith(b"\n") else data
        if data := data[: data.rfind(b"\n") + 1]:
            yield data, data.count(b"\n")

    def _batch(self, block: bytes, number: int) -> Any:
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
        starts = np.concatenate([[0], ends[:-1] + 1])
        numbers = np.arange(number, number + len(ends), dtype=np.int64)
        if (ends - starts).max() > MAX_LINE:
            long = ends - starts > MAX_LINE
            self.problems.add(self.file.name, "too-long", int(numbers[long][0]), int(long.sum()))
            kept = [block[start : end + 1] for start, end in zip(starts[~long], ends[~long], strict=True)]
            block, numbers = b"".join(kept), numbers[~long]
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == 10)
        return self._checked(block, ends, numbers)

    def _checked(self, block: bytes, ends: IntArray, numbers: IntArray) -> Any:
        # The line end stays at the end of its text: offsets of Arrow have no gaps, and readers do not mind it.
        offsets = np.concatenate([[0], ends + 1]).astype(np.int32)
        texts = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(block))
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid:
            lines = block.split(b"\n")[:-1]
            good = np.array([_is_utf8(line) for line in lines])
            self.problems.add(self.file.name, "not-utf8", int(numbers[~good][0]), int((~good).sum()))
            texts = pa.array([line.decode() for line, ok in zip(lines, good, strict=True) if ok], pa.string())
            numbers = numbers[good]
        return pa.record_batch([pa.array(numbers), texts], schema=LINES)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
