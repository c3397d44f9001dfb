"""Options of what makes the runs: this process, several of this machine, or a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from mmrec_bench.cli.console import run_settings
from mmrec_bench.errors import ResourceError
from mmrec_bench.experiments.environment import available_cores, choose_device
from mmrec_bench.experiments.executors.local import LocalExecutor
from mmrec_bench.experiments.executors.ray import RayExecutor
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.suite import Executor

ExecutorName: TypeAlias = Literal["local", "ray"]

ExecutorOption = Annotated[ExecutorName, typer.Option("--executor", help="local, or ray (a cluster).")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="local: runs at a time, each in a process of its own.")]
RunMemory = Annotated[
    int | None,
    typer.Option("--run-memory", min=1, help="MiB of each run; by default as measured before, or estimated."),
]


Address = Annotated[str, typer.Option(help="ray: auto (this machine's cluster), local, host:port or ray://host:port.")]
DataUrl = Annotated[
    str | None, typer.Option("--data-url", help="ray: where nodes find the data folders, such as s3://bucket/data.")
]
Shards = Annotated[
    int, typer.Option("--shard-evaluation", min=1, help="ray: evaluate retrieval in so many shards of users, on CPUs.")
]


@dataclass(frozen=True, slots=True)
class Choice:
    """What makes the runs, as chosen on the command line.

    Attributes:
        name: Which executor.
        workers: Runs at a time, of ``local``.
        run_memory: MiB of each run.
        address: Of the cluster, of ``ray``.
        data_url: Where nodes find data, of ``ray``.
        shards: Shards of users that retrieval is evaluated in, of ``ray``.
    """

    name: ExecutorName
    workers: int
    run_memory: int | None
    address: str
    data_url: str | None
    shards: int

    def __post_init__(self) -> None:
        if self.name == "ray" and self.workers > 1:
            raise ResourceError("--workers is of --executor local; a Ray cluster decides by what runs declare")
        if self.name == "local" and (self.address != "auto" or self.data_url is not None or self.shards > 1):
            raise ResourceError("--address, --data-url and --shard-evaluation are of a cluster; add --executor ray")
        if self.name == "local" and self.workers == 1 and self.run_memory is not None:
            raise ResourceError("--run-memory limits how many runs go on at once; add --workers N with N > 1")

    def settings(self, out_dir: Path, device: str, threads: int | None, **more: bool) -> RunSettings:
        """Return how runs are made: with the threads given, or a share of the cores; on a cluster with one."""
        if self.name == "local":
            shared = None if self.workers == 1 else max(1, available_cores() // self.workers)
            return run_settings(out_dir, device, threads or shared, **more)
        # What is made here all the same, such as trials of a study, is made on what this machine has.
        return run_settings(out_dir, "auto" if device == "cuda" else device, threads or 1, **more)

    def executor(self, data_dir: Path | None, device: str) -> Executor | None:
        """Return what makes the runs; None for this process.

        Raises:
            ResourceError: Evaluation in shards is not for GPUs.
        """
        if self.name == "ray":
            found = "cuda" if device == "cuda" else choose_device(device).type
            if found == "cuda" and self.shards > 1:
                raise ResourceError("--shard-evaluation ranks on CPUs; leave it out with a GPU, or add --device cpu")
            return RayExecutor(self.address, data_dir, self.run_memory, self.data_url, found, self.shards)
        return None if self.workers == 1 else LocalExecutor(self.workers, data_dir, self.run_memory)
