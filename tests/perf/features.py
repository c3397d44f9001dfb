"""Memory of a large feature table: read, checked, fingerprinted, searched for neighbours, and used by a model.

Usage of one measurement, in a process of its own: python -m tests.perf.features FILE [QUERIES]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

N_ITEMS, DIM = 63_001, 4_096
"""Amazon Electronics 2014, with the vectors of the release's CNN."""
LIMIT_MIB = 512


def write_table(path: Path, n_items: int = N_ITEMS, dim: int = DIM) -> None:
    """Write a float32 table of random vectors, one in a hundred all zero, block by block."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (n_items, dim)}
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n_items, 1000):
            block = rng.random((min(1000, n_items - start), dim), np.float32)
            block[::100] = 0
            file.write(block.tobytes())


def anonymous_mib() -> float:
    """Return the memory of this process that no file stands behind, MiB."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/smaps_rollup tells no anonymous memory")


def measure(path: Path, n_queries: int) -> dict[str, float]:
    """Do what a run does with a table, and return the anonymous memory after each step, MiB; ``peak`` is of all."""
    import threading

    import torch

    from mmrec_bench.data.formats.vectors import read_vectors
    from mmrec_bench.data.interactions import Interactions
    from mmrec_bench.graph.unit_vectors import StreamedVectors
    from mmrec_bench.models.base import ModelContext, Triplets
    from mmrec_bench.models.retrieval.vbpr import VBPR, VBPRConfig

    torch.set_num_threads(1)
    found, peak, done = {"packages imported": anonymous_mib()}, [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], anonymous_mib())

    threading.Thread(target=watch, daemon=True).start()
    n_items = len(np.load(path, mmap_mode="r"))
    table, _ = read_vectors(path, "image", n_items)
    found["read and checked"] = anonymous_mib()
    table.fingerprint()
    found["fingerprint"] = anonymous_mib()
    vectors = StreamedVectors(table.values, table.present)
    vectors.search(np.arange(n_queries), 26)
    found[f"nearest of {n_queries:,} items"] = anonymous_mib()
    del vectors
    rng = np.random.default_rng(1)
    users, items = np.repeat(np.arange(1000), 20), np.arange(20_000) % n_items
    train = Interactions(users, items, n_users=1000, n_items=n_items)
    model = VBPR(VBPRConfig(), ModelContext(train, {"image": table}))
    optimiser = torch.optim.Adam(model.parameters())
    for _ in range(3):
        batch = Triplets(*(torch.from_numpy(rng.integers(n, size=2048)) for n in (1000, n_items, n_items)))
        loss = sum(model.loss(batch).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.export()
    found["three steps of vbpr, and its export"] = anonymous_mib()
    done.set()
    return found | {"peak": max(peak[0], *found.values())}


def print_features() -> None:
    """Print the anonymous memory of every step, of a table that is written first."""
    print(f"\n### Anonymous memory with a table of {N_ITEMS:,} x {DIM:,} float32, MiB\n")
    with tempfile.TemporaryDirectory() as folder:
        write_table(path := Path(folder) / "image.npy")
        found = measured_apart(path)
        print(f"The file has {path.stat().st_size / (1 << 20):,.0f} MiB.\n\n| after | MiB |\n| :-- | --: |")
    for step, mib in found.items():
        print(f"| {step} | {mib:.0f} |")


def measured_apart(path: Path, n_queries: int = 4096) -> dict[str, float]:
    """Return what a process of its own measures."""
    command = [sys.executable, "-m", "tests.perf.features", str(path), str(n_queries)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    facts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return facts


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 4096)))
