"""Numbers below float32's normal range (about 1e-38), with which processors are many times slower.

Weight decay shrinks weights whose gradients have died out, and their moments, into that range, where they mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TO_SHARE = 1 << 20
"""Elements that torch shares among all of its threads."""


@contextmanager
def subnormals_are_zero() -> Iterator[None]:
    """Have this thread take such numbers for zero, as inputs and as results.

    Threads that are there already go on as they are, and so do processors that cannot do this.
    """
    before = _are_zero()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def start_threads(count: int) -> None:
    """Set torch to so many threads, and start them.

    A thread keeps for good what it inherits from the one that starts it. Started here, and not by what happens to come
    first, none inherits `subnormals_are_zero`, and a run computes the same whatever ran before it.
    """
    torch.set_num_threads(count)
    torch.zeros(_TO_SHARE).add_(1)


def _are_zero() -> bool:
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    return bool(smallest / 2 == 0)
