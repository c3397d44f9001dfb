"""From run folders to comparable rows: runs that differ only in the seed become one row."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.table import seeds_in_words


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: The mean.
        sd: Unbiased standard deviation over seeds (divisor n - 1); None for one seed.
        n: Number of seeds.
    """

    mean: float
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Return the estimate of at least one value."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values))

    def text(self, digits: int = 4) -> str:
        """Return ``mean ± sd``, rounded for print only."""
        mean = f"{self.mean:.{digits}f}"
        return mean if self.sd is None else f"{mean} ± {self.sd:.{digits}f}"


@dataclass(frozen=True, slots=True)
class TableKey:
    """What the rows of one table share; numbers of different keys never stand in one table.

    Attributes:
        task: Task of the runs.
        dataset: Name of the data set.
        protocol_id: What the numbers mean.
        data: Digest of the content of data and split; of sessions that of words and queries, too.
        select_by: Metric that chose the weights, on validation.
        setting: What has to stand in the heading of every table, such as that candidates are sampled; often nothing.
    """

    task: str
    dataset: str
    protocol_id: str
    data: str
    select_by: str
    setting: str = ""

    @property
    def heading(self) -> str:
        """What all titles begin with."""
        return f"{self.dataset}, {self.setting}" if self.setting else self.dataset


@dataclass(frozen=True, slots=True)
class Row:
    """All seeds of one experiment.

    Attributes:
        label: Name of the row.
        key: Its table.
        fingerprint: Digest of config, inputs, data, split and features.
        seeds: Seeds, sorted.
        runs: The runs, in the order of `seeds`.
    """

    label: str
    key: TableKey
    fingerprint: str
    seeds: tuple[int, ...]
    runs: tuple[RunArtefact, ...]

    def metric(self, part: str, name: str) -> Estimate | None:
        """Return a metric of ``valid`` or ``test`` over the seeds, or None where a run lacks it."""
        return self._estimate(run.metrics[part].get(name) for run in self.runs)

    def slice(self, name: str, metric: str) -> Estimate | None:
        """Return a metric on a slice of the test part, or None where the slice is empty."""
        return self._estimate(run.metrics["test_slices"].get(name, {}).get(metric) for run in self.runs)

    def fact(self, *path: str) -> Estimate | None:
        """Return a number of the manifest, such as ``seconds``, ``train``, over the seeds."""

        def walk(node: Any) -> Any:
            for part in path:
                node = node.get(part) if isinstance(node, Mapping) else None
            return node

        return self._estimate(walk(run.manifest) for run in self.runs)

    def metric_names(self) -> tuple[str, ...]:
        """Return the names of all test metrics, in the order of the protocol."""
        return tuple(self.runs[0].metrics["test"])

    @staticmethod
    def _estimate(values: Iterable[float | None]) -> Estimate | None:
        present = list(values)
        numbers = [value for value in present if value is not None]
        return Estimate.of(numbers) if numbers and len(numbers) == len(present) else None


def table_key(run: RunArtefact) -> TableKey:
    """Return which tables a run may stand in."""
    facts, prints = run.manifest, run.manifest["fingerprints"]
    told = "/".join(prints[name] for name in ("data", "split", "lexicon") if name in prints)
    data = hashlib.blake2b(told.encode(), digest_size=4).hexdigest()
    return TableKey(
        facts["task"], facts["dataset"], facts["protocol_id"], data, facts["select_by"], _setting(facts["task"], run)
    )


def _setting(task: str, run: RunArtefact) -> str:
    """Return which items were on the table in sessions: numbers on sampled candidates look better than they are."""
    if task != "interactive":
        return ""
    protocol = run.config()["protocol"]
    rule = protocol["candidates"]
    if rule["name"] == "full":
        return "full catalogue"
    return f"{rule['n']} sampled candidates ({min(rule['wanted'], protocol['split']['held_out'])} wanted)"


def collect(runs: Sequence[tuple[str | None, RunArtefact]]) -> dict[TableKey, list[Row]]:
    """Group runs into tables of rows, best mean validation score first; runs on altered features stand in none.

    Args:
        runs: Runs with the label of their row; None takes the model's name.

    Raises:
        ArtefactError: A run stands in no table, or two runs of one configuration and seed differ.
    """
    grouped: dict[tuple[TableKey, str], dict[int, RunArtefact]] = {}
    labels: dict[tuple[TableKey, str], str] = {}
    for label, run in runs:
        facts, prints = run.manifest, run.manifest["fingerprints"]
        if facts.get("leak"):
            raise ArtefactError(
                f"{run.folder}: was made with data from behind the cut, and stands in no table of experiments. "
                "Leave it out; `mmrec-bench lis` reports probes"
            )
        if facts.get("altered"):
            continue
        key = table_key(run)
        row = key, prints["config"]
        _add(grouped.setdefault(row, {}), run)
        labels.setdefault(row, label or facts["model"])
    tables: dict[TableKey, list[Row]] = {}
    for (key, fingerprint), seeds in grouped.items():
        label = labels[key, fingerprint]
        if sum(other_key == key and labels[other_key, other] == label for other_key, other in grouped) > 1:
            label = f"{label} [{fingerprint[:6]}]"  # two configurations of one model must not look alike
        order = tuple(sorted(seeds))
        tables.setdefault(key, []).append(Row(label, key, fingerprint, order, tuple(seeds[seed] for seed in order)))
    for key, rows in tables.items():
        rows.sort(key=lambda row: (-_score(row, key.select_by), row.label))
    return tables


def _add(seeds: dict[int, RunArtefact], run: RunArtefact) -> None:
    """Add a run to a row, in which a seed has one run."""
    seed = run.manifest["seed"]
    other = seeds.setdefault(seed, run)
    if other.folder.resolve() != run.folder.resolve() and other.metrics != run.metrics:
        raise ArtefactError(
            f"{other.folder} and {run.folder} are runs of one configuration and seed, {seed}, with other numbers. "
            "Leave one of them out"
        )


def _score(row: Row, select_by: str) -> float:
    estimate = row.metric("valid", select_by)
    return -math.inf if estimate is None else estimate.mean


def n_of(rows: Sequence[Row]) -> str:
    """Return how many seeds rows have, in words."""
    return seeds_in_words(len(row.seeds) for row in rows)


def machines_of(rows: Sequence[Row]) -> list[str]:
    """Return on what runs were made: processor or accelerator, threads, and processes where several trained a model."""
    return sorted({_machine(run.manifest) for row in rows for run in row.runs})


def _machine(facts: Mapping[str, Any]) -> str:
    several = facts.get("data_parallel")
    processes = f", {several['world_size']} processes" if several else ""
    return f"{facts['device']['name']}, {facts['threads']} threads{processes}"
