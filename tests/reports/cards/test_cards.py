"""Result cards: pure functions of run folders, read back as they were written, and caught where they were changed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmrec_bench.errors import ArtefactError, ConfigError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.cards.build import card_of, cards_of
from mmrec_bench.reports.cards.files import check_card, read_card, schema_text, write_cards
from mmrec_bench.reports.cards.page import markdown, page
from mmrec_bench.reports.cards.schema import ResultCard
from mmrec_bench.reports.collect import collect
from mmrec_bench.statistics.contrast import contrast, over_users, p_value

N_USERS = 60


@dataclasses.dataclass(frozen=True, slots=True)
class MadeUp(RunArtefact):
    """A run in memory."""

    scores: Any = None

    def config(self) -> dict[str, Any]:
        name = self.manifest["model"]
        return {
            "model": {"name": name}, "seeds": [self.manifest["seed"]], "inputs": {},
            "protocol": {
                "split": {"name": "random-811", "seed": 3}, "select_by": "recall@20", "tie_seed": 0, "cutoffs": [20],
                "exclude": ["train"], "cold_users": "drop",
            },
        }  # fmt: skip

    def per_user(self, columns: object = None) -> pd.DataFrame:
        users = [f"user-{place}" for place in range(N_USERS)]
        return pd.concat(
            [pd.DataFrame({"part": part, "user_id": users, "recall@20": self.scores}) for part in ("valid", "test")]
        )


def artefact(seed: int, model: str = "mf", level: float = 0.3, **changes: Any) -> MadeUp:
    rng = np.random.default_rng([seed, *model.encode()])
    scores = level + 0.05 * np.random.default_rng(0).standard_normal(N_USERS) + 0.01 * rng.standard_normal(N_USERS)
    values = {"recall@20": float(scores.mean()), "coverage@20": 0.5}
    facts: dict[str, Any] = {
        "schema_version": 1, "task": "retrieval", "dataset": "tiny", "model": model, "seed": seed,
        "protocol_id": "retrieval/random-811/exclude-train/aaaa", "select_by": "recall@20", "closed_form": False,
        "fingerprints": {
            "config": f"{model:c<16}", "data": "d", "split": "s", "features": {"image": "i"}, "code": "c", "base": "b",
        },
        "git": {"sha": "f00", "dirty": False}, "packages": {"torch": "2"}, "threads": 1, "determinism": "exact",
        "device": {"type": "cpu", "name": "a CPU", "cores": 2},
        "n_parameters": {"total": 10, "item_representation": 6},
        "seconds": {"train": 1.0 + seed, "test": 0.5}, "cpu_seconds": {"test": 0.25}, "energy": None,
        "peak_memory_mib": 100.0, "tuning": None, "deviations": ["something"], "altered": None,
        "vault_openings": [{"time": "2026-01-01", "purpose": "final"}],
        "audit": {
            "verdict": "warn", "checks": {"a": "warn"}, "messages": {"a": "bad"}, "seconds": 1.0,
            "vault_openings": [{"time": "2026-01-02", "purpose": "audit"}],
        },
        "files": {"metrics.json": f"digest of {model} {seed}"},
        **changes,
    }  # fmt: skip
    return MadeUp(Path("none"), facts, {"valid": values, "test": values, "test_slices": {}}, scores)


def cards(*runs: RunArtefact, baselines: tuple[str, ...] = ()) -> dict[str, ResultCard]:
    return {card.label: card for card in cards_of(collect([(None, run) for run in runs]), baselines)}


def test_numbers_are_those_of_the_runs() -> None:
    runs = [artefact(seed) for seed in range(3)]
    card = cards(*runs[::-1])["mf"]
    score, scores = card.metrics["test"]["recall@20"], np.stack([run.scores for run in runs])
    assert (score.n, card.seeds) == (3, (0, 1, 2))
    assert score.mean == pytest.approx(scores.mean())
    assert score.sd == pytest.approx(scores.mean(axis=1).std(ddof=1))
    found = contrast(scores, np.zeros((2, N_USERS)))
    assert (score.low, score.high, score.over) == (found.low, found.high, "users and seeds")
    assert card.metrics["test"]["coverage@20"].low is None
    assert card.cost.seconds["train"].mean == 2.0
    assert card.fingerprints.inputs == {"base": "b"}
    assert [opening.purpose for opening in card.vault] == ["final", "audit"] * 3


def test_one_seed_has_an_interval_over_users_alone() -> None:
    run = artefact(0)
    score = cards(run)["mf"].metrics["test"]["recall@20"]
    assert (score.low, score.high) == pytest.approx(over_users(run.scores))
    assert (score.sd, score.over) == (None, "users")


def test_makings_that_differ_are_told_apart() -> None:
    runs = [artefact(0), artefact(1), artefact(2, threads=8)]
    assert [making.seeds for making in cards(*runs)["mf"].makings] == [(0, 1), (2,)]


def test_the_study_is_told_and_by_hand_otherwise() -> None:
    told = {"study": "ab", "search": {"sampler": "tpe"}, "budget": {"trials": 3, "seconds": None}}
    told |= {"spent": {"trials": 3, "seconds": 1.5}, "trial": 2}
    tuned = cards(artefact(0), artefact(1, tuning=told))["mf"]
    assert tuned.tuning is not None
    assert tuned.tuning.trial == 2
    assert "by study ab, trial 2" in markdown(tuned)
    assert "by hand" in markdown(cards(artefact(0))["mf"])


def test_energy_is_told_where_all_runs_have_it() -> None:
    spent = {"kwh": 0.002, "how": "estimated: somehow"}
    card = cards(artefact(0, energy=spent), artefact(1, energy=spent))["mf"]
    assert card.cost.energy is not None
    assert card.cost.energy.kwh.mean == 0.002
    assert "2 (estimated: somehow)" in markdown(card)
    assert cards(artefact(0, energy=spent), artefact(1))["mf"].cost.energy is None


def test_baselines_are_tested_and_adjusted_within_the_card() -> None:
    runs = [
        artefact(seed, model, level)
        for model, level in (("mf", 0.3), ("vbpr", 0.4), ("bm3", 0.301))
        for seed in range(5)
    ]
    made = cards(*runs, baselines=("mf", "bm3"))
    assert {label: len(card.comparisons) for label, card in made.items()} == {"mf": 1, "vbpr": 2, "bm3": 1}
    against = {one.baseline: one for one in made["vbpr"].comparisons}
    scores = {name: np.stack([run.scores for run in runs if run.manifest["model"] == name]) for name in made}
    raw = [p_value(scores["vbpr"], scores[name]) or 0.0 for name in ("mf", "bm3")]
    assert against["mf"].verdict == "better"
    assert against["mf"].difference == pytest.approx(0.1, abs=0.01)
    assert max(one.p or 0 for one in against.values()) == pytest.approx(max(2 * min(raw), *raw), rel=1e-6)
    with pytest.raises(ArtefactError, match="'freedom' has no run"):
        cards(*runs, baselines=("freedom",))


def test_written_cards_read_back_and_hold_against_their_runs(tmp_path: Path) -> None:
    runs = [artefact(seed, model) for model in ("mf", "vbpr") for seed in range(2)]
    paths = write_cards(tmp_path, list(cards(*runs, baselines=("mf",)).values()))
    for path in paths:
        card = read_card(path)
        assert check_card(card, runs) == []
        assert path.with_suffix(".md").is_file()
    reworded = card.model_copy(update={"protocol": card.protocol.model_copy(update={"words": "As we said."})}).sealed()
    assert check_card(reworded, runs) == []
    changed = [dataclasses.replace(run, manifest={**run.manifest, "threads": 7}) for run in runs]
    assert "digest" in {what for what, _, _ in check_card(card, changed)}
    with pytest.raises(ArtefactError, match="of these runs there are seeds"):
        check_card(card, runs[:1])


def _changed(content: dict[str, Any]) -> None:
    content["metrics"]["test"]["recall@20"]["mean"] += 0.1


def _unknown(content: dict[str, Any]) -> None:
    content["remark"] = "best"


def _wrong(content: dict[str, Any]) -> None:
    content["seeds"] = "all"


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (_changed, ArtefactError, "was changed"),
        (_unknown, ConfigError, "remark: unknown key"),
        (_wrong, ConfigError, "seeds"),
    ],
)
def test_changed_cards_are_refused(change: Any, error: type[Exception], says: str, tmp_path: Path) -> None:
    (path,) = write_cards(tmp_path, list(cards(artefact(0)).values()))
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(error, match=says):
        read_card(path)


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN'])
def test_what_is_no_card_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises((ArtefactError, ConfigError), match=r"card\.json"):
        read_card(tmp_path / "card.json")
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_card(tmp_path / "none.json")


def test_the_order_of_runs_and_of_keys_does_not_matter() -> None:
    runs = [artefact(seed) for seed in range(2)]
    card = cards(*runs)["mf"]
    assert cards(*runs[::-1])["mf"].digest == card.digest
    turned = dict(reversed(card.model_dump(mode="json").items()))
    assert ResultCard.model_validate(turned).intact


def test_pages_hold_what_counts_and_load_nothing() -> None:
    card = card_of(collect([("<b>mf</b>", artefact(0))]).popitem()[1][0])
    text = page(card)
    assert card.digest in text
    assert "&lt;b&gt;mf" in text
    assert "<b>mf" not in text
    assert not any(word in text for word in ("http://", "https://", "<script", "src="))
    assert card.digest in markdown(card)


def test_every_field_is_explained_in_the_schema() -> None:
    told: Mapping[str, Any] = json.loads(schema_text())
    for definition in (told, *told["$defs"].values()):
        for name, field in definition["properties"].items():
            assert field.get("description") or "$ref" in field, name
