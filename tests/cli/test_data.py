"""`mmrec-bench data` as a user types it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mmrec_bench.cli import app as cli
from mmrec_bench.data.cards import DATA_VARIABLE, load_card, load_dataset
from mmrec_bench.data.fetching.fetch import raw_folder
from mmrec_bench.errors import DataError
from tests.data.fetching.server import Answer, Server

INTER = b"userID\titemID\n0\t0\n0\t1\n1\t1\n"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mmrec-bench", "data", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def write_card(folder: Path, url: str) -> Path:
    path = folder / "shop.yaml"
    path.write_text(
        "schema_version: 1\nname: shop\nformat: mmrec\ninteractions: shop.inter\n"
        f"downloads:\n  - {{file: shop.inter, urls: ['{url}']}}\n"
    )
    return path


def test_what_is_fetched_can_be_loaded(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    card = write_card(tmp_path, server.at("/x/shop.inter", Answer(INTER)))
    assert call(monkeypatch, "fetch", str(card)) == 0
    assert f"fetched: {tmp_path / 'shop.inter'} ({len(INTER)} bytes, sha256 " in capsys.readouterr().out
    assert load_dataset(load_card(card)).payload.n_items == 2
    assert call(monkeypatch, "fetch", str(card)) == 0
    assert capsys.readouterr().out.startswith("there: ")


def test_pauses_and_failures_are_told(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    server.at("/here/shop/shop.inter", Answer(status=500, headers={"Retry-After": "0"}), Answer(status=404))
    card = write_card(tmp_path, server.at("/gone", Answer(status=404)))
    assert call(monkeypatch, "fetch", str(card), "--mirror", f"{server.url}/here", "--raw", str(tmp_path / "raw")) == 2
    told = capsys.readouterr().err
    assert "answers 500 Internal Server Error; trying again in 0 s" in told
    assert f"put it as {tmp_path / 'raw' / 'shop.inter'}" in told
    assert not (tmp_path / "raw" / "shop.inter").exists()


def test_a_data_set_nobody_offers_is_told_by_its_sources(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(monkeypatch, "fetch", "tiktok", "--data-dir", str(tmp_path)) == 2
    assert "Get it by hand from https://github.com/HKUDS/DiffMM" in capsys.readouterr().err


def test_files_go_where_they_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card = load_card("movielens-100k")
    assert raw_folder(card, tmp_path) == tmp_path / "movielens-100k"
    with pytest.raises(DataError, match="--data-dir"):
        raw_folder(card, None)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "there"))
    assert raw_folder(card, None) == tmp_path / "there" / "movielens-100k"
    own = load_card(write_card(tmp_path, "https://example.org/x"))
    assert raw_folder(own, None) == tmp_path / "there" / "shop"
    monkeypatch.delenv(DATA_VARIABLE)
    assert raw_folder(own, None) == tmp_path


def test_a_data_set_is_inspected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(monkeypatch, "inspect", "synthetic", "--report-dir", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    for name in ("inspection.html", "inspection.md", "inspection.json"):
        assert f"written: {tmp_path / 'synthetic' / name}" in printed
    assert "interactions" in printed
    assert call(monkeypatch, "inspect", "synthetik") == 2
    assert "did you mean 'synthetic'" in capsys.readouterr().err
    assert call(monkeypatch, "inspect", "synthetic", "--images", str(tmp_path / "none")) == 2
    assert "no such folder of pictures" in capsys.readouterr().err


def test_fetched_pictures_are_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    card = write_card(tmp_path, "https://example.org/x")
    (tmp_path / "shop.inter").write_bytes(INTER)
    monkeypatch.setenv("MMREC_BENCH_FEATURES", str(tmp_path / "features"))
    (tmp_path / "features" / "shop" / "images").mkdir(parents=True)
    image.new("RGB", (20, 20), "red").save(tmp_path / "features" / "shop" / "images" / "1.png")
    assert call(monkeypatch, "inspect", str(card), "--report-dir", str(tmp_path / "out")) == 0
    page = (tmp_path / "out" / "shop" / "inspection.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1


def test_categories_of_a_family_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "categories", "amazon-2018") == 0
    assert "amazon-2018:All_Beauty" in capsys.readouterr().out.splitlines()
    assert call(monkeypatch, "categories", "amazon-2013") == 2
    assert "did you mean 'amazon-20" in capsys.readouterr().err
