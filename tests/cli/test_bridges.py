"""The commands of list files, on a world of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from mmrec_bench.cli.app import app
from mmrec_bench.errors import ArtefactError, DataError, MMRecBenchError, ProtocolError, RegistryError

CARD = (
    "schema_version: 1\nname: small\nformat: synthetic\n"
    "world: {n_users: 60, n_items: 50, max_interactions: 20, mean_interactions: 10.0, factor_dim: 4}\n"
)
PROTOCOL = "protocol: {split: random-811, cutoffs: [5, 10], select_by: recall@10}\n"
TRACK = (
    "schema_version: 1\nname: mine\ntitle: Mine\ntask: retrieval\ndataset: {card: CARD, shipped: true}\n"
    f"{PROTOCOL}headline: [recall@10]\ndepth: 10\nlists_in_git: false\n"
)


def call(*args: object) -> str:
    result = CliRunner().invoke(app, ["leaderboard", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(CARD, encoding="utf-8")
    (tmp_path / "track.yaml").write_text(TRACK.replace("CARD", str(tmp_path / "small.yaml")), encoding="utf-8")
    config = tmp_path / "popularity.yaml"
    config.write_text(
        f"schema_version: 1\ndataset: {{card: small.yaml}}\n{PROTOCOL}model: {{name: popularity}}\n", encoding="utf-8"
    )
    made = CliRunner().invoke(
        app, ["run", str(config), "--out", str(tmp_path / "runs"), "--threads", "1"], catch_exceptions=False
    )
    assert made.exit_code == 0, made.output
    return next((tmp_path / "runs").rglob("rankings.parquet")).parent


def test_lists_go_out_come_in_and_are_worth_the_same(run: Path, tmp_path: Path) -> None:
    track, metrics = tmp_path / "track.yaml", json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert "lists: " in call("export", run, "--format", "trec", "--out", tmp_path / "test.run")
    call("export", run, "--format", "trec", "--out", tmp_path / "valid.run", "--part", "valid")
    files = (tmp_path / "test.run", "--valid", tmp_path / "valid.run", "--format", "trec", "--track", track)
    call("import", *files, "--out", tmp_path / "lists.parquet")
    assert len(pd.read_parquet(tmp_path / "lists.parquet")) == len(pd.read_parquet(run / "rankings.parquet"))
    told = call("score", *files)
    assert told == call("score", run, "--track", track) == call("score", tmp_path / "lists.parquet", "--track", track)
    for name in metrics["test"]:
        numbers = next(line for line in told.splitlines() if line.startswith(f"{name} ")).split()[1:]
        assert numbers == [f"{metrics[part][name]:.4f}" for part in ("valid", "test")]
    assert "users:low" not in told
    assert "users:low" in call("score", run, "--track", track, "--slices")


def test_a_folder_above_one_run_stands_for_it_and_above_several_does_not(run: Path, tmp_path: Path) -> None:
    track = tmp_path / "track.yaml"
    assert call("score", run.parent.parent, "--track", track) == call("score", run, "--track", track)
    call("export", tmp_path / "runs", "--format", "trec", "--out", tmp_path / "test.run")
    other = run.with_name("seed-7")
    shutil.copytree(run, other)
    with pytest.raises(ArtefactError, match="below it are") as caught:
        call("score", tmp_path / "runs", "--track", track)
    assert all(str(folder) in str(caught.value) for folder in (run, other))


def test_folders_of_entries_are_no_runs_and_their_lists_are_named(run: Path, tmp_path: Path) -> None:
    entry = tmp_path / "entry"
    (entry / "lists").mkdir(parents=True)
    (entry / "submission.json").write_text("{}", encoding="utf-8")
    shutil.copy(run / "rankings.parquet", entry / "lists" / "seed-0.parquet")
    with pytest.raises(ArtefactError, match="folder of an entry") as caught:
        call("score", entry, "--track", tmp_path / "track.yaml")
    named = entry / "lists" / "seed-0.parquet"
    assert str(named) in str(caught.value)
    assert call("score", named, "--track", tmp_path / "track.yaml")


def test_ids_that_a_format_or_the_data_set_lacks_are_told_with_the_maps(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"only digits.*--user-map and --item-map"):
        call("export", run, "--format", "mmrec", "--out", tmp_path / "lists.csv")
    (tmp_path / "lists.csv").write_text("id\ttop_0\n0\t1\n", encoding="utf-8")
    with pytest.raises(DataError, match="give --user-map") as caught:
        call("score", tmp_path / "lists.csv", "--format", "mmrec", "--track", tmp_path / "track.yaml")
    assert "give --item-map" in str(caught.value)


def test_formats_say_what_is_read() -> None:
    told = call("formats")
    for name in ("trec", "mmrec", "recbole", "elliot", "cornac", "lenskit"):
        assert f"\n{name}\n" in f"\n{told}"


WRONG: dict[str, tuple[tuple[str, ...], type[MMRecBenchError], str]] = {
    "format": (("export", "RUN", "--format", "trek", "--out", "x"), RegistryError, "did you mean 'trec'"),
    "part": (("export", "RUN", "--format", "trec", "--out", "x", "--part", "train"), DataError, "valid or test; got"),
    "no lists": (("export", "RUN/per_user.parquet", "--format", "trec", "--out", "x"), DataError, "rank, score"),
    "no parquet": (("score", "RUN/config.yaml", "--track", "TRACK"), DataError, "no run folder and no parquet"),
    "no format": (("score", "RUN", "--track", "TRACK", "--valid", "x"), DataError, "name their --format"),
    "task": (("score", "x", "--track", "synthetic-ctr", "--format", "trec"), ProtocolError, "for the retrieval task"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_done_is_told(case: str, run: Path, tmp_path: Path) -> None:
    args, kind, message = WRONG[case]
    args = tuple(arg.replace("RUN", str(run)).replace("TRACK", str(tmp_path / "track.yaml")) for arg in args)
    with pytest.raises(kind, match=message):
        call(*args)
