"""Ten thousand sessions of ten rounds on amazon-scientific, each system in a process of its own.

Usage: python -m tests.perf.sessions DATA CANDIDATES SYSTEM
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.split import VaultLedger
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.sessions import InteractiveEvaluator
from mmrec_bench.experiments.environment import use_threads
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.models.base import MODELS
from mmrec_bench.models.interactive.base import InteractiveContext, InteractiveSystem
from mmrec_bench.retrieval.base import Representations

CPU = torch.device("cpu")
N_SESSIONS, DIM = 10_000, 64
SYSTEMS = ("item-only", "core", "magus-fixed")


def print_sessions(data_dir: Path) -> None:
    """Print the table."""
    print("\n### 10,000 sessions of 10 rounds on amazon-scientific, one thread, seconds of the processor\n")
    print("| candidates | system | s | ms a session-round | peak MiB |\n| :-- | :-- | --: | --: | --: |")
    for candidates in ("sampled", "full"):
        for system in SYSTEMS:
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-m", "tests.perf.sessions", str(data_dir), candidates, system],
                capture_output=True,
                text=True,
                check=True,
            )
            facts = json.loads(done.stdout.strip().splitlines()[-1])
            each = 1000 * facts["seconds"] / facts["session_rounds"]
            print(f"| {candidates} | {system} | {facts['seconds']:.1f} | {each:.2f} | {facts['peak_mib']:.0f} |")


def measure(data_dir: Path, candidates: str, system: str) -> dict[str, float]:
    """Return seconds and peak memory of all sessions around random vectors, so that most last to the end."""
    use_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.yaml"
        path.write_text(
            "schema_version: 1\ndataset: {card: amazon-scientific}\ninputs: {base: {model: popularity}}\n"
            f"protocol: {{split: online-users, candidates: {candidates}, "
            "queries: {name: mined, title_min_items: 50}}\n"
            f"model: {{name: {system}}}\n",
            encoding="utf-8",
        )
        experiment = load_experiment(path)
    prepared = Preparer(data_dir)(experiment)
    protocol = experiment.config.protocol
    assert isinstance(protocol, InteractiveProtocol)
    assert prepared.lexicon is not None
    truth: Interactions = prepared.split.test.open("timing", VaultLedger())
    train: Interactions = prepared.split.train
    n_users = len(np.unique(truth.users))
    protocol = protocol.model_copy(update={"sessions_per_user": -(-N_SESSIONS // n_users)})
    torch.manual_seed(0)
    base = Representations(torch.randn(train.n_users, DIM), torch.randn(train.n_items, DIM))
    context = InteractiveContext(train, prepared.lexicon, base, prepared.ties)
    model = MODELS[system].build(experiment.config.model, context)
    assert isinstance(model, InteractiveSystem)
    model.eval()
    evaluator = InteractiveEvaluator(protocol, train, truth, CPU)
    started = time.process_time()  # what else the machine does would count, too
    found = evaluator.evaluate(model)
    seconds, rounds = time.process_time() - started, protocol.cutoffs[-1]
    held = len(found.users)
    return {
        "seconds": seconds * N_SESSIONS / held,
        "session_rounds": N_SESSIONS * rounds,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], sys.argv[3])))
