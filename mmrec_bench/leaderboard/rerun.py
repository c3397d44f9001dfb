"""Reruns: the config of a submission is run again, and its headline compared. A consistent forgery is caught here."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mmrec_bench.errors import ArtefactError, ConfigError, ConfigIssue
from mmrec_bench.experiments.prepare import Preparer, run_key
from mmrec_bench.experiments.run import RunSettings, run
from mmrec_bench.experiments.schema.experiment import Experiment, ExperimentConfig
from mmrec_bench.leaderboard.findings import Findings
from mmrec_bench.leaderboard.folder import open_folder
from mmrec_bench.leaderboard.record import Check, Rerun, VerificationRecord
from mmrec_bench.leaderboard.submission import CONFIG
from mmrec_bench.leaderboard.verify import Verification
from mmrec_bench.leaderboard.versions import changed_metrics
from mmrec_bench.settings import parse_yaml

TOLERANCE = 0.02
"""Greatest difference of a headline metric, relative to the submitted value, that is put down to other hardware."""


@dataclass(frozen=True, slots=True)
class Reran:
    """What came of a rerun.

    Attributes:
        record: The record with it; refused where a number differs by more than the tolerance.
        differing: Metrics that do.
    """

    record: VerificationRecord
    differing: tuple[str, ...]


def rerun(
    path: Path,
    verification: Verification,
    settings: RunSettings,
    seed: int | None = None,
    tolerance: float = TOLERANCE,
) -> Reran:
    """Verify a submission, run its config again in a folder of its own, and compare the headline of both parts.

    Only models of this package, and of plug-ins that are installed, are run; no code of the submission is.

    Args:
        path: Folder of the submission.
        verification: Verifies it first.
        settings: How it is run; ``out`` is not read.
        seed: One of its seeds; the first by default.
        tolerance: Greatest relative difference, a finite number from 0 on.

    Raises:
        ConfigError: The tolerance is none.
        ArtefactError: It is refused, its lists cannot be judged here, its model is not installed, or it has no such
            seed.
        MMRecBenchError: The run fails.
    """
    if not 0 <= tolerance < math.inf:  # nothing differs by more than nan or infinity
        issue = ConfigIssue("--tolerance", f"needs a finite number from 0 on, such as {TOLERANCE}; got {tolerance}")
        raise ConfigError("leaderboard rerun", [issue])
    record = verification(path).accepted("Nothing was run")
    if record.form_only.value or not next(iter(record.metrics["test"].values())).per_seed:
        raise ArtefactError(f"{path}: has no lists that could be compared: {record.form_only.reason}")
    seed = record.seeds[0] if seed is None else seed
    if seed not in record.seeds:
        raise ArtefactError(f"{path}: has no seed {seed}; its seeds are {', '.join(map(str, record.seeds))}")
    track = verification.tracks[record.track]
    if older := changed_metrics(record.metric_versions, track):
        names = ", ".join(sorted(older)[:5])
        raise ArtefactError(
            f"{path}: its numbers are of other versions of metrics ({names}), so that those of a new run cannot be "
            "held against them. Run `mmrec-bench leaderboard rescore` where its lists are"
        )
    made = _made(path, verification, settings, seed)
    place, differences, differing = record.seeds.index(seed), {}, []
    for name in track.headline:
        for part in ("valid", "test"):
            if (told := record.metrics[part].get(name)) is None:
                continue
            difference = made[part][name] - told.per_seed[place]
            if part == "test":
                differences[name] = difference
            if abs(difference) > tolerance * max(abs(told.per_seed[place]), 1e-12):
                differing.append(
                    f"{part} {name} is {made[part][name]:.6g} when run again, {told.per_seed[place]:.6g} here"
                )
    found = Rerun(seed=seed, tolerance=tolerance, differences=differences)
    verdict = Check(
        name="rerun",
        verdict="fail" if differing else "pass",
        message=f"seed {seed} of {CONFIG}, within {tolerance:.2%}: " + ("; ".join(differing) or "as submitted"),
    )
    checks = (*(check for check in record.checks if check.name != "rerun"), verdict)
    status = "refused" if differing else "audited" if record.audit else "rerun-verified"
    updated = record.model_copy(update={"rerun": found, "checks": checks, "status": status})
    return Reran(updated.sealed(), tuple(differing))


def _made(path: Path, verification: Verification, settings: RunSettings, seed: int) -> dict[str, dict[str, float]]:
    """Run one seed and return its metrics by part."""
    findings = Findings()
    folder = open_folder(path, findings)
    content = None if folder is None else folder.read(CONFIG, findings)
    if content is None:
        raise ArtefactError(f"{path}: was changed while it was verified")
    config = parse_yaml(content.decode("utf-8"), CONFIG).parse(ExperimentConfig)
    experiment = Experiment(config, Path(CONFIG), config.label)
    prepared = Preparer(verification.data_dir)(experiment)
    with tempfile.TemporaryDirectory(prefix="mmrec-bench-rerun-") as out:
        fresh = RunSettings(Path(out), settings.device, settings.threads)
        artefact = run(experiment, prepared, run_key(experiment, prepared, seed), fresh)
        return {part: dict(artefact.metrics[part]) for part in ("valid", "test")}
