"""Shards as Ray tasks. What travels is text and arrays of numbers or text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmrec_bench.data.tasks import of_each
from mmrec_bench.errors import MMRecBenchError, ResourceError
from mmrec_bench.experiments.environment import use_threads
from mmrec_bench.extras import import_ray
from mmrec_bench.retrieval.base import Exclusions, Rankings, Representations
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from mmrec_bench.retrieval.shards import ShardedRetriever
from mmrec_bench.types import FloatArray, IntArray

RETRIES = 2
"""How often a shard is tried again whose worker or node was lost."""


@dataclass(frozen=True, slots=True)
class RayTasks:
    """Makes calls as tasks of the cluster that this process belongs to (implements `Tasks` of `data.tasks`).

    Args:
        n_cpus: CPUs that each task declares.
    """

    n_cpus: int = 1

    @property
    def at_once(self) -> int:
        """Tasks that the CPUs of the cluster are enough for.

        Raises:
            ResourceError: They are enough for none, so that it would wait for ever.
        """
        there = import_ray().cluster_resources().get("CPU", 0)
        if there < self.n_cpus:
            raise ResourceError(f"the nodes of the cluster have {there:g} CPUs, a task needs {self.n_cpus}; add a node")
        return int(there) // self.n_cpus

    def put(self, value: Any) -> Any:
        """Put a value into the object store."""
        return import_ray().put(value)

    def call(self, function: Callable[..., Any], *given: Any) -> Any:
        """Return the reference of what a task makes."""
        return self._remote(function, 1).remote(*given)

    def parts(self, function: Callable[..., tuple[Any, ...]], n: int, *given: Any) -> list[Any]:
        """Return the references of the values that a task makes."""
        references: list[Any] = self._remote(function, n).remote(*given)
        return references

    def get(self, held: Sequence[Any]) -> list[Any]:
        """Return values from the object store.

        Raises:
            MMRecBenchError: What a task raised.
            ResourceError: A task could not be made, or its result was lost.
        """
        ray = import_ray()
        try:
            found: list[Any] = ray.get(list(held))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, MMRecBenchError):
                raise error.cause from None
            raise _lost("failed on the cluster", error.cause) from None
        except ray.exceptions.RayError as error:
            raise _lost(f"was lost on the cluster, {RETRIES} more tries included", error) from None
        return found

    def _remote(self, function: Callable[..., Any], n: int) -> Any:
        return import_ray().remote(function).options(num_cpus=self.n_cpus, num_returns=n, max_retries=RETRIES)


def _lost(how: str, error: BaseException) -> ResourceError:
    told = str(error).strip().partition("\n")[0]
    return ResourceError(
        f"a task {how} ({type(error).__name__}: {told}). Look at `ray logs`; a node needs this version of mmrec-bench, "
        "and memory and disk for its shards"
    )


@dataclass(frozen=True, slots=True)
class RankOnRay:
    """Ranks shards of users as tasks of the cluster (a `RankShards`).

    Args:
        config: Back-end.
        threads: Of each task, those of the run: sums depend on them in their last bits.
    """

    config: RetrieverConfig
    threads: int

    def __call__(
        self, scoring: Representations, shards: Sequence[IntArray], k: int, exclude: Exclusions, ties: IntArray
    ) -> list[Rankings]:
        """Return the rankings of each shard."""
        told = {"k": k, "similarity": scoring.similarity, "threads": self.threads}
        text = json.dumps({**told, "retriever": self.config.model_dump(mode="json")})
        tables = [table.detach().cpu().numpy() for table in (scoring.users, scoring.items)]
        arrays = (*tables, exclude.offsets, exclude.items, ties)
        tasks = RayTasks(self.threads)
        found = tasks.get(of_each(tasks, rank_shard, shards, text, *arrays))
        return [
            Rankings(users, items, scores, json.loads(served))
            for users, (items, scores, served) in zip(shards, found, strict=True)
        ]


def rank_shard(
    users: IntArray,
    text: str,
    user_vectors: FloatArray,
    item_vectors: FloatArray,
    offsets: IntArray,
    excluded: IntArray,
    ties: IntArray,
) -> tuple[IntArray, FloatArray, str]:
    """Return items, scores, and as JSON who served them, for the users of a shard."""
    told = json.loads(text)
    use_threads(told["threads"])
    retriever = build_retriever(RetrieverConfig.model_validate(told["retriever"]), torch.device("cpu"))
    # Copies: what Ray hands over is read-only memory that it shares, of which torch cannot make tensors.
    of_users, of_items = (torch.from_numpy(np.array(table)) for table in (user_vectors, item_vectors))
    vectors = Representations(of_users, of_items, told["similarity"])
    exclude = Exclusions(np.array(offsets), np.array(excluded))
    found = retriever.top_k(vectors, np.array(users), told["k"], exclude, np.array(ties))
    return found.items, found.scores, json.dumps(dict(found.served))


def sharded_retriever(config: RetrieverConfig, n_shards: int, threads: int) -> ShardedRetriever:
    """Return a retriever on the CPU whose users are ranked in shards on the cluster this process belongs to."""
    return ShardedRetriever(build_retriever(config, torch.device("cpu")), n_shards, RankOnRay(config, threads))
