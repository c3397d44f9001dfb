"""Options of what makes the runs: this process, several of this machine, or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from mmrec_bench.errors import ResourceError
from mmrec_bench.experiments.environment import available_cores
from mmrec_bench.experiments.executors.local import LocalExecutor
from mmrec_bench.experiments.suite import Executor

ExecutorName: TypeAlias = Literal["local", "ray"]

ExecutorOption = Annotated[ExecutorName, typer.Option("--executor", help="local, or ray (a cluster).")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="local: runs at a time, each in a process of its own.")]
RunMemory = Annotated[
    int | None,
    typer.Option("--run-memory", min=1, help="MiB of each run; by default as measured before, or estimated."),
]


def threads_of(threads: int | None, workers: int) -> int | None:
    """Return the threads of each run: as given, or an equal share of the cores."""
    return threads if threads is not None or workers == 1 else max(1, available_cores() // workers)


def make_executor(name: ExecutorName, workers: int, run_memory: int | None, data_dir: Path | None) -> Executor | None:
    """Return what makes the runs; None for this process.

    Raises:
        ResourceError: Options of another executor.
    """
    if name == "local" and workers == 1:
        if run_memory is not None:
            raise ResourceError("--run-memory limits how many runs go on at once; add --workers N with N > 1")
        return None
    return LocalExecutor(workers, data_dir, run_memory)
