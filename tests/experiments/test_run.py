"""One run: the files, that they load again, that they repeat, and that the test labels play no part before the end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from mmrec_bench.data.split import SealedTest
from mmrec_bench.errors import ConfigError, ProtocolError, ResourceError
from mmrec_bench.experiments.artefact import FILES, RunArtefact
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import Experiment, load_experiment
from mmrec_bench.experiments.stations.retrieval import build_model
from mmrec_bench.models.base import MODELS
from mmrec_bench.training import memory
from mmrec_bench.training.records import EpochRecord, SilentObserver

from .conftest import write_config, write_world


def make(experiment: Experiment, settings: RunSettings, seed: int = 0) -> RunArtefact:
    prepared = Preparer(None)(experiment)
    return run(experiment, prepared, run_key(experiment, prepared, seed), settings)


def test_the_folder_of_facts(experiment: Experiment, settings: RunSettings) -> None:
    artefact = make(experiment, settings)
    assert sorted(path.name for path in artefact.folder.iterdir()) == sorted(FILES)
    manifest = artefact.manifest
    for key in (
        "schema_version", "fingerprints", "git", "packages", "device", "threads", "protocol_id", "n_parameters",
        "seconds", "peak_memory_mib", "vault_openings", "leak", "inputs", "retriever",
    ):  # fmt: skip
        assert key in manifest, key
    assert set(manifest["fingerprints"]) == {"config", "data", "split", "features", "code"}
    assert set(manifest["seconds"]) == {"prepare", "train", "validate", "test"}
    assert [opening["purpose"] for opening in manifest["vault_openings"]] == [
        "final evaluation of the weights selected on validation"
    ]
    assert manifest["n_parameters"] == {"total": (40 + 30) * 64, "item_representation": 30 * 64}
    history = artefact.history()
    assert len(history) == 4
    assert history[-1]["loss"] == pytest.approx(
        sum(history[-1][name] for name in history[-1] if name in ("bpr", "reg"))
    )
    best = max(record["valid"]["recall@10"] for record in history)
    assert artefact.metrics["valid"]["recall@10"] == best
    assert json.loads((artefact.folder / "metrics.json").read_text())["test_slices"]


def test_the_written_config_loads_to_the_same_run(
    experiment: Experiment, settings: RunSettings, tmp_path: Path
) -> None:
    artefact = make(experiment, settings, seed=5)
    (tmp_path / "again").mkdir()
    copy = tmp_path / "config.yaml"
    copy.write_bytes((artefact.folder / "config.yaml").read_bytes())
    again = load_experiment(copy)
    assert again.config == experiment.config.model_copy(update={"seeds": (5,)})
    prepared = Preparer(None)(again)
    assert run_key(again, prepared, 5).folder(settings.out) == artefact.folder


def test_every_number_can_be_recomputed_from_the_lists(experiment: Experiment, settings: RunSettings) -> None:
    """A slow reference over the written lists gives the written metrics."""
    artefact = make(experiment, settings)
    split = Preparer(None)(experiment).split
    lists, per_user = artefact.rankings(), artefact.per_user()
    table = pd.read_csv(experiment.source.parent / "tiny.inter", sep="\t")
    for part, label in (("valid", 1), ("test", 2)):
        truth = table[table.x_label == label].groupby("userID").itemID.apply(set)
        top = lists[lists.part == part]
        recalls = {}
        for user, wanted in truth.items():
            mine = top[(top.user_id.astype(int) == user) & (top["rank"] <= 5)].item_id.astype(int)
            recalls[user] = len(set(mine) & wanted) / len(wanted)
        assert artefact.metrics[part]["recall@5"] == pytest.approx(np.mean(list(recalls.values())))
        written = per_user[per_user.part == part].set_index("user_id")["recall@5"]
        assert {int(user): value for user, value in written.items()} == pytest.approx(recalls)
    train = split.train
    seen = set(zip(train.users.tolist(), train.items.tolist(), strict=True))
    assert not seen & set(zip(lists.user_id.astype(int), lists.item_id.astype(int), strict=True))


def test_runs_repeat_bit_by_bit_and_seeds_differ(experiment: Experiment, settings: RunSettings, tmp_path: Path) -> None:
    first = make(experiment, settings)
    again = make(experiment, RunSettings(tmp_path / "other", settings.device, settings.threads))
    assert first.metrics == again.metrics
    for name, tensor in load_file(first.folder / "model.safetensors").items():
        assert torch.equal(tensor, load_file(again.folder / "model.safetensors")[name]), name
    pd.testing.assert_frame_equal(first.rankings(), again.rankings())
    assert make(experiment, settings, seed=1).metrics != first.metrics


def test_saved_weights_export_the_saved_lists(experiment: Experiment, settings: RunSettings) -> None:
    artefact = make(experiment, settings)
    prepared = Preparer(None)(experiment)
    model, _ = build_model(experiment, prepared, seed=9, device=settings.device)
    model.load_state_dict(load_file(artefact.folder / "model.safetensors"))
    exported = model.export()
    lists = artefact.rankings()
    row = lists[(lists.part == "test") & (lists["rank"] == 1)].iloc[0]
    score = exported.users[int(row.user_id)] @ exported.items[int(row.item_id)]
    assert float(score) == pytest.approx(float(row.score), rel=1e-5)


class _Lines(SilentObserver):
    """Keeps what training reports, without the seconds."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, ...]] = []

    def on_epoch(self, record: EpochRecord) -> None:
        self.lines.append((record.epoch, record.loss, dict(record.terms), dict(record.valid or {})))


@pytest.mark.parametrize("model", ["lightgcn", "bm3", "freedom", "mgcn", "vbpr", "mf"])
def test_shuffled_test_labels_change_nothing_before_the_vault_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    seen = []
    for shuffle in (False, True):
        folder = tmp_path / f"shuffle-{shuffle}"
        write_world(folder, shuffle_test=shuffle)
        experiment = load_experiment(write_config(folder, model))
        prepared = Preparer(None)(experiment)
        opened: list[int] = []
        lines = _Lines()
        original = SealedTest.open

        def spy(self, purpose, ledger, opened=opened, lines=lines, original=original):  # type: ignore[no-untyped-def]
            opened.append(len(lines.lines))
            return original(self, purpose, ledger)

        monkeypatch.setattr(SealedTest, "open", spy)
        settings = RunSettings(folder / "runs", torch.device("cpu"), threads=torch.get_num_threads())
        artefact = run(experiment, prepared, run_key(experiment, prepared, 0), settings, lines)
        monkeypatch.setattr(SealedTest, "open", original)
        assert opened == [4, 4], "the vault is opened to judge and to audit, after the last epoch"
        weights = load_file(artefact.folder / "model.safetensors")
        seen.append(
            (lines.lines, artefact.metrics["valid"], {k: v.tolist() for k, v in weights.items()}, artefact.metrics)
        )
    assert seen[0][:3] == seen[1][:3]
    assert seen[0][3]["test"] != seen[1][3]["test"], "the shuffle must matter once the vault is open"


def test_what_cannot_be_judged_is_refused(world: Path) -> None:
    long = load_experiment(write_config(world, "lightgcn"), ("protocol.cutoffs=[10, 31]",))
    with pytest.raises(
        ProtocolError, match=r"needs 1 <= k <= n_items \(30\); got 31. Lower protocol.cutoffs in .*lightgcn"
    ):
        Preparer(None)(long)
    with pytest.raises(ConfigError, match=r"'mgcn' needs text; data set '.*tiny.yaml' gives image"):
        load_experiment(write_config(world, "mgcn"), ("dataset.modalities=[image]",))


def test_a_model_that_cannot_fit_is_refused_before_it_is_trained(
    world: Path, settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = load_experiment(write_config(world, "mf"), (f"model.embedding_dim={10**11}",))
    with pytest.raises(ResourceError, match=r"too little memory for building.*Lower model.embedding_dim"):
        make(huge, settings)
    large = load_experiment(write_config(world, "mf"))
    monkeypatch.setattr(memory, "available_memory", lambda: 10_000)
    with pytest.raises(ResourceError, match=r"needs about .* MiB more on cpu .* 0 MiB are free"):
        make(large, settings)
    assert not list(settings.out.rglob("manifest.json"))


def test_a_run_of_a_model_inside_another(world: Path, settings: RunSettings) -> None:
    inner = "{name: freedom, embedding_dim: 8, n_neighbors: 3}"
    path = write_config(world, f"motor, n_subspaces: 2, n_codes: 4, host: {inner}")
    experiment = load_experiment(path, ("model.host.n_layers=1",))
    assert experiment.label == "motor(freedom)"
    artefact = make(experiment, settings)
    assert artefact.folder.parent.parent.name == "motor-freedom"
    manifest = artefact.manifest
    assert manifest["model"] == "motor(freedom)"
    assert manifest["parts"] == ["motor", "freedom"]
    assert set(manifest["deviations"]) >= set(MODELS["motor"].deviations)
    assert 0 < manifest["model_facts"]["distinct_code_ratio"] <= 1
    assert artefact.config()["model"]["host"]["n_layers"] == 1
    model, _ = build_model(experiment, Preparer(None)(experiment), 0, settings.device)
    counts = manifest["n_parameters"]
    assert counts["total"] == sum(parameter.numel() for parameter in model.parameters())
    assert model.item_representation is not None
    tokens = sum(parameter.numel() for parameter in model.item_representation.parameters())
    assert counts["item_representation"] == tokens < counts["total"]
