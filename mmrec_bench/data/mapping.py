"""Arrays that stay in their file: read as they are needed, and changed in memory alone."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mmrec_bench.errors import ResourceError

MAPPED_BYTES = 64 << 20
"""A larger array stays in its file; a smaller one is read, so that nobody can change it under a run."""


class MappedArray(np.memmap[Any, Any]):
    """An array of a file, mapped privately: its pages cost memory of their own only where they are written to.

    Attributes:
        file: The open file; other mappings of it show what it held, whatever was written to this one.
    """

    file: BinaryIO

    @classmethod
    def of(cls, file: BinaryIO, dtype: DTypeLike, shape: tuple[int, ...], offset: int = 0) -> MappedArray:
        """Map an open file.

        Args:
            file: Stays open as long as the array.
            dtype: Of the values in the file.
            shape: Of the array, in C order.
            offset: Bytes before the first value.

        Raises:
            ResourceError: The system maps no more.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        allowed = _allow(size)
        try:
            # numpy takes the open file itself, whatever its type hints say: a path could name another file by now.
            array = cls(cast(Any, file), dtype, "c", offset, shape)
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            _allow(-allowed)
            raise ResourceError(
                f"the system maps no further {size >> 20:,} MiB of a feature table. Raise its limit of memory "
                "(`ulimit -d`, `ulimit -v`)"
            ) from None
        weakref.finalize(array.base, _allow, -allowed).atexit = False
        array.file = file
        return array


def temporary(dtype: DTypeLike, shape: tuple[int, ...]) -> tuple[BinaryIO, NDArray[Any]]:
    """Return a file without a name, and a shared mapping of it that is to be filled.

    Raises:
        ResourceError: The folder of temporary files has no room.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - it lives as long as the mappings of it
    try:
        # The blocks are reserved before anything is written: a write to a mapping for which the disk has no block left
        # would end the process by a signal, where this is an error that can be told.
        _allocate(file, size)
    except OSError as error:
        file.close()
        raise ResourceError(
            f"{tempfile.gettempdir()}: cannot hold a feature table of {size >> 20:,} MiB ({error.strerror or error}). "
            "Make room, or name another folder in the environment variable TMPDIR"
        ) from None
    return file, np.memmap(cast(Any, file), dtype, "r+", 0, shape)


def mapped_file(path: Path, dtype: DTypeLike, shape: tuple[int, ...], offset: int) -> MappedArray:
    """Return the array of a file, mapped.

    Raises:
        OSError: The file cannot be opened.
    """
    return MappedArray.of(path.open("rb"), dtype, shape, offset)


def copied(array: NDArray[Any]) -> NDArray[Any]:
    """Return a copy that may be written to; of a mapped array, its file mapped again.

    The copy of a mapped array holds what the file does: what was written to the array itself has to be written again.
    """
    base = mapping_of(array)
    return np.array(array) if base is None else MappedArray.of(base.file, base.dtype, base.shape, base.offset)


def mapping_of(array: NDArray[Any]) -> MappedArray | None:
    """Return the mapped array that an array shows whole, if it does."""
    base: Any = array
    while isinstance(base, np.ndarray) and not hasattr(base, "file"):  # views of a mapped array have its class alone
        base = base.base
    if not isinstance(base, MappedArray) or base.shape != array.shape or base.dtype != array.dtype:
        return None
    return base if base.ctypes.data == array.ctypes.data else None


def _allow(size: int) -> int:
    """Raise the limit of memory that may be written to, for as long as a private mapping is there.

    Linux counts such a mapping as if all of it were written to, and of these nearly nothing is.

    Args:
        size: Bytes of the mapping; less than 0 takes back what was allowed for one.

    Returns:
        By how many bytes the limit was raised: 0 where there is none.
    """
    if sys.platform == "linux":
        import resource  # there is none on Windows

        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if soft != resource.RLIM_INFINITY:
            wanted = soft + size if hard == resource.RLIM_INFINITY else min(soft + size, hard)
            resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
            return wanted - soft
    return 0


def _allocate(file: BinaryIO, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
    else:  # Windows, macOS
        file.truncate(size)
