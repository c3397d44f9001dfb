"""The audit of cards, experiments and runs: whom it looks at, what it opens, and that it is made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmrec_bench.audit import CHECKS, Made
from mmrec_bench.data.split import SealedTest
from mmrec_bench.errors import ConfigError, ProtocolError, RegistryError
from mmrec_bench.experiments.audit import PURPOSE
from mmrec_bench.experiments.auditing import audit_experiments, audit_rule, rule_of
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import run
from mmrec_bench.experiments.run_settings import RunSettings
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.reports.report import make_report
from tests.experiments.conftest import write_config


def test_the_manifest_says_what_was_found_and_who_opened_the_vault(
    world: Path, settings: RunSettings, preparer: Preparer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    original = SealedTest.open

    def spy(self, purpose, ledger):  # type: ignore[no-untyped-def]
        opened.append(purpose)
        return original(self, purpose, ledger)

    monkeypatch.setattr(SealedTest, "open", spy)
    runs = []
    for model in ("popularity", "ease"):
        experiment = load_experiment(write_config(world, model, trainer="", extra="retriever: {backend: torch}\n"))
        prepared = preparer(experiment)
        runs.append((None, run(experiment, prepared, run_key(experiment, prepared, 0), settings)))
    assert opened.count(PURPOSE) == 1, "one audit for all runs on the same data and split"
    audits = [artefact.manifest["audit"] for _, artefact in runs]
    assert audits[0] == audits[1]
    assert set(audits[0]["checks"]) == set(CHECKS)
    assert audits[0]["verdict"] == "warn"  # each user of the tiny world has eight rows, and fewer in train
    assert list(audits[0]["messages"]) == ["filter-on-all"]
    assert [opening["purpose"] for opening in audits[0]["vault_openings"]] == [PURPOSE]
    assert not {"recall", "ndcg"} & set(str(audits[0]).split()), "no metric"
    ((group,),) = make_report("t", "c", runs).groups.values()
    told = [fact for fact in group.facts if fact.startswith("Leak audit")]
    assert len(told) == 1
    assert told[0].startswith("Leak audit: WARN filter-on-all (the degrees show a filter")


def test_a_leak_in_the_data_is_in_the_report(world: Path, settings: RunSettings, preparer: Preparer) -> None:
    card = world / "tiny.yaml"
    card.write_text(card.read_text() + "provenance: {fields: {image: {made_of: interactions}}}\n")
    experiment = load_experiment(write_config(world, "popularity", trainer=""))
    prepared = preparer(experiment)
    artefact = run(experiment, prepared, run_key(experiment, prepared, 0), settings)
    assert artefact.manifest["audit"]["checks"]["late-fields"] == "fail"
    ((group,),) = make_report("t", "c", [(None, artefact)]).groups.values()
    assert any(fact.startswith("Leak audit: FAIL late-fields (image is made of") for fact in group.facts)


def test_a_suite_is_audited_by_data_and_split_not_by_model() -> None:
    suite = load_suite("configs/suites/quick.yaml")
    preparer = Preparer(None)
    found = list(audit_experiments("synthetic", suite.experiments, preparer))
    assert sorted(item.protocol.split()[0] for item in found) == ["online-users", "random-811"]
    assert all((item.kind, item.audited.audit.verdict) == ("interactions", "warn") for item in found)
    assert {item.kind for item in audit_experiments("synthetic-clicks", suite.experiments, preparer)} == {"points"}
    with pytest.raises(ProtocolError, match=r"on data set 'amazon-baby'; they are on synthetic"):
        list(audit_experiments("amazon-baby", suite.experiments, preparer))


def test_made_features_are_named_without_being_made() -> None:
    experiment = load_experiment("configs/synthetic/alignrec-ica.yaml")
    (found,) = audit_experiments("synthetic", [experiment], Preparer(None))
    finding = found.audited.audit.findings["made-features"]
    assert finding.verdict == "pass"
    assert "ica" in finding.message


def test_features_are_audited_where_they_are_there(world: Path, preparer: Preparer) -> None:
    prepared = preparer(load_experiment(write_config(world, "popularity", trainer="")))
    table = prepared.dataset.features["image"]
    without, with_table = prepared.auditor({}), prepared.auditor({Made("fused", "ica"): table})
    assert "fused/items" not in without.audit.findings["near-duplicates"].counts
    assert "fused/items" in with_table.audit.findings["near-duplicates"].counts
    assert prepared.auditor({}) is without
    assert prepared.auditor({Made.of("fused", "lis", {"horizon": 3}): table}).audit.verdict == "fail"


def test_rules_are_read_as_in_a_protocol() -> None:
    assert rule_of("random-811", ["seed=3"]).model_dump()["seed"] == 3
    with pytest.raises(RegistryError, match="did you mean 'global-time'"):
        rule_of("global-tim", [])
    with pytest.raises(ConfigError, match="unknown key; did you mean 'seed'"):
        rule_of("random-811", ["sed=3"])
    with pytest.raises(ProtocolError, match=r"does not part interactions.*or name the YAML of an experiment"):
        list(audit_rule("amazon-baby", rule_of("by-user", []), Preparer(None)))


def test_both_payloads_of_a_card_are_audited() -> None:
    kinds = [found.kind for found in audit_rule("synthetic", rule_of("global-time", []), Preparer(None))]
    assert kinds == ["interactions", "lists"]


def test_shuffled_test_rows_change_the_audit_and_nothing_of_it_is_a_score(world: Path) -> None:
    (found,) = audit_rule(str(world / "tiny.yaml"), rule_of("x-label", []), Preparer(None))
    numbers = found.as_json()["checks"]["repeated-pairs"]["counts"]
    assert numbers == {"rows": 0, "share": 0.0, "in_valid_and_test": 0, "merged": 0, "merged_across_parts": 0}
    assert np.isfinite(
        [value for check in found.as_json()["checks"].values() for value in check["counts"].values()]
    ).all()
