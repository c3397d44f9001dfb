"""What `mmrec-bench doctor` and `mmrec-bench datasets` find out."""

from __future__ import annotations

import importlib.util
import shutil
from importlib.metadata import Distribution
from pathlib import Path

import psutil
import torch

from mmrec_bench.data.cards import Counts, DatasetCard, card_names, find_data, load_card
from mmrec_bench.experiments.environment import available_cores, code_digest, cpu_name, git_state, package_versions
from mmrec_bench.free_memory import available_memory

GIB = 1 << 30
EXTRAS = {
    "cpu": ("faiss-cpu",),
    "gpu": ("faiss-gpu-cu12",),
    "distributed": ("ray", "fsspec"),
    "energy": ("codecarbon",),
    "images": ("pillow",),
    "features": ("sentence-transformers", "transformers", "huggingface-hub"),
    "languages": ("py3langid",),
    "dev": ("pytest", "hypothesis", "mypy", "ruff", "ranx"),
}
"""Extras of the package and distributions they bring; faiss-cpu and faiss-gpu share one import name."""

Section = tuple[str, list[tuple[str, str]]]


def examine(data_dir: Path | None) -> list[Section]:
    """Return sections of ``(name, value)`` lines."""
    return [
        ("versions", [*package_versions().items(), ("code digest", code_digest()), ("git", str(git_state() or "-"))]),
        ("processors", [*_processors(), ("faiss", _faiss())]),
        ("memory and disk", _space()),
        ("extras", [(name, _extra(parts)) for name, parts in EXTRAS.items()]),
        ("data", _data(data_dir)),
    ]


def card_counts(card: DatasetCard) -> tuple[str, ...]:
    """Return what a card holds, users, items, interactions, lists and modalities as text."""
    counts = card.counts or Counts()
    found = (counts.n_users, counts.n_items, counts.n_interactions, counts.n_lists)
    numbers = ("-" if count is None else f"{count:,}" for count in found)
    return ", ".join(card.payloads), *numbers, ", ".join(card.modalities) or "-"


def where(card: DatasetCard, found: Path | None) -> str:
    """Return where the files of a card are, in words."""
    if card.embedded:
        return "embedded (made on the fly)"
    return str(found) if found is not None else "not found"


def _processors() -> list[tuple[str, str]]:
    rows = [
        ("CPU", f"{cpu_name()}, {available_cores()} cores usable"),
        (
            "torch threads",
            f"{torch.get_num_threads()} (BLAS and OpenMP), {torch.get_num_interop_threads()} between operators",
        ),
    ]
    if not torch.cuda.is_available():
        return [*rows, ("GPU", "none that torch can use")]
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        rows.append((f"GPU {index}", f"{facts.name}, {facts.total_memory / GIB:.0f} GiB, CUDA {torch.version.cuda}"))
    return rows


def _faiss() -> str:
    if importlib.util.find_spec("faiss") is None:
        return "not installed: pip install 'mmrec-bench[cpu]' or, with an NVIDIA GPU, 'mmrec-bench[gpu]'"
    import faiss

    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    build = faiss.get_compile_options().strip()
    return f"{faiss.__version__}, build {build}, {faiss.omp_get_max_threads()} threads, {gpus} GPUs"


def _space() -> list[tuple[str, str]]:
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(Path.cwd())
    return [
        ("memory", f"{available_memory() / GIB:.1f} GiB free of {memory.total / GIB:.1f}"),
        ("disk here", f"{disk.free / GIB:.1f} GiB free of {disk.total / GIB:.1f}"),
    ]


def _extra(distributions: tuple[str, ...]) -> str:
    missing = [name for name in distributions if not list(Distribution.discover(name=name))]
    return "installed" if not missing else f"missing {', '.join(missing)}"


def _data(data_dir: Path | None) -> list[tuple[str, str]]:
    rows = [("data folder", str(data_dir) if data_dir else "none given; use --data-dir or MMREC_BENCH_DATA")]
    for name in card_names():
        card = load_card(name)
        rows.append((name, where(card, find_data(card, data_dir))))
    return rows
