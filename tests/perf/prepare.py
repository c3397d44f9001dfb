"""Time and memory of preparing generated reviews with a 5-core, at rising sizes. See docs/scale.md.

Usage: python -m tests.perf.prepare [--sizes 1 5 20 50] [--folder FOLDER] [--threads 2] [--memory 2048] [--shards 0]

Sizes are millions of reviews. With --shards the steps are tasks of a Ray cluster of this machine alone. What was
measured is kept in FOLDER/measured*.json and not measured again; raw files and data sets are deleted after
each size.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from mmrec_bench.data.cards import parse_card
from mmrec_bench.data.formats.prepared import PreparedCard
from mmrec_bench.data.preparing.prepare import Means, prepare
from mmrec_bench.data.raw.files import RawFile
from mmrec_bench.data.raw.lines import Lines
from mmrec_bench.data.raw.problems import Problems
from mmrec_bench.experiments.environment import MIB, cpu_name
from mmrec_bench.experiments.executors.demand import Demand
from mmrec_bench.experiments.executors.ray import connected
from mmrec_bench.experiments.executors.ray_tasks import RayTasks
from mmrec_bench.settings import Document

MILLION = 1_000_000
PER_FILE = 5 * MILLION
USERS, ITEMS = 0.27, 0.1
"""Users and items a review that may be drawn."""

N_TEXTS = 20_000
_CHANCE = "(hash({key}) / 18446744073709551616.0)"


def generate(folder: Path, n_reviews: int, threads: int) -> list[str]:
    """Write reviews as gzip JSON lines in the form of 2018, about 260 bytes each, some files long; some pairs repeat.

    Users and items are drawn by power laws, such that about a quarter of the reviews are in the 5-core; of the 142.8
    million reviews of 2014 it is 41.1 million.
    """
    import duckdb

    names = []
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.register("texts", _texts())
        for start in range(0, n_reviews, PER_FILE):
            names.append(f"reviews-{start // PER_FILE:02}.json.gz")
            if (folder / names[-1]).exists():
                continue
            user = f"CAST(floor({USERS} * {n_reviews} * pow({_CHANCE.format(key='3 * i')}, 2.2)) AS BIGINT)"
            item = f"CAST(floor({ITEMS} * {n_reviews} * pow({_CHANCE.format(key='3 * i + 1')}, 2.8)) AS BIGINT)"
            rating = f"CAST(5 - floor(5 * pow({_CHANCE.format(key='3 * i + 2')}, 2.5)) AS DOUBLE)"
            partial = folder / f"{names[-1]}.part"
            stop = min(start + PER_FILE, n_reviews)
            pipe = folder / "pipe"
            pipe.unlink(missing_ok=True)
            os.mkfifo(pipe)
            packer = subprocess.Popen(["sh", "-c", 'gzip -1 < "$0" > "$1"', str(pipe), str(partial)])
            connection.execute(
                f"""COPY (
                    SELECT {rating} AS overall, 'A' || upper(substr(md5({user}::VARCHAR), 1, 13)) AS reviewerID,
                           'B' || upper(substr(md5({item}::VARCHAR), 1, 9)) AS asin, text AS reviewText,
                           1000000000 + CAST(hash(i) % 400000000 AS BIGINT) AS unixReviewTime
                    FROM range({start}, {stop}) t(i) JOIN texts ON n = i * 7919 % {N_TEXTS}
                ) TO '{pipe}' (FORMAT json)"""
            )
            packer.communicate()
            pipe.unlink()
            partial.rename(folder / names[-1])
    return names


def _texts() -> pa.Table:
    """Return texts of 24 words, some of which are frequent, so that they pack about as well as English."""
    rng = np.random.default_rng(0)
    letters = rng.choice(list("etaoinshrdlucmfw"), (N_TEXTS, 8))
    words = np.array(["".join(row[: 2 + n % 7]) for n, row in enumerate(letters)])
    chosen = words[(N_TEXTS * rng.random((N_TEXTS, 24)) ** 3).astype(np.int64)]
    return pa.table({"n": np.arange(N_TEXTS), "text": [" ".join(row) for row in chosen]})


def measure(folder: Path, n_reviews: int, means: Means, shards: int) -> dict[str, Any]:
    """Generate, and prepare in a process of its own, by tasks if there are shards; return what that took."""
    raw = folder / f"raw-{n_reviews}"
    raw.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    names = generate(raw, n_reviews, means.threads)
    generated = time.perf_counter() - started
    told: Any = {"folder": str(folder), "names": names, "threads": means.threads, "memory": means.memory_mib}
    told = json.dumps(told | {"shards": shards})
    load = os.getloadavg()[0]
    done = subprocess.run(
        [sys.executable, "-c", "from tests.perf.prepare import child; child()"],
        input=told, capture_output=True, text=True, check=False, env=os.environ | {"RAW": str(raw)},
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    facts: dict[str, Any] = json.loads(done.stdout)
    size = sum((raw / name).stat().st_size for name in names)
    shutil.rmtree(raw)
    return facts | {"gz_bytes": size, "load": [load, os.getloadavg()[0]], "generated_s": generated}


def child() -> None:
    """Prepare what the input says; print seconds, memory and sizes."""
    told = json.loads(sys.stdin.read())
    folder, raw = Path(told["folder"]) / "data", Path(os.environ["RAW"])
    card = parse_card(Document("generated", _card(told["names"])))
    assert isinstance(card, PreparedCard)
    shutil.rmtree(folder, ignore_errors=True)
    before = time.process_time()
    for name in told["names"]:
        for _ in Lines(RawFile.find(raw, name), Problems()).batches():
            pass
    cut = time.process_time() - before
    marks: list[tuple[str, float, float]] = []
    disk = [0]
    n_shards = told["shards"]
    with connected("local") if n_shards else nullcontext():
        started, processor = time.perf_counter(), _processor_seconds()

        def watch(line: str) -> None:
            marks.append((line, time.perf_counter() - started, _processor_seconds() - processor))
            disk.append(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))

        tasks = RayTasks(Demand(1, told["memory"])) if n_shards else None
        means = Means(told["memory"], told["threads"], tasks=tasks, n_shards=n_shards)
        made = prepare(card, raw, folder, means, watch=watch)
        seconds, of_processors = time.perf_counter() - started, _processor_seconds() - processor
    facts = {
        "seconds": seconds,
        "cpu_seconds": of_processors,
        "cut_cpu_seconds": cut,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB,
        "disk_mib": max(disk) / MIB,
        "steps": [stage.model_dump() for stage in made.built.steps],
        "marks": marks,
        "data_bytes": sum(path.stat().st_size for path in made.folder.iterdir()),
    }
    shutil.rmtree(folder)
    print(json.dumps(facts))


def _processor_seconds() -> float:
    """Of this process, and of those of a cluster that it started."""
    used = (process.cpu_times() for process in psutil.Process().children(recursive=True))
    return time.process_time() + sum(times.user + times.system for times in used)


def _card(names: list[str]) -> dict[str, Any]:
    bounds = {"user_rows": 5, "item_rows": 5}
    build = {"reader": "amazon-2018", "reviews": names, "k_core": bounds, "split": "random-811"}
    told = {"schema_version": 1, "name": "generated", "format": "prepared", "provenance": {"filter": bounds}}
    return told | {"build": build}


def print_prepare(
    sizes: list[float], folder: Path | None = None, threads: int = 2, memory: int = 2048, shards: int = 0
) -> None:
    """Measure sizes that are not measured yet, and print all as Markdown."""
    with tempfile.TemporaryDirectory() as name:
        place = folder or Path(name)
        place.mkdir(parents=True, exist_ok=True)
        record = place / (f"measured-{shards}-shards.json" if shards else "measured.json")
        measured: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
        for size in sizes:
            if f"{size:g}" not in measured:
                measured[f"{size:g}"] = measure(place, round(size * MILLION), Means(memory, threads), shards)
                record.write_text(json.dumps(measured, indent=1))
    print(f"\n{cpu_name()}; {f'{shards} shards' if shards else f'{threads} threads'}, duckdb {memory:,} MiB\n")
    columns = (
        "reviews, million",
        "gzip, GB",
        "5-core, million",
        "rounds",
        "s",
        "CPU s",
        "peak, MiB",
        "disk, MiB",
        "load",
        "cutting into lines alone, CPU s",
    )
    print(f"| {' | '.join(columns)} |\n|{' --: |' * len(columns)}")
    for size, facts in sorted(measured.items(), key=lambda entry: float(entry[0])):
        steps = facts["steps"]
        before, after = facts["load"]
        print(
            f"| {size} | {facts['gz_bytes'] / 1e9:.2f} | {steps[-1]['rows'] / 1e6:.2f} | {len(steps) - 2} "
            f"| {facts['seconds']:.0f} | {facts['cpu_seconds']:.0f} | {facts['peak_mib']:.0f} "
            f"| {facts['disk_mib']:.0f} | {before:.1f} to {after:.1f} "
            f"| {facts['cut_cpu_seconds']:.1f} |"
        )
    for size, facts in measured.items():
        marks = [mark for mark in facts["marks"] if not mark[0].startswith("reading: ")]  # one line a block
        ends = [*marks[1:], ("", facts["seconds"], facts["cpu_seconds"])]
        print(f"\n| {size} million: from | s | CPU s |\n| :-- | --: | --: |")
        for (line, at, used), (_, then, by_then) in zip(marks, ends, strict=True):
            if then - at > 0.05:
                print(f"| {line} | {then - at:.1f} | {by_then - used:.1f} |")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1, 5, 20, 50])
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=int, default=2048)
    parser.add_argument("--shards", type=int, default=0)
    options = parser.parse_args()
    print_prepare(options.sizes, options.folder, options.threads, options.memory, options.shards)


if __name__ == "__main__":
    main()
