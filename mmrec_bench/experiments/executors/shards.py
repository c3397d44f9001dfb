"""Shards as Ray tasks: rankings of users, and k-cores. What travels is text and arrays of numbers or text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

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
    """Calls functions as tasks of the cluster that this process belongs to (implements `Spread` of `data.kcore`).

    Args:
        n_cpus: CPUs that each task declares.
    """

    n_cpus: int = 1

    def hold(self, shards: Sequence[Any]) -> Sequence[Any]:
        """Put shards into the object store."""
        ray = import_ray()
        return [ray.put(shard) for shard in shards]

    def map(self, function: Callable[..., Any], held: Sequence[Any], *shared: Any) -> list[Any]:
        """Return ``function(shard, *shared)`` of each shard; what is shared is put into the object store once."""
        ray = import_ray()
        remote = ray.remote(function).options(num_cpus=self.n_cpus, max_retries=RETRIES)
        references = [ray.put(value) for value in shared]
        found: list[Any] = ray.get([remote.remote(shard, *references) for shard in held])
        return found


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
        found = tasks.map(rank_shard, tasks.hold(shards), text, *arrays)
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
