"""What tuning on the test part would have published: weights of finished trials, scored where no tuner can read it.

Harnesses in use choose hyper-parameters by the test score. How much that adds can be shown with the weights that the
complete trials of a study have kept: each is scored on the test part, in a process of its own, with the purpose
`PURPOSE` in the ledger of a folder of its own kind. Nothing but reports of this emulation reads that folder, and import
contracts keep tuning from it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mmrec_bench.data.split import VaultLedger
from mmrec_bench.errors import ArtefactError, MMRecBenchError
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.environment import (
    PACKAGE_FOLDER,
    choose_device,
    code_digest,
    device_facts,
    package_versions,
    use_threads,
)
from mmrec_bench.experiments.folders import CONFIG, SCHEMA_VERSION, digest_of
from mmrec_bench.experiments.legacy.folder import FILES, PURPOSE, USERS, LegacyArtefact, LegacyKey
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings, built, with_inputs
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.experiments.start import read_weights
from mmrec_bench.experiments.tuning.space import Space, load_space
from mmrec_bench.experiments.tuning.studies import StudyArtefact
from mmrec_bench.experiments.tuning.study import SPACE

TOLERANCE = 1e-3
"""Share by which a validation score may differ from that of the trial before its weights count as not understood."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the process that scores is told.

    Attributes:
        study: Folder of the study.
        out: Root of the folders of emulations.
        data_dir: Where data folders lie.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: Threads; all cores by default.
        reuse_stale: Whether weights that other code made are accepted.
    """

    study: str
    out: str
    data_dir: str | None = None
    device: str = "auto"
    threads: int | None = None
    reuse_stale: bool = False


def emulated(options: Options) -> LegacyArtefact:
    """Return the emulation of a study, scored in a process of its own where it is not there.

    Raises:
        ArtefactError: The study keeps no weights, they are missing, changed or of other code, or the process failed.
    """
    study, out = StudyArtefact.load(Path(options.study)), Path(options.out)
    _check_code(study, options.reuse_stale)
    key = LegacyKey.of(study)
    if key.state(out) != "done":
        _ = list(_weights(study))  # refused here, before a process starts
        path = os.pathsep.join((str(PACKAGE_FOLDER.parent), os.environ.get("PYTHONPATH", ""))).rstrip(os.pathsep)
        env = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-m", "mmrec_bench.experiments.legacy.emulation", json.dumps(asdict(options))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
        if done.returncode:
            reason = done.stderr.strip() or f"exit code {done.returncode}"
            raise ArtefactError(f"{study.folder}: its trials could not be scored: {reason}")
    return LegacyArtefact.load(key.folder(out))


def score(options: Options) -> None:
    """Score the complete trials of a study on the test part and write the folder; to be called in a process of its own.

    Raises:
        ArtefactError: The data are not those of the study, or its weights are not understood.
    """
    study, out = StudyArtefact.load(Path(options.study)), Path(options.out)
    _check_code(study, options.reuse_stale)
    key, root = LegacyKey.of(study), study.folder.resolve().parents[3]
    device = choose_device(options.device)
    settings = RunSettings(root, device, use_threads(options.threads), reuse_stale=options.reuse_stale)
    space = load_space(study.folder / SPACE, load_experiment(study.folder / CONFIG))
    preparer, ledger = Preparer(None if options.data_dir is None else Path(options.data_dir)), _Ledger()
    with write.run_lock(key, out, wait=True):
        if key.state(out) == "done":
            return
        found = [_scored(trial, path, space, study, preparer, settings, ledger) for trial, path in _weights(study)]
        with write.building(key, out, keep=False) as folder:
            write.write_table(folder / USERS, pd.concat([users for _, users in found], ignore_index=True))
            facts = _facts(study, settings, ledger) | {"trials": [told for told, _ in found]}
            write.write_manifest(folder, facts, FILES)


class _Ledger(VaultLedger):
    """Notes every opening under the purpose of the emulation, whatever the station calls it."""

    def record(self, purpose: str) -> None:
        VaultLedger.record(self, PURPOSE)


def _scored(
    trial: Mapping[str, Any],
    path: Path,
    space: Space,
    study: StudyArtefact,
    preparer: Preparer,
    settings: RunSettings,
    ledger: VaultLedger,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what is told of a trial, and the test scores of its users."""
    facts, experiment = study.manifest, space.at(trial["values"])
    seed = facts["search"]["training_seed"]
    prepared, _ = with_inputs(preparer(experiment), seed, settings, None)
    for name, value in prepared.fingerprints.items():
        if facts["fingerprints"].get(name) != value:
            raise ArtefactError(
                f"{study.folder}: was searched on other data: the digest of {name} is "
                f"{facts['fingerprints'].get(name)} there and {value} here. Give the data of the study"
            )
    station, model, _, _ = built(experiment, prepared, seed, settings)
    try:
        model.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise ArtefactError(f"{path}: are weights of another model: {str(error).splitlines()[0]}") from None
    model.eval()
    judged = station.judge(model, ledger)
    metric, told = facts["select_by"], float(trial["score"])
    again = float(judged.metrics["valid"][metric])
    if abs(again - told) > TOLERANCE * abs(told):
        raise ArtefactError(
            f"{path}: score {again:.6f} on validation with this code, and {told:.6f} when they were made. What moved "
            "the one may move the other: tune again with this code"
        )
    table = judged.per_user[judged.per_user["part"] == "test"]
    users = pd.DataFrame({"trial": trial["trial"], "user_id": table["user_id"].astype(str), "score": table[metric]})
    row = {"trial": trial["trial"], "values": trial["values"], "valid": told, "valid_again": again}
    return row | {"weights": trial["weights"], "test": judged.metrics["test"]}, users


def _facts(study: StudyArtefact, settings: RunSettings, ledger: VaultLedger) -> dict[str, Any]:
    told = study.manifest
    shared = {
        key: told[key] for key in ("task", "dataset", "model", "protocol_id", "select_by", "budget", "spent", "best")
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": PURPOSE,
        **{key: told[key] for key in shared},
        "study": told["fingerprints"]["study"],
        "training_seed": told["search"]["training_seed"],
        "fingerprints": {**told["fingerprints"], "weights_code": told["fingerprints"]["code"], "code": code_digest()},
        "packages": package_versions(),
        "device": device_facts(settings.device),
        "threads": settings.threads,
        "vault_openings": [asdict(opening) for opening in ledger.openings],
    }


def _check_code(study: StudyArtefact, reuse_stale: bool) -> None:
    made = study.manifest["fingerprints"]["code"]
    if made != code_digest() and not reuse_stale:
        raise ArtefactError(
            f"{study.folder}: its weights were made by other code ({made}, here {code_digest()}). Tune again, or "
            "accept them with --reuse-stale: they must then score on validation as they did"
        )


def _weights(study: StudyArtefact) -> Iterator[tuple[Mapping[str, Any], Path]]:
    """Yield each complete trial with the file of its weights, which is checked.

    Raises:
        ArtefactError: A trial has no weights, or they are missing or changed.
    """
    prints = study.manifest["fingerprints"]
    folder = study.folder.parent / f"{prints['trials']}-code-{prints['code'][:8]}.weights"
    for trial in study.trials:
        if trial["outcome"] != "complete":
            continue
        path = folder / f"{trial['trial']}.safetensors"
        if trial.get("weights") is None or not path.is_file():
            raise ArtefactError(
                f"{study.folder}: trial {trial['trial']} has no weights in {folder}: deleted, made before weights "
                "were kept, or by a worker elsewhere. Bring them, or tune again"
            )
        if digest_of(path) != trial["weights"]:
            raise ArtefactError(f"{path}: was changed since the trial; its digest is not that of the study. Tune again")
        yield trial, path


def main() -> None:
    """Score one study; errors go to the standard error, as one message."""
    try:
        score(Options(**json.loads(sys.argv[1])))
    except MMRecBenchError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
