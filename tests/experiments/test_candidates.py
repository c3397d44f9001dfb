"""Two stages: what the first finds is put in order by the second, and neither sees what it must not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.split import Split, VaultLedger
from mmrec_bench.errors import ModelError, ProtocolError
from mmrec_bench.evaluation.ranking import RankingEvaluator
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.evaluation.retrieval import RetrievalEvaluator
from mmrec_bench.experiments import run as run_module
from mmrec_bench.experiments.candidates import RetrievedCandidates, histories_of, restored
from mmrec_bench.experiments.prepare import FirstStage, Prepared, Preparer
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import Experiment
from mmrec_bench.models.base import Recommender
from mmrec_bench.models.ranking.base import ListInputs, ScoringRanker, Teaching
from mmrec_bench.models.retrieval.itemknn import ItemKNN
from mmrec_bench.retrieval.torch_backend import TorchRetriever

from .conftest import write_world
from .rankers import CANDIDATES, KNN, MLP, items_by_user, make, two_stages, write_small

X_LABEL = CANDIDATES.replace("random-811", "x-label").replace("[5, 20]", "[5, 15]")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_small(tmp_path)


class Found:
    """The candidates of an experiment, with everything that they are made of."""

    def __init__(self, experiment: Experiment, settings: RunSettings, teaching: Teaching = "labels") -> None:
        self.prepared: Prepared = Preparer(None)(experiment)
        stage = self.prepared.first_stage
        assert stage is not None
        self.stage: FirstStage = stage
        self.split: Split[Interactions] = self.prepared.split
        self.test = self.split.test.open("a test", VaultLedger())
        artefact = run(stage.experiment, stage.prepared, stage.key, settings)
        ready = replace(self.prepared, first_run=artefact)
        self.candidates = RetrievedCandidates(stage.settings["n"], teaching, ready, settings.device)
        self.model: Recommender = restored(stage, artefact, settings.device)

    @property
    def fold(self) -> set[int]:
        """Keys of the pairs of the training part that the first stage does not see."""
        return set(self.split.train.keys().tolist()) - set(self.stage.prepared.split.train.keys().tolist())


def keys(lists: Lists) -> np.ndarray:
    return lists.users[lists.list_of] * lists.n_items + lists.items


@pytest.mark.parametrize("first_stage", [KNN, "{model: {name: mf}, trainer: {max_epochs: 2}}"])
def test_the_first_stage_sees_neither_fold_nor_held_out_rows(
    small: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch, first_stage: str
) -> None:
    seen: list[np.ndarray] = []

    def spy(model: Any, context: Any, *rest: Any) -> Any:
        seen.append(context.train.keys())
        return train(model, context, *rest)

    train = run_module.train
    monkeypatch.setattr(run_module, "train", spy)
    found = Found(two_stages(small, first_stage=first_stage), settings)
    (learned,) = seen
    assert set(learned.tolist()) == set(found.stage.prepared.split.train.keys().tolist())
    hidden = found.fold | set(found.split.valid.keys().tolist()) | set(found.test.keys().tolist())
    assert not hidden & set(learned.tolist())
    per_user = np.bincount(np.array(sorted(found.fold)) // found.split.train.n_items, minlength=120)
    counts = found.split.train.user_counts()
    assert per_user.tolist() == np.where(counts > 1, np.maximum(1, counts // 5), 0).tolist()
    stage = found.stage.prepared.split
    assert stage.valid.fingerprint() == found.split.valid.fingerprint()
    assert stage.test.fingerprint() == found.split.test.fingerprint()


def test_lists_hold_the_fold_in_training_and_nothing_known_when_held_out(small: Path, settings: RunSettings) -> None:
    found = Found(two_stages(small), settings)
    train, n_items = found.candidates.train, found.split.train.n_items
    seen = set(found.stage.prepared.split.train.keys().tolist())
    assert train.labels is not None
    assert not seen & set(keys(train).tolist())
    assert [key in found.fold for key in keys(train).tolist()] == (train.labels == 1).tolist()
    assert set(train.labels.tolist()) == {0, 1}
    assert np.bincount(train.list_of, train.labels).min() >= 1, "lists without a row of the fold teach nothing"
    assert len(train.users) == len(np.unique(train.users))
    known = items_by_user(found.split.train.users, found.split.train.items)
    for truth in (found.split.valid, found.test):
        lists = found.candidates.held_out(truth)
        wanted = items_by_user(truth.users, truth.items)
        assert lists.users.tolist() == sorted(wanted)
        assert lists.labels is not None
        assert lists.missed is not None
        assert lists.positions is not None
        for number, user in enumerate(lists.users.tolist()):
            rows = lists.list_of == number
            items = lists.items[rows].tolist()
            assert len(items) == len(set(items)) == 20
            assert not set(items) & known[user]
            assert [item in wanted[user] for item in items] == (lists.labels[rows] == 1).tolist()
            assert lists.labels[rows].sum() + lists.missed[number] == len(wanted[user])
            assert lists.positions[rows].tolist() == list(range(1, 21))
    assert train.n_items == n_items


@pytest.mark.parametrize("first_stage", [KNN, "{model: {name: lightgcn}, trainer: {max_epochs: 3}}"])
def test_a_planted_test_pair_changes_no_list_before_the_vault_opens(
    tmp_path: Path, settings: RunSettings, first_stage: str
) -> None:
    made = []
    for planted in (False, True):
        folder = tmp_path / f"planted-{planted}"
        write_world(folder, shuffle_test=planted)
        experiment = two_stages(
            folder, first_stage=first_stage, more="n: 15", dataset="card: tiny.yaml", protocol=X_LABEL
        )
        made.append(Found(experiment, replace(settings, out=folder / "runs")))
    one, other = made
    assert one.test.fingerprint() != other.test.fingerprint()
    assert one.candidates.train.fingerprint() == other.candidates.train.fingerprint()
    valid = [found.candidates.held_out(found.split.valid).fingerprint() for found in made]
    assert valid[0] == valid[1]
    tests = [found.candidates.held_out(found.test) for found in made]
    np.testing.assert_array_equal(tests[0].items, tests[1].items)
    assert tests[0].labels.tolist() != tests[1].labels.tolist()  # type: ignore[union-attr]


class ByScore(ScoringRanker):
    """Scores rows by their first feature, the score of the first stage."""

    def score(self, inputs: ListInputs) -> torch.Tensor:
        assert inputs.features is not None
        return inputs.features[..., 0]


@pytest.mark.parametrize(
    "first_stage",
    [
        KNN,
        "{model: ease, retriever: {backend: torch}}",
        "{model: popularity}",
        "{model: itemknn-content, retriever: {backend: torch}}",
        "{model: {name: mf}, trainer: {max_epochs: 3}}",
        "{model: {name: vbpr}, trainer: {max_epochs: 2}, retriever: {backend: torch}}",
    ],
)
def test_the_first_stage_left_as_it_is_scores_what_retrieval_says(
    small: Path, settings: RunSettings, first_stage: str
) -> None:
    """Two evaluators on one model: the rankings of the catalogue, and lists of candidates."""
    experiment = two_stages(small, first_stage=first_stage)
    artefact, _ = make(experiment, settings)
    found = Found(experiment, settings)
    protocol = experiment.config.protocol
    assert isinstance(protocol, RankingProtocol)
    for part, truth in (("valid", found.split.valid), ("test", found.test)):
        retrieved = RetrievalEvaluator(
            found.split.train,
            truth,
            [found.split.train],
            TorchRetriever(),
            found.prepared.ties,
            protocol.metrics,
            (5, 20),
        ).evaluate(found.model.export())
        assert artefact.metrics[part] == pytest.approx(dict(retrieved.means), rel=1e-12)
        lists = found.candidates.held_out(truth)
        evaluator = RankingEvaluator(
            lists, found.prepared.ties, protocol.metrics, protocol.cutoffs, protocol.options, settings.device
        )
        assert evaluator.evaluate(ByScore()).means == pytest.approx(dict(retrieved.means), rel=1e-12)
        facts = artefact.manifest["lists"][part]
        assert facts["ceiling"] == pytest.approx(retrieved.means["recall@20"], rel=1e-12)
        assert facts["counted"] == facts["lists"] == len(retrieved.users)
        assert facts["rows"] == 20 * facts["lists"]
        written = artefact.per_user()
        written = written[written["part"] == part].set_index("user_id")
        for name in ("recall@20", "ndcg@5"):
            per_user = dict(
                zip(found.prepared.dataset.user_ids[retrieved.users], retrieved.per_user[name], strict=True)
            )
            assert written[name].to_dict() == pytest.approx(per_user)
        counts = np.bincount(truth.users)[retrieved.users]
        assert written["n_truth"].tolist() == counts.tolist()


def test_row_features_are_the_score_and_the_place(small: Path, settings: RunSettings) -> None:
    found = Found(two_stages(small), settings)
    train, scoring = found.candidates.train, found.model.export()
    assert train.features is not None
    raw = scoring.scores(torch.tensor(train.users)).numpy()[train.list_of, train.items]  # type: ignore[union-attr]
    np.testing.assert_allclose(train.features[:, 0], (raw - raw.mean()) / raw.std(), atol=1e-4)
    held_out = found.candidates.held_out(found.split.valid)
    assert held_out.features is not None
    raw_held_out = scoring.scores(torch.tensor(held_out.users)).numpy()[held_out.list_of, held_out.items]  # type: ignore[union-attr]
    np.testing.assert_allclose(held_out.features[:, 0], (raw_held_out - raw.mean()) / raw.std(), atol=1e-4)
    np.testing.assert_allclose(held_out.features[:, 1], np.log2(held_out.positions + 1), rtol=1e-6)  # type: ignore[operator]


def test_who_learns_from_clicks_reads_no_place(small: Path, settings: RunSettings) -> None:
    """It is a bias there, so no served score may hang on it."""
    experiment = two_stages(small)
    all_features, found = Found(experiment, settings), Found(experiment, settings, "clicks")
    truth = found.split.valid
    for mine, theirs in (
        (found.candidates.train, all_features.candidates.train),
        (found.candidates.held_out(truth), all_features.candidates.held_out(truth)),
    ):
        assert mine.features is not None
        assert theirs.features is not None
        assert mine.features.shape[1] == 1
        np.testing.assert_array_equal(mine.features[:, 0], theirs.features[:, 0])
        np.testing.assert_array_equal(mine.positions, theirs.positions)
    made, _ = make(two_stages(small, "inforank, embedding_dim: 4", trainer="{max_epochs: 1}"), settings)
    weights = load_file(made.folder / "model.safetensors")
    (means,) = (value for name, value in weights.items() if name.endswith("fields.mean"))
    assert means.shape == (1,)


def test_histories_are_what_was_known_oldest_first(small: Path, settings: RunSettings) -> None:
    found = Found(two_stages(small), settings)
    whole, seen = found.split.train, found.stage.prepared.split.train
    assert whole.timestamps is not None
    for lists, known in ((found.candidates.train, seen), (found.candidates.held_out(found.test), whole)):
        assert lists.histories is not None
        for number, user in enumerate(lists.users.tolist()):
            rows = np.flatnonzero(known.users == user)
            oldest_first = known.items[rows[np.lexsort((known.items[rows], known.timestamps[rows]))]]  # type: ignore[index]
            begin, end = lists.histories.offsets[number : number + 2]
            assert lists.histories.items[begin:end].tolist() == oldest_first.tolist()
    timeless = replace(whole, timestamps=None)
    items = histories_of(timeless, np.array([3])).items
    assert items.tolist() == sorted(whole.items[whole.users == 3].tolist())


def test_the_first_stage_is_made_once_and_anew_when_it_changes(
    small: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[object] = []

    def counted(self: ItemKNN, context: Any) -> None:
        fits.append(context)
        fit(self, context)

    def stages() -> int:
        return len(list((settings.out / "small" / "itemknn").glob("*/seed-*/manifest.json")))

    fit = ItemKNN.fit
    monkeypatch.setattr(ItemKNN, "fit", counted)
    first, prepared = make(two_stages(small), settings)
    assert len(fits) == 2, "trained, and restored in closed form"
    assert stages() == 1
    stage = prepared.first_stage
    assert stage is not None
    stamp = (stage.key.folder(settings.out) / "manifest.json").stat().st_mtime_ns
    second, _ = make(two_stages(small, MLP), settings)
    assert len(fits) == 3, "restored"
    assert (stage.key.folder(settings.out) / "manifest.json").stat().st_mtime_ns == stamp
    inputs = [run.manifest["inputs"][0] for run in (first, second)]
    assert inputs[0] == inputs[1]
    assert inputs[0]["kind"] == "candidates"
    assert (inputs[0]["model"], inputs[0]["n"], inputs[0]["seed"]) == ("itemknn", 20, 0)
    assert inputs[0]["fingerprint"] == stage.key.fingerprint
    for number, (first_stage, more) in enumerate(
        (
            ("{model: {name: itemknn, n_neighbors: 7}, retriever: {backend: torch}}", "n: 20"),
            (KNN, "n: 25"),
            (KNN, "n: 20, seed: 1"),
            (KNN, "n: 20, share: 0.5"),
            (KNN, "n: 20, choose: latest"),
        ),
        start=2,
    ):
        changed, _ = make(two_stages(small, first_stage=first_stage, more=more), settings)
        assert stages() == number
        assert changed.folder.parent != first.folder.parent, "another first stage is another run"


def test_runs_say_whose_candidates_they_rank(small: Path, settings: RunSettings) -> None:
    artefact, _ = make(
        two_stages(small, MLP, first_stage="{model: itemknn-content, retriever: {backend: torch}}"), settings
    )
    assert artefact.manifest["model"] == "mlp on itemknn-content"
    assert artefact.manifest["parts"] == ["mlp", "itemknn-content"]
    assert artefact.folder.parent.parent.name == "mlp"
    assert [opening["purpose"] for opening in artefact.manifest["vault_openings"]] == [
        "final evaluation of the weights selected on validation"
    ]
    assert set(artefact.manifest["fingerprints"]) >= {"candidates", "data", "split"}


def test_what_cannot_be_learned_or_found_is_refused(small: Path, settings: RunSettings) -> None:
    with pytest.raises(
        ProtocolError, match=r"inputs.candidates.n is 91, and there are 90 items. Lower it in .*initial"
    ):
        Preparer(None)(two_stages(small, more="n: 91"))
    everything, _ = make(two_stages(small, more="n: 90"), settings)
    assert everything.manifest["lists"]["test"]["ceiling"] == 1.0
    experiment = two_stages(small, first_stage="{model: popularity}", more="n: 1, share: 0.05")
    found = Preparer(None)(experiment)
    stage = found.first_stage
    assert stage is not None
    artefact = run(stage.experiment, stage.prepared, stage.key, settings)
    fold = ~np.isin(found.split.train.keys(), stage.prepared.split.train.keys())
    nothing = replace(found, split=replace(found.split, train=stage.prepared.split.train))
    assert fold.any()
    with pytest.raises(ModelError, match=r"finds no item of the fold among 1 candidates.*Raise inputs.candidates.n"):
        RetrievedCandidates(stage.settings["n"], None, replace(nothing, first_run=artefact), settings.device)
