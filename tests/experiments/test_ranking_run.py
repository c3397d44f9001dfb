"""Whole runs of rankers: files from which every number follows, repeats, resumption, and the vault."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from mmrec_bench.data.split import SealedTest
from mmrec_bench.errors import ArtefactError, ConfigError, ResourceError
from mmrec_bench.experiments import folders
from mmrec_bench.experiments import run as run_module
from mmrec_bench.experiments.artefact import FILES, RunArtefact, find_runs
from mmrec_bench.experiments.knockout import KnockoutConfig
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.experiments.stations import ranking as station_module
from mmrec_bench.experiments.suite import plan, run_all
from mmrec_bench.experiments.variants import variants
from mmrec_bench.models.ranking.base import RankingContext
from mmrec_bench.reports.collect import collect
from mmrec_bench.reports.knockout.verdicts import knockouts_of
from mmrec_bench.reports.report import make_report
from mmrec_bench.training import memory
from mmrec_bench.training.records import EpochRecord, SilentObserver

from .conftest import write_config, write_world
from .rankers import KNN, LISTS, MLP, make, two_stages, write_ranker, write_small
from .test_inputs import write_features
from .test_suite import Diary

CLICKS = "card: small.yaml, clicks: {model: pbm, shown: 5}"
CLICKED = f"{MLP}, learns_from: clicks"
GRADED = (
    "protocol: {split: by-user, cutoffs: [1, 3, 5], metrics: [ndcg, map, mrr, precision, recall, clicked-ndcg], "
    "select_by: ndcg@5, simulated: {nsim-pbm: {model: pbm, options: {empty: 0}}}}\n"
)
THETA = (0.68, 0.61, 0.48, 0.34, 0.28)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_small(tmp_path)


def test_the_folder_of_facts(small: Path, settings: RunSettings) -> None:
    artefact, prepared = make(load_experiment(write_ranker(small, CLICKED, dataset=CLICKS)), settings)
    assert sorted(path.name for path in artefact.folder.iterdir()) == sorted(FILES)
    manifest = artefact.manifest
    assert manifest["task"] == "ranking"
    assert manifest["model"] == "mlp"
    assert set(manifest["fingerprints"]) == {"config", "data", "split", "features", "clicks", "code"}
    assert [opening["purpose"] for opening in manifest["vault_openings"]] == [
        "final evaluation of the weights selected on validation"
    ]
    assert manifest["protocol_id"].startswith("ranking/by-user/")
    split = prepared.split.report.counts
    for part in ("valid", "test"):
        facts = manifest["lists"][part]
        assert facts["lists"] == split[part]
        assert facts["rows"] == 10 * split[part]
        assert facts["counted"] + facts["without_relevant"] == facts["lists"]
        assert "ceiling" not in facts
    assert find_runs([settings.out])[0].folder == artefact.folder
    again = load_experiment(artefact.folder / "config.yaml")
    assert run_key(again, Preparer(None)(again), 0).folder(settings.out) == artefact.folder


def _slow(name: str, labels: list[int], n_truth: int, k: int) -> float:
    """A metric of one written list by plain loops; relevant items that the list lacks have label 1."""
    missed = n_truth - sum(y > 0 for y in labels)
    hits = [rank for rank, y in enumerate(labels[:k], 1) if y > 0]
    best = sorted([*labels, *[1] * missed], reverse=True)
    gain = lambda order: sum((2**y - 1) / math.log2(rank + 1) for rank, y in enumerate(order[:k], 1))  # noqa: E731
    seen = lambda order: sum((2**y - 1) * theta for y, theta in zip(order[:k], THETA, strict=False))  # noqa: E731
    return {
        "ndcg": lambda: gain(labels) / gain(best),
        "nsim-pbm": lambda: seen(labels) / seen(best),
        "map": lambda: sum(place / rank for place, rank in enumerate(hits, 1)) / n_truth,
        "mrr": lambda: 1 / hits[0] if hits else 0.0,
        "precision": lambda: len(hits) / k,
        "recall": lambda: len(hits) / n_truth,
    }[name]()


@pytest.mark.parametrize("stages", ["lists", "candidates"])
def test_every_number_can_be_recomputed_from_the_files(small: Path, settings: RunSettings, stages: str) -> None:
    if stages == "lists":
        experiment = load_experiment(write_ranker(small, protocol=GRADED))
        names = ["ndcg", "map", "mrr", "precision", "recall", "nsim-pbm"]
    else:
        protocol = (
            "protocol: {split: random-811, cutoffs: [1, 3, 5], metrics: [ndcg, map, mrr, precision, recall], "
            "select_by: map@3}\n"
        )
        experiment = two_stages(small, MLP, protocol=protocol)
        names = ["ndcg", "map", "mrr", "precision", "recall"]
    artefact, prepared = make(experiment, settings)
    per_user, rankings = artefact.per_user(), artefact.rankings()
    for part in ("valid", "test"):
        mine = per_user[per_user["part"] == part].set_index("list")
        written = rankings[rankings["part"] == part]
        assert artefact.metrics[part] == pytest.approx(
            {name: mine[name].mean() for name in artefact.metrics[part]}, rel=1e-12
        )
        assert len(mine) == artefact.manifest["lists"][part]["counted"]
        assert written["list"].nunique() == artefact.manifest["lists"][part]["lists"]
        for number, rows in written.groupby("list"):
            assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
            assert not rows["item_id"].duplicated().any()
            assert (rows["score"].diff().dropna() <= 0).all()
            assert rows["user_id"].nunique() == 1
            n_truth = int(mine.loc[number, "n_truth"])
            if n_truth == 0:
                simulated = [name for name in mine if name.startswith("nsim")]
                assert (mine.loc[number, simulated] == 0).all()
                assert np.isnan(mine.loc[number, "ndcg@5"])
                continue
            assert mine.loc[number, "user_id"] == rows["user_id"].iloc[0]
            for name in names:
                for k in (1, 3, 5):
                    expected = _slow(name, rows["label"].tolist(), n_truth, k)
                    assert mine.loc[number, f"{name}@{k}"] == pytest.approx(expected, rel=1e-12), (name, k)
    valid = prepared.split.valid
    if stages == "lists":
        ids, users = prepared.dataset.item_ids[valid.items], prepared.dataset.user_ids[valid.users[valid.list_of]]
        truth = sorted(zip(valid.list_of.tolist(), users, ids, valid.labels.tolist(), strict=True))
        shown = rankings[rankings["part"] == "valid"]
        assert sorted(shown[["list", "user_id", "item_id", "label"]].itertuples(index=False, name=None)) == truth


def test_runs_repeat_byte_by_byte_and_seeds_differ(small: Path, settings: RunSettings, tmp_path: Path) -> None:
    experiment = load_experiment(write_ranker(small, CLICKED, dataset=CLICKS))
    first, _ = make(experiment, settings)
    again, _ = make(experiment, dataclasses.replace(settings, out=tmp_path / "other"))
    for name in ("metrics.json", "rankings.parquet", "per_user.parquet", "model.safetensors", "config.yaml"):
        assert (first.folder / name).read_bytes() == (again.folder / name).read_bytes(), name
    other, _ = make(experiment, settings, seed=1)
    assert other.metrics != first.metrics


def test_seeds_share_the_click_log_and_learn_nothing_else(
    small: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts: list[RankingContext] = []
    train = run_module.train

    def spy(model: Any, context: RankingContext, *rest: Any) -> Any:
        contexts.append(context)
        return train(model, context, *rest)

    monkeypatch.setattr(run_module, "train", spy)
    experiment = load_experiment(write_ranker(small, CLICKED, dataset=CLICKS))
    for seed in (0, 1):
        _, prepared = make(experiment, settings, seed=seed)
    one, other = (context.train for context in contexts)
    assert one.fingerprint() == other.fingerprint()
    assert one.n_lists == prepared.split.train.n_lists
    assert one.lengths().max() == 5
    assert one.fingerprint() != prepared.split.train.fingerprint()


class _KilledError(Exception):
    pass


class _Kill(SilentObserver):
    def on_epoch(self, record: EpochRecord) -> None:
        if record.epoch == 1:
            raise _KilledError


def test_an_interrupted_run_goes_on_and_a_finished_one_is_reused(
    small: Path, settings: RunSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = "{max_epochs: 4, batch_size: 64, checkpoint_seconds: 0}"
    experiment = two_stages(small, MLP, trainer=trainer)
    whole, prepared = make(experiment, dataclasses.replace(settings, out=tmp_path / "whole"))
    key = run_key(experiment, prepared, 0)
    with pytest.raises(_KilledError):
        run(experiment, prepared, key, settings, _Kill())
    assert key.state(settings.out) == "partial"
    resumed = run(experiment, prepared, key, dataclasses.replace(settings, resume=True))
    assert resumed.metrics == whole.metrics
    assert (resumed.folder / "rankings.parquet").read_bytes() == (whole.folder / "rankings.parquet").read_bytes()
    monkeypatch.setattr(run_module, "train", None)  # nothing is trained any more
    assert run(experiment, prepared, key, settings).metrics == whole.metrics


def test_a_model_that_cannot_fit_is_refused_before_it_is_trained(
    small: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = load_experiment(write_ranker(small), (f"model.hidden_dims=[{10**11}]",))
    with pytest.raises(ResourceError, match=r"too little memory for building.*Lower model.embedding_dim"):
        make(huge, settings)
    monkeypatch.setattr(memory, "available_memory", lambda: 100)
    with pytest.raises(ResourceError, match=r"needs about .* MiB more on cpu .* 0 MiB are free"):
        make(load_experiment(write_ranker(small)), settings)


def write_log(folder: Path, *, shuffle_test: bool = False) -> Path:
    """Write a card of logged lists in delivered parts; ``shuffle_test`` reverses the labels of test lists alone."""
    rng, lines = np.random.default_rng(0), ["list\tuser\titem\tposition\tclick\tlabel\tpart\tx0\tx1\n"]
    for number in range(90):
        part = ("train", "train", "valid", "test")[number % 4]
        labels = np.concatenate([[0, 3], rng.choice(4, 4)])
        for place, label in enumerate(reversed(labels) if shuffle_test and part == "test" else labels, 1):
            x0, x1 = labels[place - 1] + rng.normal(), rng.normal()
            click, item = int(rng.random() < 0.3), rng.integers(9) * 6 + place
            lines.append(f"{number}\tu{number % 7}\ti{item}\t{place}\t{click}\t{label}\t{part}\t{x0}\t{x1}\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.tsv").write_text("".join(lines), encoding="utf-8")
    (folder / "log.yaml").write_text(
        "schema_version: 1\nname: log\nformat: click-log\nlog: log.tsv\nfeature_columns: [x0, x1]\n", encoding="utf-8"
    )
    return folder


@pytest.mark.parametrize("model", [MLP, CLICKED])
def test_shuffled_test_labels_change_nothing_before_the_vault_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    seen = []
    for shuffle in (False, True):
        folder = write_log(tmp_path / f"shuffle-{shuffle}", shuffle_test=shuffle)
        protocol = LISTS.replace("by-user", "x-label")
        experiment = load_experiment(write_ranker(folder, model, dataset="card: log.yaml", protocol=protocol))
        epochs: list[tuple[object, ...]] = []
        opened: list[int] = []

        class Lines(SilentObserver):
            def on_epoch(self, record: EpochRecord, epochs=epochs) -> None:  # type: ignore[no-untyped-def]
                epochs.append((record.epoch, record.loss, dict(record.valid or {})))

        def spy(self, purpose, ledger, opened=opened, epochs=epochs, original=SealedTest.open):  # type: ignore[no-untyped-def]
            opened.append(len(epochs))
            return original(self, purpose, ledger)

        monkeypatch.setattr(SealedTest, "open", spy)
        prepared = Preparer(None)(experiment)
        settings = RunSettings(folder / "runs", torch.device("cpu"), threads=torch.get_num_threads())
        artefact = run(experiment, prepared, run_key(experiment, prepared, 0), settings, Lines())
        monkeypatch.undo()
        assert opened == [2, 2], "the vault is opened to judge and to audit, after the last epoch"
        weights = {name: tensor.tolist() for name, tensor in load_file(artefact.folder / "model.safetensors").items()}
        seen.append((epochs, artefact.metrics["valid"], weights, artefact.metrics["test"]))
    assert seen[0][:3] == seen[1][:3]
    assert seen[0][3] != seen[1][3], "the shuffle must matter once the vault is open"


def test_made_features_are_read_by_rankers(small: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """On lists and on candidates, and knocked out with the tables they are made of."""
    write_features(small, card="small.yaml")
    contexts: list[RankingContext] = []
    build = station_module.RankingStation.build

    def spy(self: Any, seed: int) -> Any:
        model, context = build(self, seed)
        contexts.append(context)
        return model, context

    monkeypatch.setattr(station_module.RankingStation, "build", spy)
    lists = load_experiment(write_ranker(small, inputs="{features: {fused: ica.yaml}}"))
    artefact, prepared = make(lists, settings)
    assert set(contexts[0].features) == {"image", "text", "fused"}
    assert contexts[0].features["fused"].dim == 8
    assert artefact.manifest["inputs"][0]["name"] == "fused"
    assert "features/fused" in prepared.fingerprints
    path = write_ranker(
        small, inputs=f"{{features: {{fused: ica.yaml}}, candidates: {{first_stage: {KNN}, n: 20}}}}",
        protocol="protocol: {split: random-811, cutoffs: [5], select_by: ndcg@5}\n",
    )  # fmt: skip
    both, _ = make(load_experiment(path), settings)
    assert [made["kind"] for made in both.manifest["inputs"]] == ["features", "candidates"]
    assert "fused" in contexts[1].features


def test_reports_keep_tasks_and_protocols_apart(small: Path, settings: RunSettings) -> None:
    write_world(small)
    experiments = [
        load_experiment(write_ranker(small, CLICKED, dataset=CLICKS)),
        load_experiment(write_ranker(small)),
        two_stages(small),
        two_stages(small, first_stage="{model: popularity}"),
    ]
    preparer, runs = Preparer(None), []
    for experiment in experiments:
        runs += [(experiment.label, make(experiment, settings, seed, preparer)[0]) for seed in (0, 1)]
    retrieval, _ = make(load_experiment(write_config(small, "lightgcn", trainer="{max_epochs: 1}")), settings)
    tables = collect([*runs, ("lightgcn", retrieval)])
    assert [len(rows) for rows in tables.values()] == [2, 2, 1]
    report = make_report("Mine", "command", [*runs, ("lightgcn", retrieval)])
    text = report.markdown()
    for part in (
        "## Ranking: in which order are given items?",
        "## Retrieval: which k of all items?",
        "small: intervals",
        "Lists for train / valid / test: ",
        "Rows for train / valid / test: ",
        "Lists are the 20 candidates of itemknn, seed 0 (initial on itemknn).",
        "Lists are the 20 candidates of popularity, seed 0 (initial on popularity).",
        "Training lists are clicked by pbm (attraction irrelevant 0.1",
        "sessions 1, shown 5, order linear, labelled 0.01, seed 0 (mlp [",
    ):
        assert part in text, part
    scores = report.frame[(report.frame["part"] == "test") & (report.frame["metric"] == "ndcg@5")]
    assert len(scores) == 4 + 1
    first = next(iter(tables.values()))[0]
    assert first.metric("test", "ndcg@5").n == 2  # type: ignore[union-attr]


def test_intervals_leave_out_lists_that_do_not_count(small: Path, settings: RunSettings) -> None:
    """A metric of clicks skips lists that NDCG counts; its table says the mean of metrics.json."""
    artefact, _ = make(
        load_experiment(write_ranker(small, protocol=GRADED.replace("ndcg@5", "clicked-ndcg@5"))), settings
    )
    test = artefact.per_user().query("part == 'test'")
    assert test["clicked-ndcg@5"].isna().any()
    text = make_report("Mine", "command", [(None, artefact)]).markdown()
    assert f"| mlp | 1 | {artefact.metrics['test']['clicked-ndcg@5']:.4f} | [" in text


def test_knockouts_of_rankers(small: Path, settings: RunSettings) -> None:
    """Real and altered features stand together, candidates too; what the first stage needs is not dropped."""
    for experiment, refused in (
        (load_experiment(write_ranker(small)), set()),
        (two_stages(small, MLP, first_stage="{model: {name: itemknn-content}, retriever: {backend: torch}}"), set()),
        (two_stages(small, MLP, first_stage="{model: {name: mgcn}, trainer: {max_epochs: 1}}"), {"image", "text"}),
    ):
        found = variants(experiment, KnockoutConfig(kinds=("shuffled", "dropped")))
        assert {variant.label.split()[0] for variant in found if variant.refusal} == refused
        planned, failures = plan([experiment], Preparer(None), settings.out, [e for v in found for e in v.experiments])
        outcome = run_all(planned, settings, Diary(), failures=failures)
        assert not outcome.failures
        (knockout,) = knockouts_of([*outcome.runs, *outcome.extra])
        assert knockout.label == experiment.label
        assert {"real", "image shuffled", "text shuffled"} <= set(knockout.rows)
        assert knockout.tested == ("image", "text")
    initial = load_experiment(write_ranker(small, "initial", trainer=""))
    with pytest.raises(ConfigError, match="model 'initial' reads no features"):
        variants(initial, KnockoutConfig())


def test_a_stale_first_stage_is_made_again_or_reused_if_asked(
    small: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = two_stages(small)
    _, prepared = make(experiment, settings)
    stage = prepared.first_stage
    assert stage is not None
    digest = stage.key.manifest(stage.key.folder(settings.out))["fingerprints"]["code"]
    monkeypatch.setattr(folders, "code_digest", lambda: "0" * len(digest))
    assert stage.key.state(settings.out) == "stale"
    other = two_stages(small, MLP)
    reused, _ = make(other, dataclasses.replace(settings, reuse_stale=True))
    assert reused.manifest["inputs"][0]["code"] == digest
    assert stage.key.state(settings.out) == "stale"
    monkeypatch.undo()
    (stage.key.folder(settings.out) / "metrics.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ArtefactError, match="was changed or cut short"):
        RunArtefact.load(stage.key.folder(settings.out))
    assert stage.key.state(settings.out) == "damaged"
    again, _ = make(two_stages(small, f"{MLP}, dropout: 0.3"), settings)
    assert stage.key.state(settings.out) == "done", "made again"
    assert pd.DataFrame(again.manifest["inputs"])["model"].tolist() == ["itemknn"]
