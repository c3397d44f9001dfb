"""Feature sets side by side: what stands in the table, and what it rests on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmrec_bench.data.alterations import Masked
from mmrec_bench.data.splitting import make_split
from mmrec_bench.errors import ArtefactError, ConfigError, DataError
from mmrec_bench.evaluation.features import zero_shot
from mmrec_bench.evaluation.retrieval import RetrievalEvaluator
from mmrec_bench.experiments.features.evaluate import FeatureEvaluation, Part, evaluate_features
from mmrec_bench.experiments.features.evaluate_config import load_evaluation
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.reports.features import FeatureReport
from mmrec_bench.retrieval.base import tie_ranks
from mmrec_bench.retrieval.torch_backend import TorchRetriever

from .test_inputs import write_features

SETS = "{image: {tables: [image]}, both: {tables: [image, text]}, ica: {made: ica.yaml}, random: {random: 16}}"


def write_evaluation(folder: Path, sets: str = SETS) -> Path:
    path = folder / "judge.yaml"
    path.write_text(
        "schema_version: 1\ndataset: {card: tiny.yaml}\n"
        "protocol: {split: x-label, cutoffs: [5, 10], metrics: [recall, ndcg], select_by: recall@10}\n"
        f"features: {sets}\nn_neighbors: 3\nmask_ratios: [0.5, 1.0]\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def judged_world(world: Path) -> Path:
    write_features(world)
    return write_evaluation(world)


def judge(path: Path, settings: RunSettings, *overrides: str, part: Part = "valid") -> FeatureEvaluation:
    return evaluate_features(load_evaluation(path, overrides)[0], Preparer(None), settings, part)


def test_the_numbers_of_a_row_can_be_made_by_hand(judged_world: Path, settings: RunSettings) -> None:
    made = judge(judged_world, settings)
    rows = {row.name: row for row in made.rows}
    assert list(rows) == ["image", "both", "ica", "random"]
    assert [(row.dim, row.n_present) for row in rows.values()] == [(6, 29), (12, 30), (8, 30), (16, 30)]
    assert {name: set(row.masked) for name, row in rows.items()} == {
        "image": {"image"}, "both": {"image", "text"}, "ica": {"image", "text"}, "random": set(),
    }  # fmt: skip
    config, _ = load_evaluation(judged_world)
    data = Preparer(None).dataset(config.dataset.card)
    split, ties = make_split(data.payload, config.protocol.split, "drop"), tie_ranks(data.item_ids, 0)
    evaluator = RetrievalEvaluator(
        split.train, split.valid, [split.train], TorchRetriever(settings.device, 64), ties, ["recall"], [5, 10]
    )
    image = data.features["image"]
    assert rows["image"].zero_shot["recall@10"] == evaluator.evaluate(zero_shot(image, split.train)).means["recall@10"]
    for ratio, scores in rows["image"].masked["image"].items():
        masked = Masked(modality="image", ratio=ratio, seed=0).apply(image)
        assert scores["recall@10"] == evaluator.evaluate(zero_shot(masked, split.train)).means["recall@10"]
    assert (
        rows["both"].masked["image"][1.0]
        == judge(write_evaluation(judged_world.parent, "{text: {tables: [text]}}"), settings).rows[0].zero_shot
    ), "without its images, what is left of both is the text"
    assert rows["ica"].masked["image"][0.5] != rows["ica"].zero_shot


def test_the_test_part_is_opened_on_request_alone(judged_world: Path, settings: RunSettings) -> None:
    valid, test = judge(judged_world, settings), judge(judged_world, settings, part="test")
    assert valid.facts["vault_openings"] == []
    assert [opening["purpose"] for opening in test.facts["vault_openings"]] == [
        "evaluation of features, none of which is chosen by it"
    ]
    assert valid.rows[0].zero_shot != test.rows[0].zero_shot
    assert valid.rows[0].agreement == test.rows[0].agreement, "behaviour is of train"


def test_what_is_written(judged_world: Path, settings: RunSettings, tmp_path: Path) -> None:
    made = judge(judged_world, settings)
    report = FeatureReport("judge", "mmrec-bench features evaluate judge.yaml", made)
    page, numbers, facts = report.write(tmp_path / "out")
    table = report.table()
    assert table.header == (
        "features", "dim", "items", "zero-shot recall@10", "item-KNN recall@10", "behaviour recall@3",
        "image -50%", "image -100%", "text -50%", "text -100%",
    )  # fmt: skip
    assert table.rows[0][-2:] == ("-", "-"), "image alone reads no text"
    assert "Made by `mmrec-bench features evaluate judge.yaml`" in page.read_text(encoding="utf-8")
    assert f"{made.rows[0].zero_shot['recall@10']:.4f}" in page.read_text(encoding="utf-8")
    content = json.loads(facts.read_text(encoding="utf-8"))
    assert content["command"] == "mmrec-bench features evaluate judge.yaml"
    assert content["rows"][2]["zero_shot"] == dict(made.rows[2].zero_shot)
    assert {"made", "content"} <= set(content["rows"][2])
    assert set(content["fingerprints"]) == {"data", "split", "features", "code"}
    lines = numbers.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "features,measure,masked,ratio,metric,value"
    assert len(lines) == 1 + 4 * (4 + 4 + 1) + (1 + 2 + 2) * 2 * 4
    whole = judge(judged_world, settings, "mask_ratios=[]", "protocol.cutoffs=[10, 20]")
    table = FeatureReport("judge", "command", whole).table()
    assert table.header[3:] == (
        "zero-shot recall@20", "zero-shot ndcg@20", "item-KNN recall@20", "item-KNN ndcg@20", "behaviour recall@3",
    )  # fmt: skip


def test_judging_twice_gives_the_same_numbers(judged_world: Path, settings: RunSettings) -> None:
    first, second = judge(judged_world, settings), judge(judged_world, settings)
    assert first.rows == second.rows
    other = judge(judged_world, settings, "seed=1")
    assert other.rows[0].zero_shot == first.rows[0].zero_shot
    assert other.rows[0].masked != first.rows[0].masked
    assert other.rows[3].zero_shot != first.rows[3].zero_shot
    other = judge(judged_world, settings, "features.ica.made.seed=1")
    assert other.rows[2].facts["made"] != first.rows[2].facts["made"], "what is made can be overridden, too"


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ("{}", "at least 1 item"),
        ("{a: {tables: [imag]}}", "did you mean 'image'"),
        ("{a: {}}", "needs exactly one of tables, made, random; got none"),
        ("{a: {tables: [image], random: 3}}", "got tables, random"),
        ("{a: {made: none.yaml}}", "no such file"),
        ("{a: {table: [image]}}", "did you mean 'tables'"),
    ],
)
def test_what_is_refused(world: Path, sets: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_evaluation(write_evaluation(world, sets))


def test_files_that_may_be_missing_are_named_where_they_are_asked_for(
    judged_world: Path, settings: RunSettings
) -> None:
    card = judged_world.parent / "tiny.yaml"
    card.write_text(card.read_text(encoding="utf-8") + "allow_missing_files: true\n", encoding="utf-8")
    (judged_world.parent / "text_feat.npy").unlink()
    with pytest.raises(
        DataError, match=r"features.both.tables: data set 'tiny' lacks the files of text; there are image"
    ):
        judge(judged_world, settings)
    made = judge(judged_world, settings, "features={image: {tables: [image]}, ica: {made: ica.yaml}}")
    header = FeatureReport("judge", "command", made).table().header
    assert [name for name in header if "-50%" in name] == ["image -50%"], "what is not there is not masked"


def test_an_encoder_of_other_tables_is_refused(judged_world: Path, settings: RunSettings) -> None:
    with pytest.raises(ArtefactError, match=r"trained on other feature tables: text \(here: image\)"):
        judge(judged_world, settings, "dataset.modalities=[image]", "features={a: {made: ica.yaml}}")
    assert np.isfinite(judge(judged_world, settings).rows[0].agreement)
