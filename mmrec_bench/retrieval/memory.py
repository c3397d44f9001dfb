"""Blocks of users sized from a memory budget, halved when memory runs out all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from mmrec_bench.errors import ResourceError
from mmrec_bench.types import IntArray

MIB = 1 << 20

_NO_MEMORY = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "alloc fail", "alloc_failed", "bad_alloc",
    "size calculation overflowed",
)  # fmt: skip
"""What torch's CPU allocator, cuBLAS and faiss write into a plain RuntimeError."""


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """How much memory retrieval may use beside the model's vectors and the result.

    Attributes:
        mebibytes: The number under ``retriever.memory_mib``.
    """

    mebibytes: int

    def rows(self, fixed: int, per_user: int) -> int:
        """Return how many users fit.

        Args:
            fixed: Bytes needed whatever the number of users.
            per_user: Bytes needed for each user.

        Raises:
            ResourceError: Not even one user fits.
        """
        count = (self.mebibytes * MIB - fixed) // per_user
        if count < 1:
            needed = (fixed + per_user) / MIB
            raise ResourceError(
                f"ranking for a single user needs {needed:.1f} MiB ({fixed / MIB:.1f} for the item vectors, "
                f"{per_user / MIB:.1f} for the user); retriever.memory_mib allows {self.mebibytes}. "
                f"Raise retriever.memory_mib to at least {int(needed) + 1}"
            )
        return count


def run_in_blocks(n_users: int, block: int, serve: Callable[[slice], None]) -> None:
    """Call ``serve`` on consecutive blocks of users; a block that runs out of memory is halved and served again.

    Args:
        n_users: Number of users.
        block: Users a block, at first.
        serve: Ranks one block; called again with the same start after it ran out of memory.

    Raises:
        ResourceError: Memory ran out for a single user.
    """
    start = 0
    while start < n_users:
        try:
            serve(slice(start, min(start + block, n_users)))
            start += block
            continue
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if block == 1:
                raise ResourceError(
                    f"memory ran out while ranking for a single user ({type(error).__name__}: {error}). "
                    "Close other programs, choose a smaller catalogue or a machine with more memory"
                ) from None
        block = max(1, min(block, n_users - start) // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def windows_of(rows: IntArray, block: int) -> list[IntArray]:
    """Return the blocks that `run_in_blocks` serves while memory suffices."""
    return [rows[start : start + block] for start in range(0, len(rows), block)]


@contextmanager
def clear_memory_errors(doing: str) -> Iterator[None]:
    """Turn any out-of-memory error inside into a `ResourceError` that says what was being done."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"memory ran out while {doing} ({type(error).__name__}: {error}). Close other programs, "
            "or choose a machine or device with more memory"
        ) from None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of numpy, torch or faiss means that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)
