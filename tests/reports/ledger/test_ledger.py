"""The reproduction ledger: the committed page is what the command makes, and no number strays on the way."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from mmrec_bench.cli import app as cli
from mmrec_bench.errors import ArtefactError, ConfigError
from mmrec_bench.reports.cards.files import write_cards
from mmrec_bench.reports.cards.schema import ResultCard, Score
from mmrec_bench.reports.ledger.page import ledger_page
from mmrec_bench.reports.ledger.schema import read_ledger
from mmrec_bench.reports.legacy_file import LegacyFile, LegacyLine

ROOT = Path(__file__).parents[3]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mmrec-bench", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def test_the_committed_page_is_what_the_command_makes() -> None:
    text = (ROOT / "docs/reproduction.md").read_text(encoding="utf-8")
    command = "mmrec-bench ledger docs/ledger --out docs/reproduction.md"
    assert text == ledger_page(read_ledger(ROOT / "docs/ledger"), "ledger", command)
    assert f"`{command}`" in text


def test_every_card_and_source_stands_on_the_committed_page() -> None:
    text, ledger = (ROOT / "docs/reproduction.md").read_text(encoding="utf-8"), read_ledger(ROOT / "docs/ledger")
    for name, card in ledger.cards.items():
        assert f"(ledger/cards/{name})" in text
        assert card.digest in text
    assert all(source.title in text for source in ledger.published.sources.values())


TUNING = {
    "study": "ab", "search": {}, "budget": {"trials": 3, "seconds": None}, "spent": {"trials": 3, "seconds": 9.0},
    "trial": 1,
}  # fmt: skip


def card_of(label: str, mean: float, *, tuned: bool, protocol: str = "p") -> ResultCard:
    score = Score(mean=mean, sd=0.001, n=3, low=mean - 0.01, high=mean + 0.01, over="users and seeds")
    facts = {
        "label": label, "task": "retrieval", "dataset": "tiny", "config": {"model": {}, "trainer": {"max_epochs": 50}},
        "config_digest": "c", "seeds": [0, 1, 2],
        "protocol": {"id": protocol, "words": f"Words of {protocol}.", "select_by": "recall@20"},
        "fingerprints": {"experiment": label * 4, "data": "d", "split": "s", "features": {}, "inputs": {}},
        "tuning": TUNING if tuned else None, "comparisons": [], "parameters": {"total": 10}, "vault": [], "audit": None,
        "cost": {
            "seconds": {}, "cpu_seconds": None, "peak_memory_mib": None, "peak_device_memory_mib": None, "energy": None,
        },
        "metrics": {"valid": {}, "test": {"recall@20": score.model_dump()}}, "makings": [], "deviations": [],
        "runs": [],
    }  # fmt: skip
    return ResultCard.model_validate(facts).sealed()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sources = {"paper": {"title": "a paper", "setting": "theirs"}, "rerun": {"title": "another", "setting": "theirs"}}
    sources["memory"] = {"title": "memory", "setting": "theirs", "verified": False}
    values = [
        {"model": "mf", "dataset": "tiny", "source": source, "metrics": {"recall@20": value}}
        for source, value in (("paper", 0.1111), ("rerun", 0.1222), ("memory", 0.9))
    ]
    published = {"schema_version": 1, "settings": {"theirs": "other features"}, "sources": sources, "values": values}
    peer = {
        "model": "mf",
        "settings": "defaults",
        "epochs": 3,
        "valid": {"recall@20": 0.2},
        "test": {"recall@20": 0.1666},
    }
    peers = {"schema_version": 1, "dataset": "tiny", "protocol_id": "p", "data": "d", "split": "s", "note": "a harness"}
    peers |= {"n": 1, "values": [peer]}
    (tmp_path / "introduction.md").write_text("# Title\n\nWords.\n", encoding="utf-8")
    (tmp_path / "published.yaml").write_text(yaml.safe_dump(published), encoding="utf-8")
    (tmp_path / "peers.yaml").write_text(yaml.safe_dump(peers), encoding="utf-8")
    made = [
        card_of("mf", 0.15, tuned=True),
        card_of("ease", 0.2, tuned=False),
        card_of("mf", 0.3, tuned=False, protocol="q"),
    ]
    write_cards(tmp_path / "cards", made[:2])
    write_cards(tmp_path / "cards", [made[2].model_copy(update={"dataset": "tiny", "label": "odd"}).sealed()])
    line = LegacyLine(
        task="retrieval", dataset="tiny", protocol_id="p", model="mf", study="ab", weights_code="w", code="c",
        metric="recall@20", n_trials=3, n_users=9, chosen_trial=1, chosen_valid=0.16, chosen_test=0.15, best_trial=2,
        best_valid=0.155, best_test=0.1777, bias=0.0277, bias_low=0.001, bias_high=0.05, decimals=None,
    )  # fmt: skip
    (tmp_path / "legacy.json").write_text(LegacyFile(lines=(line,)).text(), encoding="utf-8")
    return tmp_path


def row(text: str, name: str, protocol: str = "p") -> list[str]:
    table = text[text.index(f"Protocol `{protocol}`") :]
    line = next(line for line in table.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_values_stand_side_by_side(folder: Path) -> None:
    text = ledger_page(read_ledger(folder), "ledger", "the command")
    assert row(text, "mf") == [
        "mf", "0.1111 to 0.1222", "0.1666", "0.1500 ± 0.0010", "3", "[0.1400, 0.1600]", "above",
        "tuned, 50 epochs at most", "0.1500 / 0.1777",
    ]  # fmt: skip
    assert row(text, "ease") == [
        "ease",
        "-",
        "-",
        "0.2000 ± 0.0010",
        "3",
        "[0.1900, 0.2100]",
        "-",
        "by hand, 50 epochs at most",
        "-",
    ]
    assert "+18.5%" in text
    assert "memory (unverified" in text


def test_other_protocols_stand_in_tables_of_their_own(folder: Path) -> None:
    text = ledger_page(read_ledger(folder), "ledger", "the command")
    first = text[text.index("Protocol `p`") : text.index("Protocol `q`")]
    assert "odd" not in first
    assert row(text, "odd", "q")[3] == "0.3000 ± 0.0010"
    assert row(text, "mf", "q")[2] == "-", "released code ran under the other protocol"


def test_the_page_is_a_function_of_its_files(folder: Path) -> None:
    first, second = (ledger_page(read_ledger(folder), "ledger", "the command") for _ in range(2))
    assert first == second


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_bad_files_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _change(folder / "published.yaml", "source: paper", "source: hearsay")
    with pytest.raises(ConfigError, match="'hearsay' of mf is not under sources"):
        read_ledger(folder)
    _change(folder / "published.yaml", "source: hearsay", "source: paper")
    card = next((folder / "cards").glob("tiny-ease*.json"))
    _change(card, '"mean": 0.2', '"mean": 0.4')
    with pytest.raises(ArtefactError, match="was changed since it was made"):
        read_ledger(folder)
    card.unlink()
    legacy = json.loads((folder / "legacy.json").read_text(encoding="utf-8"))
    (folder / "legacy.json").write_text(json.dumps({**legacy, "used": True}), encoding="utf-8")
    with pytest.raises(ConfigError, match="used: unknown key"):
        read_ledger(folder)
    assert call(monkeypatch, "ledger", str(folder / "nowhere"), "--out", str(folder / "page.md")) == 2
    assert "no such folder; a ledger holds" in capsys.readouterr().err
