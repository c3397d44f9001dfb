"""Packing: from the run folders of one row to the folder of a submission."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mmrec_bench.errors import ArtefactError, ConfigError, ConfigIssue, ResourceError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.building import parquet_bytes
from mmrec_bench.leaderboard.declared import differences, named_paths
from mmrec_bench.leaderboard.findings import MAX_TOLD
from mmrec_bench.leaderboard.folder import digest_of_bytes
from mmrec_bench.leaderboard.judges import COLUMNS
from mmrec_bench.leaderboard.submission import (
    CARD,
    CONFIG,
    LISTS,
    N_PROVISIONAL,
    SUBMISSION,
    Claim,
    CodeReference,
    ListStorage,
    StoredFile,
    Submission,
)
from mmrec_bench.leaderboard.track import Track
from mmrec_bench.leaderboard.versions import metric_versions
from mmrec_bench.leaderboard.words import Part
from mmrec_bench.reports.cards.build import card_of
from mmrec_bench.reports.collect import Row, collect
from mmrec_bench.settings import Document
from mmrec_bench.strict_yaml import dump

OPTIONS = {
    "entry": "--entry",
    "title": "--title",
    "authors": "--author",
    "code": "--code https://...@COMMIT",
    "tier": "--tier",
    "external_data": "--external",
    "replaces": "--replaces",
    "lists.url": "--lists-url",
}
"""Options of the command, by what they stand for in ``submission.json``."""


def pack(
    runs: Sequence[RunArtefact],
    track: Track,
    entry: str,
    authors: Sequence[str],
    out: Path,
    *,
    code: tuple[str | None, str],
    title: str | None = None,
    tier: str = "closed",
    external_data: Sequence[str] = (),
    lists_url: str | None = None,
    replaces: str | None = None,
) -> Path:
    """Write the folder of a submission, whole or not at all.

    Args:
        runs: Runs of one experiment, all seeds.
        track: What it is submitted to.
        entry: Name of the folder.
        authors: Who submits it.
        out: Folder of all submissions; the folder is ``<out>/<track>/<entry>``.
        code: Address and commit of its code; no address for systems of the repository that holds the board.
        title: Name on the board; the label of the row by default.
        tier: ``closed`` or ``open``.
        external_data: What it has seen beside the data of the track.
        lists_url: Where the lists are, of tracks whose lists are kept outside.
        replaces: Earlier entry of one of the authors that this one stands in the place of.

    Returns:
        The folder.

    Raises:
        ArtefactError: The runs are of several experiments, of another track, altered, leaked, too few, or looked at the
            test part more than once; or the folder is there already.
        ConfigError: A name or text is not allowed.
        ResourceError: The folder cannot be written.
    """
    row = _row(runs, track)
    deterministic = all(run.deterministic for run in row.runs)
    if deterministic and len(row.seeds) > 1:
        raise ArtefactError(
            f"no seed moves '{row.label}', so that its {len(row.seeds)} runs are one; name the folder of one of them"
        )
    if not deterministic and len(row.seeds) < N_PROVISIONAL:
        raise ArtefactError(
            f"'{row.label}' has {len(row.seeds)} seeds; a system that seeds can move needs five, and three to be "
            "listed as provisional. Run more seeds"
        )
    card = card_of(row)
    files = {
        CARD: card.text().encode(),
        CONFIG: dump({**row.runs[0].config(), "seeds": list(row.seeds)}).encode(),
        **{f"{LISTS}/seed-{seed}.parquet": _lists(run, track) for seed, run in zip(row.seeds, row.runs, strict=True)},
    }
    parts: tuple[Part, ...] = ("valid", "test")
    told = Document(
        SUBMISSION,
        {
            "track": track.name,
            "entry": entry,
            "title": title or row.label,
            "authors": list(authors),
            "code": CodeReference.model_construct(url=code[0], commit=code[1]).model_dump(),
            "tier": tier,
            "external_data": list(external_data),
            "replaces": replaces,
            "seeds": list(row.seeds),
            "deterministic": deterministic,
            "claimed": {
                part: {
                    name: Claim(mean=score.mean, sd=score.sd, n=score.n).model_dump()
                    for name, score in card.metrics[part].items()
                }
                for part in parts
            },
            "metric_versions": metric_versions(track),
            "files": {
                name: StoredFile(digest=digest_of_bytes(content), bytes=len(content)).model_dump()
                for name, content in files.items()
            },
            "lists": ListStorage(
                stored="git" if track.lists_in_git else "outside",
                url=None,
                command=f"mmrec-bench run {CONFIG}, then mmrec-bench leaderboard pack RUNS --track {track.name}",
            ).model_dump()
            | {"url": lists_url},
        },
    )
    try:
        submission = told.parse(Submission)
    except ConfigError as error:
        issues = [ConfigIssue(_option(issue.path), issue.message) for issue in error.issues]
        raise ConfigError("leaderboard pack", issues) from None
    return _write(out / track.name / entry, {SUBMISSION: submission.text().encode(), **files})


def _option(path: str) -> str:
    """Return the option that gave a value of ``submission.json``, or its path."""
    return next((option for key, option in OPTIONS.items() if path.startswith(key)), path)


def _row(runs: Sequence[RunArtefact], track: Track) -> Row:
    """Return the row of the runs, which must be one of the track."""
    for run in runs:
        if run.manifest.get("altered"):
            raise ArtefactError(f"{run.folder}: was made on altered features, which stand on no board. Leave it out")
        config = run.config()
        if paths := list(named_paths(config)):
            raise ArtefactError(
                f"{run.folder}: its config.yaml cannot be read elsewhere: {'; '.join(paths[:MAX_TOLD])}"
            )
        mine = {
            "dataset": {name: config["dataset"].get(name) for name in ("card", "impressions")},
            "protocol": config["protocol"],
        }
        if differs := differences(track.settings, mine):
            raise ArtefactError(f"{run.folder}: is not of track {track.name}: {differs}. Run it under that protocol")
        if run.manifest["protocol_id"] != track.protocol.id:
            raise ArtefactError(
                f"{run.folder}: its numbers mean {run.manifest['protocol_id']}, those of track {track.name} "
                f"{track.protocol.id}: a metric has another version since. Run it again"
            )
        if (opened := len(run.manifest["vault_openings"])) != 1:
            raise ArtefactError(
                f"{run.folder}: opened the test part {opened} times to be judged, not once. Run it again"
            )
    rows = [row for table in collect([(None, run) for run in runs]).values() for row in table]
    if len(rows) != 1:
        told = ", ".join(f"{row.label} on {row.key.dataset}" for row in rows[:5])
        raise ArtefactError(
            f"a submission is of one experiment; these runs are of {len(rows)}: {told}. Name fewer folders"
        )
    return rows[0]


def _lists(run: RunArtefact, track: Track) -> bytes:
    """Return the lists of a run as parquet: as it keeps them, and no longer than the track asks for."""
    table: pd.DataFrame = run.rankings()[list(COLUMNS[track.task])]
    if track.depth is not None:
        table = table[table["rank"] <= track.depth]
    return parquet_bytes(table)


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write all files beside the folder's place and rename."""
    if folder.exists():
        raise ArtefactError(f"{folder}: is there already; an entry is never written over. Choose another name")
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        for name, content in files.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        os.replace(partial, folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ResourceError(f"cannot write {folder}: {error.strerror or error}") from None
    return folder
