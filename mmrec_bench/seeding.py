"""Random streams: every draw is a function of (seed, stream, epoch), so no generator state is ever saved."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch

Determinism: TypeAlias = Literal["exact", "seeded"]
"""``exact``: bit-identical on the same CPU, thread count and package versions. ``seeded``: same streams, but kernels
(CUDA atomics), or sums over processes that share batches, may differ in the last bits."""


def derive_seed(seed: int, stream: str, epoch: int = 0) -> int:
    """Return a 63-bit seed for one stream of one epoch; stable across platforms and Python versions."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{epoch}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@dataclass(frozen=True, slots=True)
class Seeds:
    """All random streams of one run.

    Attributes:
        seed: The number a user writes under ``seeds``.
    """

    seed: int

    def generator(self, stream: str, epoch: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
        """Return a fresh torch generator of this stream and epoch on ``device``."""
        generator = torch.Generator(device=device)
        generator.manual_seed(derive_seed(self.seed, stream, epoch))
        return generator

    def numpy(self, stream: str, epoch: int = 0) -> np.random.Generator:
        """Return a fresh numpy generator of this stream and epoch."""
        return np.random.default_rng(derive_seed(self.seed, stream, epoch))

    def seed_global(self, stream: str, epoch: int = 0) -> None:
        """Seed the global generators of torch, numpy and Python.

        Layers of torch (dropout, default initialisers) take no generator, so the run seeds the global one before it
        builds a model and at every epoch start.
        """
        seed = derive_seed(self.seed, stream, epoch)
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - third-party models may use the global generator
        random.seed(seed)


def determinism_of(device: torch.device, n_processes: int = 1) -> Determinism:
    """Return what a run by some processes on ``device`` can promise; it is recorded in the manifest."""
    return "exact" if device.type == "cpu" and n_processes == 1 else "seeded"
