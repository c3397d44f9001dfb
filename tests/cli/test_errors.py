"""The error browser from the command line: what it tells is what the data and the run folders hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmrec_bench.data.split import VaultLedger
from mmrec_bench.data.splitting import make_split
from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import RunArtefact, find_runs
from mmrec_bench.experiments.folders import CONFIG
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.reports.errors.browser import browse_errors
from mmrec_bench.reports.errors.items import item_views
from tests.pages import Page

from .test_cli import call, flags

WORLD = "{n_users: 200, n_items: 150, max_interactions: 50, mean_interactions: 12.0, factor_dim: 4}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of two models on a small world."""
    folder = tmp_path_factory.mktemp("world")
    card = folder / "small.yaml"
    card.write_text(f"schema_version: 1\nname: small\nformat: synthetic\nworld: {WORLD}\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for model in ("itemknn", "popularity"):
            settings = flags([f"dataset.card={card}"])
            assert call(patch, "run", f"configs/synthetic/{model}.yaml", *settings, "--out", str(folder / "runs")) == 0
    return [run.folder for run in find_runs([folder / "runs"])]


def test_truth_and_history_are_those_of_the_split(runs: list[Path]) -> None:
    first, second = (RunArtefact.load(folder) for folder in runs)
    config = load_experiment(runs[0] / CONFIG).config
    dataset = Preparer(None).dataset(config.dataset.card, ())
    split = make_split(dataset.payload, config.protocol.split)
    for part, rows in (("valid", split.valid), ("test", split.test.open("a test", VaultLedger()))):
        made = browse_errors(first, second, item_views(first, None, part), part=part)  # type: ignore[arg-type]
        assert made.better
        for user in (*made.better, *made.worse):
            row = dataset.user_ids.tolist().index(user.user_id)
            assert user.wanted is not None
            assert {one.item_id for one in user.wanted} == set(dataset.item_ids[rows.items[rows.users == row]])
            trained = set(dataset.item_ids[split.train.items[split.train.users == row]])
            assert set(user.history) <= trained
            assert user.n_history == len(trained)
            for side, listed in enumerate(user.lists):
                hits = sum(bool(placed.hit) for placed in listed)
                assert user.scores[side] == pytest.approx(hits / len(user.wanted))  # recall, by hand


def test_a_page_is_written_and_validation_is_the_default(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["errors", *map(str, runs), "--users", "4", "--out", str(tmp_path)]
    assert call(monkeypatch, *command) == 0
    assert "nothing of the test part was read" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["errors.html", "errors.md"]


def test_bad_input_is_one_error(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "errors", str(runs[0]), str(runs[0])) == 2
    assert "is named twice" in capsys.readouterr().err
    assert call(monkeypatch, "errors", *map(str, runs), "--metric", "auc") == 2
    assert "has no scores of single users in 'auc'" in capsys.readouterr().err
    assert call(monkeypatch, "errors", *map(str, runs), "--images", str(tmp_path / "none")) == 2
    assert "no such folder of pictures" in capsys.readouterr().err


def test_changed_data_is_refused_and_lost_data_leaves_ids(runs: list[Path]) -> None:
    run = RunArtefact.load(runs[0])
    card = Path(load_experiment(runs[0] / CONFIG).config.dataset.card)
    text = card.read_text(encoding="utf-8")
    try:
        card.write_text(text.replace("12.0", "11.0"), encoding="utf-8")
        with pytest.raises(ArtefactError, match="other data than what is found now"):
            item_views(run, None, "valid")
        card.unlink()
        views = item_views(run, None, "valid")
        assert "ids alone are shown" in views.notes[0]
        assert views.wanted("user-000", "valid") is None
    finally:
        card.write_text(text, encoding="utf-8")


def test_the_page_opens_without_errors_requests_or_a_mouse(runs: list[Path], tmp_path: Path, browser: Any) -> None:
    first, second = (RunArtefact.load(folder) for folder in runs)
    browse_errors(first, second, item_views(first, None, "valid")).write(tmp_path)
    for width in (400, 1400):
        opened = Page(browser, tmp_path / "errors.html", width)
        page = opened.page
        assert opened.widths[0] <= width
        n_open = page.locator("details[open]").count()
        page.locator("details:not([open]) > summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details[open]").count() == n_open + 1
        assert not opened.said
        assert len(opened.requests) == 1
        opened.close()
