"""What a task declares to Ray, held against what the nodes of the cluster have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmrec_bench.errors import ResourceError
from mmrec_bench.experiments.environment import MIB
from mmrec_bench.extras import import_ray

RETRIES = 2
"""How often a task is tried again whose worker or node was lost."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a task declares.

    Attributes:
        n_cpus: CPUs, one or more.
        memory_mib: Memory.
        n_gpus: GPUs.
    """

    n_cpus: int
    memory_mib: float
    n_gpus: int = 0

    @property
    def options(self) -> dict[str, Any]:
        """Options of the task."""
        memory = int(self.memory_mib * MIB)
        return {"num_cpus": self.n_cpus, "num_gpus": self.n_gpus, "memory": memory, "max_retries": RETRIES}

    @property
    def at_once(self) -> int:
        """Tasks that the nodes are enough for."""
        asked = {"CPU": self.n_cpus, "GPU": self.n_gpus, "memory": int(self.memory_mib * MIB)}
        per_node = (min(node.get(name, 0) // n for name, n in asked.items() if n) for node in _nodes())
        return int(sum(per_node))

    def check(self, told: str, advice: str) -> None:
        """Refuse what would wait for ever.

        Args:
            told: What is declared, for people.
            advice: What to do, as a sentence without its full stop.

        Raises:
            ResourceError: No node has as much.
        """
        if not self.at_once:
            has = "; ".join(
                f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs, {node.get('memory', 0) / MIB:,.0f} MiB"
                for node in _nodes()
            )
            raise ResourceError(f"no node of the cluster has {told}; there are: {has}. {advice}")


def _nodes() -> list[dict[str, float]]:
    """Return what each node has."""
    return [node["Resources"] for node in import_ray().nodes() if node["Alive"]]
