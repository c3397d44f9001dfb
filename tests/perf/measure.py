"""Speed and memory on amazon-baby, against the yardstick in the same run. See docs/performance.md.

Usage: python -m tests.perf.measure --data-dir DATA [--only SECTION ...], with the sections of `SECTIONS`
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch

from mmrec_bench.experiments.environment import MIB, available_cores, cpu_name, package_versions, use_threads
from mmrec_bench.retrieval.base import Exclusions, Representations, tie_ranks
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from tests.perf.board import print_board
from tests.perf.codes import print_codes
from tests.perf.features import print_features
from tests.perf.floors import print_floors
from tests.perf.prepare import print_prepare
from tests.perf.rankings import print_rankings
from tests.perf.report import print_report
from tests.perf.sessions import print_sessions
from tests.perf.setup import (
    GRADIENT_MODELS,
    epoch_seconds,
    evaluator_of,
    experiment_of,
    median_seconds,
    seconds,
    trained,
)
from tests.perf.verification import print_verification

CPU = torch.device("cpu")
SECTIONS = (
    "speed",
    "models",
    "floors",
    "codes",
    "rankings",
    "sessions",
    "report",
    "verification",
    "board",
    "features",
    "memory",
    "prepare",
    "scale",
)
ALL_METRICS = ("recall", "precision", "ndcg", "map", "mrr", "hit-rate")
MMREC_EPOCH = {"mf": 0.57, "lightgcn": 2.9, "vbpr": 1.7, "freedom": 3.7, "bm3": 5.1, "mgcn": 9.1, "alignrec": 10.6}
"""Seconds an epoch of MMRec, and of AlignRec's own code, on two cores, in minutes in which the yardstick took 0.87 to
1.01 s."""
MMREC_EVALUATION = {"mf": 2.1, "lightgcn": 2.3, "vbpr": 2.5, "freedom": 2.7, "bm3": 2.4, "mgcn": 2.6, "alignrec": 2.7}
MMREC_YARDSTICK_EPOCH, MMREC_YARDSTICK_EVALUATION = 0.94, 0.42


def yardstick(data_dir: Path) -> dict[str, float]:
    """Run the yardstick in a process of its own."""
    script = Path(__file__).with_name("yardstick.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(data_dir / "amazon-baby")],
        capture_output=True,
        text=True,
        check=True,
    )
    facts: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return facts


def speed(data_dir: Path, rounds: int) -> None:
    """LightGCN's epoch and one evaluation against the yardstick, in turn."""
    experiment, prepared = experiment_of("lightgcn", data_dir, "model.preset=released")
    yard, epochs, evaluations = [], [], []
    parts: dict[str, list[float]] = {}
    model = trained(experiment, prepared, CPU, epochs=4)
    lean, full = evaluator_of(prepared, CPU, ("recall", "ndcg")), evaluator_of(prepared, CPU, ALL_METRICS)
    for _ in range(rounds):
        yard.append(yardstick(data_dir))
        epochs.append(statistics.median(epoch_seconds(experiment, prepared, CPU, 4)))
        evaluations.append(median_seconds(lambda: lean.evaluate(model.export()), 3))
        scoring = model.export()
        evaluation = full.evaluate(scoring)
        for name, call in _evaluation_parts(model.export, lean, full, scoring, evaluation):
            parts.setdefault(name, []).append(median_seconds(call, 3))
    yard_epoch = statistics.median(facts["train_epoch_s"] for facts in yard)
    yard_evaluation = statistics.median(facts["evaluate_s"] for facts in yard)
    epoch_ratio = statistics.median(a / b["train_epoch_s"] for a, b in zip(epochs, yard, strict=True))
    evaluation_ratio = statistics.median(a / b["evaluate_s"] for a, b in zip(evaluations, yard, strict=True))
    print("\n### Against the yardstick (medians; the ratio is the median of the ratios in turn)\n")
    print("| what | mmrec-bench, s | yardstick, s | ratio |\n| :-- | --: | --: | --: |")
    print(f"| LightGCN epoch | {statistics.median(epochs):.3f} | {yard_epoch:.3f} | {epoch_ratio:.2f} |")
    print(
        f"| export, top-50, recall and NDCG | {statistics.median(evaluations):.3f} | {yard_evaluation:.3f} "
        f"| {evaluation_ratio:.2f} |"
    )
    print("\n### Parts of an evaluation\n\n| part | s |\n| :-- | --: |")
    for name, values in parts.items():
        print(f"| {name} | {statistics.median(values):.3f} |")


def _evaluation_parts(
    export: Callable[[], object], lean: object, full: object, scoring: object, evaluation: object
) -> list[tuple[str, Callable[[], object]]]:
    return [
        ("export of the vectors", export),
        ("retrieval, recall and NDCG", lambda: lean.evaluate(scoring)),
        ("retrieval and all six ranking metrics", lambda: full.evaluate(scoring)),
        ("catalogue metrics", lambda: full.catalogue(evaluation)),
        ("all metrics on all slices (once a run)", lambda: full.slices(evaluation)),
    ]


def models(data_dir: Path, rounds: int) -> None:
    """Seconds an epoch and an evaluation of the models that were timed in released code, beside it."""
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in MMREC_EPOCH}
    yard = []
    for _ in range(rounds):
        yard.append(yardstick(data_dir))
        for name in MMREC_EPOCH:
            experiment, prepared = experiment_of(name, data_dir, "model.preset=released")
            epoch = statistics.median(epoch_seconds(experiment, prepared, CPU, 4))
            model = trained(experiment, prepared, CPU, epochs=1)
            evaluator = evaluator_of(prepared, CPU, ("recall", "precision", "ndcg", "map"))
            rows[name].append((epoch, median_seconds(lambda m=model, e=evaluator: e.evaluate(m.export()), 3)))
    train_scale = statistics.median(facts["train_epoch_s"] for facts in yard) / MMREC_YARDSTICK_EPOCH
    test_scale = statistics.median(facts["evaluate_s"] for facts in yard) / MMREC_YARDSTICK_EVALUATION
    print("\n### Models beside released code (released switches, 256 + 256 feature values, trainable where released)\n")
    print(
        f"MMRec's seconds are scaled to this machine by the yardstick: epochs x {train_scale:.2f}, evaluations x "
        f"{test_scale:.2f}.\n"
    )
    print("| model | epoch, s | MMRec, s | times as fast | evaluation, s | MMRec, s | times as fast |")
    print("| :-- | --: | --: | --: | --: | --: | --: |")
    for name, values in rows.items():
        epoch = statistics.median(value[0] for value in values)
        evaluation = statistics.median(value[1] for value in values)
        theirs, theirs_evaluation = MMREC_EPOCH[name] * train_scale, MMREC_EVALUATION[name] * test_scale
        print(
            f"| {name} | {epoch:.3f} | {theirs:.2f} | {theirs / epoch:.1f} | {evaluation:.3f} "
            f"| {theirs_evaluation:.2f} | {theirs_evaluation / evaluation:.1f} |"
        )


def memory(data_dir: Path) -> None:
    """Peak memory of whole runs on amazon-baby, each in a process of its own, two epochs."""
    print("\n### Peak memory of a whole run on amazon-baby, MiB (process of its own, two epochs)\n")
    print("| model | peak, MiB |\n| :-- | --: |")
    for name in ("popularity", "itemknn", "itemknn-content", "ease", *GRADIENT_MODELS):
        overrides = ["--set", "trainer.max_epochs=2"] if name in GRADIENT_MODELS else []
        code = (
            "import resource, sys, tempfile\n"
            "from mmrec_bench.cli.app import app\n"
            "with tempfile.TemporaryDirectory() as out:\n"
            "    app([*sys.argv[1:], '--seed', '0', '--out', out], standalone_mode=False)\n"
            "print('PEAK', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
        )
        command = [sys.executable, "-c", code, "run", f"amazon-baby/{name}", "--data-dir", str(data_dir), *overrides]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        peaks = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("PEAK")]
        print(f"| {name} | {float(peaks[0]):.0f} |" if peaks else f"| {name} | failed: {done.stderr[-200:]} |")


def scale(n_users: int = 200_000, n_items: int = 500_000, dim: int = 64, history: int = 20) -> None:
    """Retrieval of random vectors at a size at which no users x items matrix fits."""
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(n_users, dim, generator=generator), torch.randn(n_items, dim, generator=generator)
    rng = np.random.default_rng(0)
    seen = sp.csr_matrix(
        (
            np.ones(n_users * history, np.float32),
            (np.repeat(np.arange(n_users), history), rng.integers(n_items, size=n_users * history)),
        ),
        shape=(n_users, n_items),
    )
    ties = tie_ranks(np.arange(n_items).astype(np.str_), seed=0)
    retriever = build_retriever(RetrieverConfig(), CPU)
    exclude = Exclusions.of(seen)
    took = seconds(lambda: retriever.top_k(Representations(users, items), np.arange(n_users), 50, exclude, ties))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB
    print("\n### Retrieval at scale\n\n| users | items | d | k | s | peak of the process, MiB |")
    print("| --: | --: | --: | --: | --: | --: |")
    print(f"| {n_users:,} | {n_items:,} | {dim} | 50 | {took:.0f} | {peak:.0f} |")


def main() -> None:
    """Measure what was asked for and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=os.environ.get("MMREC_BENCH_DATA"))
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="*", choices=GRADIENT_MODELS, default=GRADIENT_MODELS, help="of the floors")
    options = parser.parse_args()
    only = options.only or SECTIONS
    threads = use_threads()
    versions = package_versions()
    print(f"{cpu_name()}, {available_cores()} cores, {threads} threads; torch {versions['torch']}", end="")
    print(f", faiss {versions.get('faiss-cpu') or versions.get('faiss-gpu-cu12')}")
    if options.data_dir is None and set(only) - {
        "scale",
        "prepare",
        "rankings",
        "report",
        "verification",
        "board",
        "features",
    }:
        sys.exit("amazon-baby is needed: make perf DATA=folder")
    if "scale" in only:
        scale()  # first: its peak is of this process
    if "speed" in only:
        speed(Path(options.data_dir), options.rounds)
    if "models" in only:
        models(Path(options.data_dir), options.rounds)
    if "floors" in only:
        print_floors(list(options.models), Path(options.data_dir))
    if "codes" in only:
        print_codes(Path(options.data_dir))
    if "rankings" in only:
        print_rankings()
    if "sessions" in only:
        print_sessions(Path(options.data_dir))
    if "report" in only:
        print_report()
    if "verification" in only:
        print_verification()
    if "board" in only:
        print_board()
    if "features" in only:
        print_features()
    if "prepare" in only:
        print_prepare([1, 5])
    if "memory" in only:
        memory(Path(options.data_dir))


if __name__ == "__main__":
    main()
