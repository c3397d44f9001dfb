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
    """Have this thread, and threads that it starts, take such numbers for zero, as inputs and as results.

    Processors that cannot do this go on as they are.
    """
    before = _are_zero()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def start_threads(count: int) -> None:
    """Set torch to so many threads, and start them with `subnormals_are_zero` unless they are there.

    A thread keeps for good what it inherits from the one that starts it, and nothing can change it from outside; so
    this comes before anything else makes torch start them. Outside of training they go on taking such numbers for zero
    in their shares of large tensors, where the thread that calls does not.
    """
    with subnormals_are_zero():
        torch.set_num_threads(count)
        torch.zeros(_TO_SHARE).add_(1)


def _are_zero() -> bool:
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    return bool(smallest / 2 == 0)
