"""On a world whose truth is known the probe finds it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmrec_bench.experiments.lis.config import load_lis
from mmrec_bench.experiments.lis.features import feature_sets, measure_features
from mmrec_bench.experiments.lis.probe import probe_all
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.reports.lis import LisReport

pytestmark = pytest.mark.slow

LEAKS = (
    "leaks=[{name: id-embedding, days: [5.0, 15.0, 30.0], modes: [replace, add], controls: [own, random, shuffled]},"
    " {name: neighbours, days: [60.0], controls: [random]}]"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> LisReport:
    loaded = load_lis("lis/synthetic-clicks", (LEAKS, "seeds=[0]"))
    settings = RunSettings(Path(tmp_path_factory.mktemp("runs")), torch.device("cpu"), torch.get_num_threads())
    preparer = Preparer(None)
    probe, artefacts = probe_all(loaded, preparer, settings, lambda seed, name: None)
    sets = feature_sets(probe, preparer, settings)
    measured = {each.name: [measure_features(probe, each, one, settings) for one in artefacts] for each in sets}
    return LisReport("LIS", "test", loaded.config, artefacts, measured)


def _gain(report: LisReport, name: str) -> float:
    return next(row.impact.mean for row in report.rows if row.variant.name == name)


def test_lis_grows_with_what_is_leaked(report: LisReport) -> None:
    gains = [_gain(report, f"id-embedding/replace/{days}d") for days in (5, 15, 30)]
    assert 0.002 < gains[0] < gains[1] < gains[2]
    assert gains[2] > 0.02


def test_controls_give_nothing_in_the_slot_and_take_away_in_place_of_the_table(report: LisReport) -> None:
    for row in report.rows:
        if row.variant.control in ("own", "random", "shuffled"):
            low, high = row.impact.interval
            if row.variant.mode == "add":
                assert low - 0.001 < 0 < high + 0.001, row.variant.name
            else:
                assert row.impact.mean <= 0, row.variant.name
    assert _gain(report, "id-embedding/replace/own") == 0.0


def test_leaked_neighbours_are_negligible(report: LisReport) -> None:
    row = next(row for row in report.rows if row.variant.name == "neighbours/add/60d")
    assert row.impact.interval[0] < 0.001


def test_features_are_ordered_by_their_known_quality(report: LisReport) -> None:
    gains = [_gain(report, f"features/add/{name}") for name in ("image", "image of 2/3", "image of 1/3")]
    assert gains[0] > gains[1] > gains[2]
    assert gains[0] > _gain(report, "features/add/noise")
    assert report.ranked[0].variant.control == "image"
    bound = report.bounds[0].impact
    ratios = [row.impact.ratio(bound) for row in report.ranked]
    assert all(ratio is not None for ratio in ratios)
    assert [ratio[0] for ratio in ratios if ratio] == sorted((ratio[0] for ratio in ratios if ratio), reverse=True)
