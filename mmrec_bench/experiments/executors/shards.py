"""Shards of users that are ranked as Ray tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmrec_bench.data.tasks import of_each
from mmrec_bench.experiments.environment import use_threads
from mmrec_bench.experiments.executors.demand import Demand
from mmrec_bench.experiments.executors.ray_tasks import RayTasks
from mmrec_bench.retrieval.base import Exclusions, Rankings, Representations
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from mmrec_bench.retrieval.shards import ShardedRetriever
from mmrec_bench.types import FloatArray, IntArray


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
        tasks = RayTasks(Demand(self.threads, 0))
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
