"""Training by several processes, as ``torchrun`` starts them: who leads, who follows, and which commands know of it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from mmrec_bench.cli.console import errors
from mmrec_bench.errors import ConfigError, ConfigIssue, MMRecBenchError, ResourceError
from mmrec_bench.experiments.environment import available_cores
from mmrec_bench.experiments.following import follow
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.experiments.suite import Executor, InProcess, plan
from mmrec_bench.training.team import ALONE, Group, Team

SHARING = ("run",)
"""Commands that several processes can run together."""


def check_command(name: str | None) -> None:
    """Refuse a command that several processes would each run by themselves.

    Raises:
        ResourceError: torchrun has started several, and the command is not for them.
    """
    if name is not None and name not in SHARING and (size := _number("WORLD_SIZE", 1)) > 1:
        raise ResourceError(
            f"WORLD_SIZE is {size}, and `{name}` is for one process; `{'`, `'.join(SHARING)}` alone can be started by "
            "torchrun. Start it without torchrun, or unset WORLD_SIZE"
        )


def threads_each(threads: int | None) -> int | None:
    """Return the threads of this process: as given, or its share of the cores of this machine."""
    beside = _number("LOCAL_WORLD_SIZE", 1)
    return threads if threads is not None or beside < 2 else max(1, available_cores() // beside)


def joined(device: torch.device) -> Team:
    """Return the processes that torchrun has started, when all have come together; without torchrun, this one alone.

    Raises:
        ConfigError: The variables that torchrun sets are no numbers, or do not fit each other.
        ResourceError: The others cannot be reached, or there is no CUDA device for this process.
    """
    size, rank, local = _number("WORLD_SIZE", 1), _number("RANK", 0), _number("LOCAL_RANK", 0)
    if size < 2:
        return ALONE
    if not 0 <= rank < size:
        raise _wrong("RANK", f"must be a number from 0 to {size - 1}, below WORLD_SIZE; got {rank}")
    if device.type == "cuda":
        if local >= (n_devices := torch.cuda.device_count()):
            raise ResourceError(
                f"process {local} of this machine has no CUDA device of its own: there are {n_devices}. Start torchrun "
                f"with --nproc-per-node {n_devices}, or run with --device cpu"
            )
        torch.cuda.set_device(local)
    return Group(rank, size, device)


def executor_of(team: Team, executor: Executor | None) -> Executor | None:
    """Return what makes the runs: the executor chosen, or several processes that train one model after the other.

    Raises:
        ResourceError: Both.
    """
    if team.size == 1:
        return executor
    if executor is not None:
        raise ResourceError(
            "torchrun has several processes train one model, and --workers or --executor make several runs at a time; "
            "use one or the other"
        )
    return InProcess(team)


def follow_leader(experiments: Sequence[Experiment], team: Team, settings: RunSettings, preparer: Preparer) -> None:
    """Train along with the leader; it alone speaks of the runs, so this process tells its own troubles and no more."""
    planned, _ = plan(experiments, preparer, settings.out)
    try:
        follow(planned, team, settings)
    except MMRecBenchError as error:
        text = f"process {team.rank}: {error}"
        errors.print(text, style="red", highlight=False, markup=False)
    finally:
        team.close()  # the leader, if it waits, finds the connection closed, and fails for all


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if text and not text.isdecimal():
        raise _wrong(name, f"must be a whole number, as torchrun sets it; got '{text}'")
    return int(text) if text else default


def _wrong(name: str, message: str) -> ConfigError:
    return ConfigError("environment", [ConfigIssue(name, message)])
