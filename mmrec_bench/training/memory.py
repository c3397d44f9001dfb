"""Memory: asked for beforehand where its size is known, and one clear error where it runs out all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mmrec_bench.errors import ResourceError
from mmrec_bench.free_memory import available_memory
from mmrec_bench.retrieval.memory import is_out_of_memory

COPIES = 5
"""Of every trained value: itself, its gradient, two moments of Adam, and the best so far."""

MIB = 1 << 20


def check_training_memory(model: nn.Module, device: torch.device) -> None:
    """Refuse a model whose training cannot fit.

    Raises:
        ResourceError: Gradients, moments and the copy of the best weights need more than is free.
    """
    size = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    needed = (COPIES - 1) * size
    free = _free_on(device) if device.type == "cuda" else available_memory()
    if needed > free:
        raise ResourceError(
            f"training needs about {needed / MIB:,.0f} MiB more on {device} for gradients, moments and the best of "
            f"{size / MIB:,.0f} MiB of parameters; {free / MIB:,.0f} MiB are free. Lower model.embedding_dim"
        )


def _free_on(device: torch.device) -> int:
    """Return the bytes that are free on a GPU, those that torch holds and has no use for among them."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused


@contextmanager
def memory_errors(device: torch.device, what: str, remedy: str | None = None) -> Iterator[None]:
    """Turn the ways in which Python, torch and CUDA run out of memory into one of ours."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        advice = "" if remedy is None else f" {remedy}."
        told = f"too little memory for {what} on {device}.{advice} Close other programs on that device"
        raise ResourceError(told) from error
