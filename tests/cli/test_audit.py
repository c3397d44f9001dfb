"""`mmrec-bench audit` as a user types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mmrec_bench.cli import app as cli


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mmrec-bench", "audit", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def write_card(folder: Path, extra: str = "") -> Path:
    card = folder / "shop.yaml"
    rows = [(user, (7 * user + 3 * step) % 90) for user in range(60) for step in range(user % 9 + 1)]
    rows += [(59, item) for item in range(90) if (59, item) not in rows]
    lines = [f"{user}\t{item}\t{1_600_000_000 + 7919 * place % 100_000}" for place, (user, item) in enumerate(rows)]
    (folder / "shop.inter").write_text("userID\titemID\ttimestamp\n" + "\n".join(lines) + "\n")
    card.write_text(f"schema_version: 1\nname: shop\nformat: mmrec\ninteractions: shop.inter\n{extra}")
    return card


def test_warnings_are_shown_and_do_not_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "audit.json"
    assert call(monkeypatch, str(write_card(tmp_path)), "random-811", "--set", "seed=2", "--json", str(target)) == 0
    printed = capsys.readouterr().out
    for part in ("shop: leak audit of interactions, random-811", "WARN", "PASS", "n/a", "such as: user ", "asks: Are"):
        assert part in printed
    (written,) = json.loads(target.read_text())
    assert written["verdict"] == "warn"
    assert written["checks"]["future-of-user"]["counts"]["rows"] > 0
    assert len(written["vault_openings"]) == 1


def test_a_failure_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    np.save(tmp_path / "image.npy", np.eye(90, dtype=np.float32))
    late = "features: {image: image.npy}\nprovenance: {fields: {image: {until: '2030-01-01'}}}\n"
    assert call(monkeypatch, str(write_card(tmp_path, late)), "global-time") == 1
    assert "image knows what happened until 2030" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shop.yaml", "x-label"), "needs labels delivered with the data"),
        (("shop.yaml", "leave-last"), "did you mean 'leave-last-out'"),
        (("shop.yaml", "by-user"), "does not part interactions"),
        (("shop.yaml", "configs/synthetic/mf.yaml"), "no experiment of"),
        (("shop.yaml", "none.yaml"), "no such file"),
        (("sho.yaml", "random-811"), "no such file"),
        (("shop.yaml", "random-811", "--set", "sed=1"), "did you mean 'seed'"),
        (("shop.yaml", "random-811", "--json", "no/such/folder/x.json"), "cannot write"),
    ],
)
def test_bad_input_is_told_in_one_message(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    write_card(tmp_path)
    card = arguments[0] if arguments[0] != "shop.yaml" else str(tmp_path / "shop.yaml")
    assert call(monkeypatch, card, *arguments[1:]) == 2
    assert message in capsys.readouterr().err


def test_a_card_may_not_declare_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    card = write_card(tmp_path, "provenance: {fields: {text: {made_of: content}}}\n")
    assert call(monkeypatch, str(card), "random-811") == 2
    assert "unknown field 'text'" in capsys.readouterr().err
    write_card(tmp_path, "provenance: {filter: {counted_on: all}}\n")
    assert call(monkeypatch, str(card), "random-811") == 2
    assert "needs user_rows, item_rows or both" in capsys.readouterr().err
    write_card(tmp_path, "provenance: {fields: {text: {until: soon}}}\n")
    assert call(monkeypatch, str(card), "random-811") == 2
    assert "a moment is ISO 8601" in capsys.readouterr().err
