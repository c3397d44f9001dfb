"""Made-up entries, whole in form, whose numbers are known."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from mmrec_bench.leaderboard.board import Entry
from mmrec_bench.leaderboard.record import Check, FormOnly, Measured, VerificationRecord, Verifier
from mmrec_bench.leaderboard.submission import (
    CARD,
    CONFIG,
    Claim,
    CodeReference,
    ListStorage,
    StoredFile,
    Submission,
)
from mmrec_bench.leaderboard.track import Track
from mmrec_bench.reports.cards import schema as form
from mmrec_bench.reports.collect import Estimate

MARKUP = '<b onclick="alert(1)">bold</b> & "it\'s" </script><script>window.broken = 1</script> {{ 7 * 7 }}'
SLICES = ("users:cold", "items:long-tail")
CONFIG_TEXT = b"schema_version: 1\n"


def measured(values: list[float], half: float | None = 0.01) -> Measured:
    told = Estimate.of(values)
    low, high = (None, None) if half is None else (told.mean - half, told.mean + half)
    return Measured(mean=told.mean, sd=told.sd, n=told.n, per_seed=tuple(values), low=low, high=high)


def values_of(track: Track, level: float, seeds: tuple[int, ...]) -> dict[str, list[float]]:
    """Return values of each seed by metric, around a level that falls from metric to metric."""
    rng = np.random.default_rng([int(1e6 * level), len(seeds)])
    return {
        name: [float(value) for value in level / (1 + place) + 0.002 * rng.standard_normal(len(seeds))]
        for place, name in enumerate(track.headline)
    }


def card_of(track: Track, label: str, seeds: tuple[int, ...], parameters: int, seconds: float) -> form.ResultCard:
    score = {"recall@20": form.Score(mean=0.1, sd=0.01, n=len(seeds), low=0.05, high=0.15, over="users and seeds")}
    number = form.Number(mean=seconds, sd=0.1, n=len(seeds))
    return form.ResultCard(
        label=label, task=track.task, dataset=track.dataset.card,
        protocol=form.ProtocolCard(id=track.protocol.id, words=label, select_by=track.headline[0]),
        fingerprints=form.Fingerprints(experiment="e" * 16, data="d", split="s", features={"image": label}, inputs={}),
        config={"model": {"name": label}}, config_digest="0", seeds=seeds, tuning=None,
        metrics={"valid": score, "test": score}, comparisons=(), parameters={"total": parameters},
        cost=form.CostCard(
            seconds={"train": number}, cpu_seconds=None, peak_memory_mib=None, peak_device_memory_mib=None, energy=None
        ),
        makings=(form.Making(
            seeds=seeds, code="c", git={"sha": label, "dirty": False}, packages={"torch": "2.13.0"},
            device=form.Hardware(type="cpu", name=label, cores=2), threads=1, determinism="exact",
        ),),
        vault=(form.Opening(seed=0, time="2026-11-01T00:00:00+00:00", purpose=label),), audit=None,
        deviations=(label,), runs=(),
    ).sealed()  # fmt: skip


def entry_of(
    track: Track, name: str, level: float, *, title: str = "", label: str = "a model", n_seeds: int = 5,
    tier: str = "closed", status: str = "list-verified", deterministic: bool = False, flags: tuple[str, ...] = (),
    parameters: int = 10_000, seconds: float = 10.0, device: str = "a CPU", **changes: Any,
) -> Entry:  # fmt: skip
    """Return an entry; ``level`` is near the mean of the first headline metric, and texts need not be allowed."""
    seeds, form_only = tuple(range(n_seeds)), status == "self-reported"
    card = card_of(track, label, seeds, parameters, seconds)
    values = values_of(track, level, seeds)
    test = {metric: measured(found) for metric, found in values.items()}
    if form_only:
        test = {metric: found.model_copy(update={"per_seed": ()}) for metric, found in test.items()}
    claims = {metric: Claim(mean=found.mean, sd=found.sd, n=found.n) for metric, found in test.items()}
    stored = stored_as(card.text().encode())
    submission = Submission(
        track=track.name, entry=name, title=name, authors=("A. Author",),
        code=CodeReference(url="https://example.org/code", commit="0" * 40), tier=tier,
        external_data=("a language model",) if tier == "open" else (), seeds=seeds,
        deterministic=deterministic, claimed={"valid": claims, "test": claims},
        files={
            CARD: stored, CONFIG: stored_as(CONFIG_TEXT), **{f"lists/seed-{seed}.parquet": stored for seed in seeds}
        },
        lists=ListStorage(stored="git", command="mmrec-bench run config.yaml"),
    ).model_copy(update={"title": title or name, **changes})  # fmt: skip
    found = [Check(name="lists", verdict="pass", message="looked at")]
    found += [Check(name="gap", verdict="flag", message=message) for message in flags]
    record = VerificationRecord(
        track=track.name, entry=name, submission_digest=digest(submission.text().encode()),
        verifier=Verifier(version="0.1", code="c" * 16), metric_versions={"recall": 1, "ndcg": 1}, status=status,
        form_only=FormOnly(value=form_only, reason="The data may not be shipped." if form_only else ""),
        checks=tuple(found), seeds=seeds, provisional=submission.provisional, metrics={"valid": test, "test": test},
        slices={} if form_only else {
            part: {track.headline[0]: measured([value * (2 + place) for value in values[track.headline[0]]], None)}
            for place, part in enumerate(SLICES)
        },
        n_parameters=parameters, hardware=(form.Hardware(type="cpu", name=device, cores=2),), tuning=None,
    ).sealed()  # fmt: skip
    return Entry(submission, record, card)


def write(root: Path, entry: Entry) -> Path:
    """Write the files of an entry that a board reads, and return its folder."""
    folder = root / "submissions" / entry.record.track / entry.record.entry
    folder.mkdir(parents=True)
    texts = {"submission.json": entry.submission, CARD: entry.card, "verification.json": entry.record}
    for name, content in texts.items():
        (folder / name).write_text(content.text(), encoding="utf-8")
    (folder / CONFIG).write_bytes(CONFIG_TEXT)
    return folder


def stored_as(content: bytes) -> StoredFile:
    return StoredFile(digest=digest(content), bytes=len(content))


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
