"""On worlds built for it, the truth test gives the known answer: seeds and margin as stated in docs/synthetic.md."""

from __future__ import annotations

import pytest
import torch

from mmrec_bench.experiments.environment import use_threads
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.suite import load_suite
from mmrec_bench.experiments.suite import plan, run_all
from mmrec_bench.experiments.variants import variants
from mmrec_bench.reports.knockout.verdicts import knockouts_of

from .test_known_order import Quiet

pytestmark = pytest.mark.slow

MODELS = ("vbpr", "freedom")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], str]:
    """Verdicts of the suite by world, model and modality."""
    suite = load_suite("suites/modality-truth")
    settings = RunSettings(tmp_path_factory.mktemp("truth"), torch.device("cpu"), use_threads())
    tampered = [
        one for item in suite.knockouts for each in variants(item, suite.config.knockout) for one in each.experiments
    ]
    planned, failures = plan(suite.experiments, Preparer(None), settings.out, tampered)
    outcome = run_all(planned, settings, Quiet(), failures=failures)
    assert not outcome.failures
    return {
        (found.key.dataset, found.label, modality): found.verdict(modality, suite.config.knockout.margin)[0]
        for found in knockouts_of([*outcome.runs, *outcome.extra])
        for modality in found.modalities
    }


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_model_uses_what_all_users_look_at(
    verdicts: dict[tuple[str, str, str], str], modality: str, model: str
) -> None:
    other = {"image": "text", "text": "image"}[modality]
    assert verdicts[f"synthetic-{modality}", model, modality] == "yes"
    assert verdicts[f"synthetic-{modality}", model, other] != "yes"


@pytest.mark.parametrize("model", MODELS)
def test_a_model_uses_nothing_where_nobody_looks_at_it(verdicts: dict[tuple[str, str, str], str], model: str) -> None:
    assert [verdicts["synthetic-collaborative", model, modality] for modality in ("image", "text")] == ["no", "no"]
