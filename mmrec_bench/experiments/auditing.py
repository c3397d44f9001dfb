"""What `mmrec-bench audit` audits: a card under a split rule, or what the experiments of a YAML read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mmrec_bench.audit import Kind, Made, kind_of
from mmrec_bench.data.cards import load_card
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.formats.base import PayloadKind
from mmrec_bench.data.rules import SPLITS, SplitConfig
from mmrec_bench.data.splitting import make_list_split, make_split
from mmrec_bench.errors import ProtocolError
from mmrec_bench.experiments.audit import Audited, Auditor
from mmrec_bench.experiments.features.artefact import FeaturesArtefact
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.settings import Document


@dataclass(frozen=True, slots=True)
class SplitAudit:
    """The audit of one data set under one split.

    Attributes:
        dataset: Name of the data set.
        protocol: The split rule, or the experiment that names it.
        kind: What was parted.
        fingerprints: Content of ``data`` and ``split``.
        audited: The audit.
    """

    dataset: str
    protocol: str
    kind: Kind
    fingerprints: dict[str, str]
    audited: Audited

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        names = {"dataset": self.dataset, "protocol": self.protocol, "kind": self.kind}
        return {**names, "fingerprints": self.fingerprints, **self.audited.as_json()}


def rule_of(name: str, overrides: Sequence[str]) -> SplitConfig:
    """Return a split rule by name, with settings such as ``seed=3``.

    Raises:
        RegistryError: There is no such rule.
        ConfigError: A setting is unknown or wrong.
    """
    return Document(f"split '{name}'", {"name": name}).with_overrides(overrides).parse(SPLITS[name])


def audit_rule(card: str, rule: SplitConfig, preparer: Preparer) -> Iterator[SplitAudit]:
    """Audit everything a card holds that a rule parts.

    Raises:
        ProtocolError: It parts nothing of it.
        DataError: The data is missing or broken.
    """
    found = load_card(card)
    refusals = {kind: rule.refusal(kind) for kind in get_args(PayloadKind) if kind in found.payloads}
    if all(refusals.values()):
        raise ProtocolError(
            f"data set '{found.name}': {next(iter(refusals.values()))}; or name the YAML of an experiment as PROTOCOL"
        )
    for kind in (kind for kind, refusal in refusals.items() if refusal is None):
        dataset: Any = preparer.lists(card) if kind == "lists" else preparer.dataset(card)
        split: Any = (make_list_split if kind == "lists" else make_split)(dataset.payload, rule)
        prints = {"data": dataset.fingerprint(), "split": split.fingerprint()}
        audited = Auditor(dataset, split, rule, found)({})
        yield SplitAudit(found.name, rule.name, kind, prints, audited)


def audit_experiments(card: str, experiments: Sequence[Experiment], preparer: Preparer) -> Iterator[SplitAudit]:
    """Audit what those experiments read that are on a card; the same data, split and inputs once.

    Features under inputs that are not made yet are not made for it: what they are made of is audited.

    Raises:
        ProtocolError: None is on that card.
        DataError: The data is missing or broken.
    """
    name = load_card(card).name
    chosen = [item for item in experiments if load_card(item.config.dataset.card).name == name]
    if not chosen:
        others = sorted({load_card(item.config.dataset.card).name for item in experiments})
        raise ProtocolError(
            f"no experiment of {experiments[0].source} is on data set '{name}'; they are on {', '.join(others)}. "
            "Name one of these as DATASET"
        )
    done = set()
    for experiment in chosen:
        prepared, made = preparer(experiment), dict(_made(experiment))
        key = (id(prepared.auditor), frozenset(made))
        if key in done:
            continue
        done.add(key)
        prints = {part: prepared.fingerprints[part] for part in ("data", "split")}
        where = f"{experiment.config.protocol.split.name} of {experiment.source}"
        yield SplitAudit(name, where, kind_of(prepared.split.train), prints, prepared.auditor(made))


def _made(experiment: Experiment) -> Iterator[tuple[Made, FeatureTable | None]]:
    for name, source in experiment.config.inputs.features.items():
        if isinstance(source, str):
            artefact = FeaturesArtefact.load(Path(source))
            yield Made.of(name, artefact.manifest["encoder"], artefact.manifest.get("leak")), artefact.table(name)
        else:
            yield Made(name, source.encoder.name), None
