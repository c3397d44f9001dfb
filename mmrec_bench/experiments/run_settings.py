"""Where and how runs and what they need are made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How runs are made; none of it changes what a run means.

    Attributes:
        out: Root of all run folders.
        device: Where models and dense retrieval live.
        threads: Threads of torch and faiss.
        resume: Whether an interrupted run goes on from its checkpoint.
        reuse_stale: Whether features and first stages that other code made are used as they are.
        energy: Whether the energy of runs is measured, or estimated where it cannot be.
        evaluation_shards: Shards of users that retrieval is evaluated in, as tasks of the cluster that makes the run.
    """

    out: Path
    device: torch.device
    threads: int
    resume: bool = False
    reuse_stale: bool = False
    energy: bool = False
    evaluation_shards: int = 1
