"""The leak audit of prepared data: opens the vault under its own name, and tells verdicts, never metrics."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmrec_bench.audit import Audit, Made, Subject, audit
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.data.split import Split, VaultLedger
from mmrec_bench.data.split_rule import SplitConfig

PURPOSE = "leak audit: counts of rows shared, repeated or later; no metric"


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit, and the openings of the vault that it took.

    Attributes:
        audit: The findings.
        ledger: The openings.
        seconds: How long it took.
    """

    audit: Audit
    ledger: VaultLedger
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return all findings and the openings of the vault as plain data."""
        return {**self.audit.as_json(), "vault_openings": [asdict(opening) for opening in self.ledger.openings]}

    def facts(self) -> dict[str, Any]:
        """Return what the manifest of a run says of it: verdicts, and the message of each that is bad."""
        found = self.audit.findings
        return {
            "verdict": self.audit.verdict,
            "checks": {name: finding.verdict for name, finding in found.items()},
            "messages": {name: f.message for name, f in found.items() if f.verdict in ("fail", "warn")},
            "vault_openings": [asdict(opening) for opening in self.ledger.openings],
            "seconds": self.seconds,
        }


class Auditor:
    """Audits a data set and its split, each set of made features once.

    Args:
        dataset: The data set as delivered.
        split: Its split.
        rule: What made the split.
        card: What is declared of the data set.
    """

    def __init__(self, dataset: Dataset[Any], split: Split[Any], rule: SplitConfig, card: DatasetCard) -> None:
        self._dataset, self._split, self._rule, self._card = dataset, split, rule, card
        self._done: dict[str, Audited] = {}

    def __call__(self, made: Mapping[Made, FeatureTable | None], budget: int | None = None) -> Audited:
        """Return the audit, made when it is first asked for.

        Args:
            made: Features made by encoders, with their tables where these are there.
            budget: See `Subject`; None for a whole audit.
        """
        tables = {item.name: table for item, table in made.items() if table is not None}
        key = f"{[*made]}/{[table.fingerprint() for table in tables.values()]}/{budget}"
        if key not in self._done:
            dataset = dataclasses.replace(self._dataset, features={**self._dataset.features, **tables})
            self._done[key] = self._audited(dataset, tuple(made), budget)
        return self._done[key]

    def _audited(self, dataset: Dataset[Any], made: tuple[Made, ...], budget: int | None) -> Audited:
        ledger, card, started = VaultLedger(), self._card, time.perf_counter()
        test = self._split.test.open(PURPOSE, ledger)
        fields = {
            name: text for name, text in card.fields.items() if name in dataset.features or name not in card.modalities
        }
        subject = Subject(
            dataset,
            self._rule,
            self._split.train,
            self._split.valid,
            test,
            card.provenance,
            fields | {item.name: item.encoder for item in made},
            made,
            budget,
        )
        return Audited(audit(subject), ledger, time.perf_counter() - started)


def made_tables(dataset: Dataset[Any], inputs: Sequence[Mapping[str, Any]]) -> dict[Made, FeatureTable | None]:
    """Return the made features of a run, from its data set and what its manifest says of its inputs."""
    return {
        Made.of(item["name"], item["encoder"], item["leak"]): dataset.features[item["name"]]
        for item in inputs
        if item["kind"] == "features"
    }
