"""In what two runs, or two experiments, differ: what can move a number, what cannot, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.environment import code_digest, package_versions
from mmrec_bench.experiments.schema.experiment import Experiment

Group: TypeAlias = Literal[
    "config", "data", "split", "features", "inputs", "protocol", "code", "packages", "threads", "device",
    "determinism", "seed", "tuning",
]  # fmt: skip
GROUPS: tuple[Group, ...] = get_args(Group)
"""Kinds of differences that can move a number, in the order in which they are told."""

ABSENT = "-"

COMPUTING = (
    "python", "torch", "torch-geometric", "faiss-cpu", "faiss-gpu-cu12", "numpy", "scipy", "scikit-learn", "lightgbm",
    "pandas",
)  # fmt: skip
"""Packages that compute; the others read, write and check."""

IDLE_KEYS = ("checkpoint_seconds",)
"""Last part of keys of a config that change how a run goes, and no number of it."""

PATHS = ("dataset.card", "dataset.modalities", "inputs.base.run", "inputs.start.run")
"""Keys that name what is read; where its content is known on both sides, the name does not matter."""

Facts: TypeAlias = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact in which two sides differ.

    Attributes:
        group: Which kind of fact.
        what: Its name.
        left: Its value on the left, ``-`` where there is none.
        right: Its value on the right.
    """

    group: str
    what: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Differences:
    """All differences of two sides.

    Attributes:
        moving: Those that can move a number, by group.
        idle: Those that cannot.
        outcome: What came out: metrics of the two parts, parameters, epochs.
        untold: Groups that one side says nothing of, so that they were not compared.
    """

    moving: tuple[Difference, ...] = ()
    idle: tuple[Difference, ...] = ()
    outcome: tuple[Difference, ...] = ()
    untold: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """What is known of a run that was made, or of an experiment that could be run here.

    Attributes:
        facts: What can move a number, by group and name; a group that is not there is unknown.
        idle: What cannot.
        outcome: What came out.
        paths: Values of `PATHS`.
        seeds: The seeds; of a run one.
        made: Whether it is a run.
        content: Whether digests of data, split and features are known.
    """

    facts: Facts
    idle: Mapping[str, Any]
    outcome: Mapping[str, Any]
    paths: Mapping[str, Any]
    seeds: tuple[int, ...]
    made: bool
    content: bool


def side_of_run(run: RunArtefact) -> Side:
    """Return what a run folder tells."""
    told, prints = run.manifest, run.manifest["fingerprints"]
    facts, idle, paths = _of_config(run.config())
    content = {key: value for key, value in flatten(prints, sep="/").items() if key not in ("config", "code")}
    _add_content(facts, content)
    facts["data"] |= {f"{_OF_RUNS}name": told["dataset"], f"{_OF_RUNS}leak": told.get("leak")}
    facts["inputs"] |= _inputs(told.get("inputs") or ())
    facts["protocol"]["id"] = told["protocol_id"]
    facts["code"] = {"digest": prints.get("code")}
    packages = told.get("packages") or {}
    facts["packages"] = {name: version for name, version in packages.items() if name in COMPUTING}
    device = told.get("device") or {}
    served = (told.get("retriever") or {}).get("served") or {}
    facts["device"] = {name: device.get(name) for name in ("type", "name")} | {
        f"retrieval of {part}": "+".join(backends) for part, backends in served.items()
    }
    processes = (told.get("data_parallel") or {}).get("world_size", 1)
    facts["threads"] = {"threads": told.get("threads"), "processes": processes}
    facts["determinism"] = {"level": told.get("determinism")}
    tuning = told.get("tuning") or {}
    facts["tuning"] = flatten({key: value for key, value in tuning.items() if key != "spent"})
    openings = told.get("vault_openings") or [{}]
    idle |= {f"packages.{name}": version for name, version in packages.items() if name not in COMPUTING}
    idle |= flatten({"git": told.get("git")}) | {"device.cores": device.get("cores")}
    idle |= {"time": openings[0].get("time"), "folder": run.folder}
    outcome = {part: run.metrics.get(part) for part in ("valid", "test")}
    outcome |= {key: told.get(key) for key in ("n_parameters", "model_facts", "training")}
    return Side(facts, idle, flatten(outcome), paths, (told["seed"],), True, True)


def side_of_experiment(experiment: Experiment, fingerprints: Mapping[str, str] | None) -> Side:
    """Return what an experiment tells, run here and now; threads and device are options of commands.

    Args:
        experiment: The experiment.
        fingerprints: Of its data, split and features; None where the data are not here.
    """
    facts, idle, paths = _of_config(experiment.config.model_dump(mode="json"))
    _add_content(facts, fingerprints or {})
    facts["protocol"]["id"] = experiment.config.protocol.id
    facts["code"] = {"digest": code_digest()}
    packages = package_versions()
    facts["packages"] = {name: version for name, version in packages.items() if name in COMPUTING}
    seeds = tuple(experiment.config.seeds)
    return Side(facts, idle, {}, paths, seeds, False, fingerprints is not None)


def differences(left: Side, right: Side) -> Differences:
    """Return in what two sides differ."""
    content, made = left.content and right.content, left.made and right.made
    moving: list[Difference] = []
    untold: list[str] = []
    for group in GROUPS:
        if group == "seed":
            moving += _seeds(left, right)
        elif group not in left.facts or group not in right.facts:
            untold += [group] if group in left.facts or group in right.facts else []
        else:
            moving += _differing(group, *(_shared(side.facts[group], content, made) for side in (left, right)))
    if not content:
        untold += ["content of data, split and features"]
        for key in dict.fromkeys((*left.paths, *right.paths)):
            moving += _differing(_group(key), *({key: side.paths.get(key)} for side in (left, right)))
    idle = _differing("", left.idle, right.idle) if made else []
    idle += _differing("", left.paths, right.paths) if content else []
    outcome = _differing("", left.outcome, right.outcome) if made else []
    moving.sort(key=lambda found: GROUPS.index(found.group))
    return Differences(tuple(moving), tuple(idle), tuple(outcome), tuple(untold))


def differences_of_suites(left: Mapping[str, Side], right: Mapping[str, Side]) -> Differences:
    """Return in what the experiments of two suites differ, by their labels."""
    moving: list[Difference] = []
    idle: list[Difference] = []
    untold: list[str] = []
    for label in dict.fromkeys((*left, *right)):
        if label not in left or label not in right:
            moving.append(
                Difference("config", label, *("there" if label in side else ABSENT for side in (left, right)))
            )
            continue
        found = differences(left[label], right[label])
        for told, into in ((found.moving, moving), (found.idle, idle)):
            into += [Difference(one.group, f"{label}: {one.what}", one.left, one.right) for one in told]
        untold += found.untold
    return Differences(tuple(moving), tuple(idle), (), tuple(dict.fromkeys(untold)))


def flatten(node: Any, path: str = "", sep: str = ".") -> dict[str, Any]:
    """Return ``{"a.b": value}`` for nested mappings; sequences are values."""
    if isinstance(node, Mapping):
        flat: dict[str, Any] = {}
        for key, value in node.items():
            flat |= flatten(value, f"{path}{sep}{key}" if path else str(key), sep)
        return flat
    return {path: node}


_CONTENT, _OF_RUNS = "content of ", "run: "
"""Beginning of facts that are left out where one side has no data here, or is no run."""


def _of_config(config: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Return the keys of a config by group, those that are idle, and the paths."""
    sections: tuple[Group, ...] = ("config", "data", "split", "features", "inputs", "protocol")
    facts: dict[str, dict[str, Any]] = {group: {} for group in sections}
    idle: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for key, value in flatten(config).items():
        is_path = key in PATHS or (key.startswith("inputs.features.") and key.count(".") == 2)
        if key == "seeds":
            continue
        if is_path:
            paths[key] = value
        elif key.rpartition(".")[2] in IDLE_KEYS or key == "schema_version":
            idle[key] = value
        else:
            facts[_group(key)][key] = value
    return facts, idle, paths


def _group(key: str) -> Group:
    if key.startswith("protocol.split"):
        return "split"
    section, _, name = key.partition(".")
    if section == "dataset":
        return "features" if name in ("alter", "modalities") else "data"
    if section == "inputs":
        return "inputs"
    return "protocol" if section == "protocol" else "config"


def _add_content(facts: dict[str, dict[str, Any]], fingerprints: Mapping[str, str]) -> None:
    """Put digests of content into their groups."""
    for name, value in fingerprints.items():
        kind = name.partition("/")[0]
        group = {"split": "split", "features": "features"}.get(kind, "data")
        group = "inputs" if kind in ("candidates", "base", "start") else group
        facts[group][f"{_CONTENT}{name}"] = value


def _inputs(inputs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what made inputs are, without what came out of them."""
    found: dict[str, Any] = {}
    for item in inputs:
        name = "/".join(str(item[key]) for key in ("kind", "name") if key in item)
        told = {key: value for key, value in item.items() if key not in ("kind", "name", "metrics")}
        found |= {f"{_OF_RUNS}{name}.{key}": value for key, value in flatten(told).items()}
    return found


def _shared(facts: Mapping[str, Any], content: bool, made: bool) -> dict[str, Any]:
    """Return facts without those that only data that are here, or only a run, can tell."""
    hidden = (*(() if content else (_CONTENT,)), *(() if made else (_OF_RUNS,)))
    return {key: value for key, value in facts.items() if not key.startswith(hidden)}


def _differing(group: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    return [
        Difference(group, key.removeprefix(_OF_RUNS), *(str(side.get(key, ABSENT)) for side in (left, right)))
        for key in dict.fromkeys((*left, *right))
        if left.get(key, ABSENT) != right.get(key, ABSENT)
    ]


def _seeds(left: Side, right: Side) -> list[Difference]:
    """Return the difference of seeds; a run of one of an experiment's seeds is none."""
    a, b = set(left.seeds), set(right.seeds)
    if a == b or (left.made != right.made and (a <= b or b <= a)):
        return []
    return [Difference("seed", "seed", _listed(left.seeds), _listed(right.seeds))]


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
