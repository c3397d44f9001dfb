"""Calls as Ray tasks. What travels is text, bytes, arrays of numbers or text, and errors as they are raised."""

from __future__ import annotations

import functools
import importlib
import json
import platform
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from mmrec_bench.errors import MMRecBenchError, ResourceError
from mmrec_bench.experiments.environment import code_digest
from mmrec_bench.experiments.executors.demand import RETRIES, Demand
from mmrec_bench.extras import import_ray

_PACKAGES = ("duckdb", "numpy", "pyarrow", "torch")
"""Packages that results hang on."""


@dataclass(frozen=True, slots=True)
class RayTasks:
    """Makes calls as tasks of the cluster that this process belongs to (implements `Tasks` of `data.tasks`).

    Args:
        demand: What each task declares.

    Raises:
        ResourceError: No node has as much, so that a task would wait for ever.
    """

    demand: Demand = field(default_factory=lambda: Demand(1, 0))

    def __post_init__(self) -> None:
        told = f"the {self.demand.n_cpus} CPUs and {self.demand.memory_mib:,} MiB of a task"
        self.demand.check(told, "Add a node, or lower --threads or --memory")

    @property
    def at_once(self) -> int:
        """Tasks that the nodes are enough for."""
        return self.demand.at_once

    def put(self, value: Any) -> Any:
        """Put a value into the object store.

        Raises:
            ResourceError: It has no room.
        """
        with _explained():
            return import_ray().put(value)

    def call(self, function: Callable[..., Any], *given: Any) -> Any:
        """Return the reference of what a task makes."""
        return self._submit(function, 1, given)

    def parts(self, function: Callable[..., tuple[Any, ...]], n: int, *given: Any) -> list[Any]:
        """Return the references of the values that a task makes."""
        references: list[Any] = self._submit(function, n, given)
        return references

    def get(self, held: Sequence[Any]) -> list[Any]:
        """Return values from the object store.

        Raises:
            MMRecBenchError: What a task raised.
            ResourceError: A task could not be made, or its result was lost.
        """
        with _explained():
            found: list[Any] = import_ray().get(list(held))
        return found

    def _submit(self, function: Callable[..., Any], n: int, given: Sequence[Any]) -> Any:
        remote = import_ray().remote(make_task)
        placed = remote.options(num_returns=n, **self.demand.options)
        with _explained():
            return placed.remote(_versions(), function.__module__, function.__qualname__, *given)


def make_task(versions: str, module: str, name: str, *given: Any) -> Any:
    """Call a function on a node, by its name.

    Raises:
        ResourceError: The node has other versions than the process of the command, and might come to other results.
    """
    told, here = json.loads(versions), json.loads(_versions())
    if differing := [package for package in told if told[package] != here.get(package)]:
        what = ", ".join(f"{package} {here.get(package)} instead of {told[package]}" for package in differing)
        raise ResourceError(
            f"node {socket.gethostname()}: has {what}, as where the command was given; install the same on all nodes"
        )
    return getattr(importlib.import_module(module), name)(*given)


@functools.cache
def _versions() -> str:
    """Return what results hang on, as JSON."""
    found: dict[str, str | None] = {"code of mmrec-bench": code_digest(), "Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return json.dumps(found)


@contextmanager
def _explained() -> Iterator[None]:
    exceptions = import_ray().exceptions
    try:
        yield
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, MMRecBenchError):
            raise error.cause from None
        raise _lost("a task failed on the cluster", error.cause) from None
    except (exceptions.OutOfDiskError, exceptions.ObjectStoreFullError) as error:
        raise _lost("the object store of the cluster has no room left, nor the disk it spills to", error) from None
    except exceptions.RayError as error:
        raise _lost(f"a task was lost on the cluster, {RETRIES} more tries included", error) from None


def _lost(what: str, error: BaseException) -> ResourceError:
    told = str(error).strip().partition("\n")[0]
    return ResourceError(
        f"{what} ({type(error).__name__}: {told}). Look at `ray logs`; a node needs this version of mmrec-bench, and "
        "memory and disk for its share"
    )
