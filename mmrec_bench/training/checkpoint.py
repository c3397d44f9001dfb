"""Checkpoints: everything a killed training needs to go on, in one file that is whole or absent."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmrec_bench.errors import ArtefactError, ResourceError
from mmrec_bench.training.records import EpochRecord
from mmrec_bench.training.stopping import Progress

SCHEMA_VERSION = 2
"""Changes whenever older checkpoints could not be read any more."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a training runs: what a resumed run must share with the killed one to end bit-identical.

    Attributes:
        seed: Seed of the run.
        device: Type of the device, such as ``cpu``.
        threads: Threads of torch: sums are split over them, so their number changes the last bits.
        torch_version: Version of torch.
        processes: Number of processes that share every batch.
    """

    seed: int
    device: str
    threads: int
    torch_version: str
    processes: int = 1

    @classmethod
    def here(cls, seed: int, device: torch.device, processes: int = 1) -> Origin:
        """Return the origin of a training in this process."""
        return cls(seed, device.type, torch.get_num_threads(), str(torch.__version__), processes)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """The state of a training between two epochs; random streams depend on seed and epoch, so they need no state.

    Attributes:
        model: State dict of the model.
        optimizer: State tensors of the optimiser by parameter index and name.
        best: State dict of the best epoch so far; empty before the first validation.
        progress: Stopping counters.
        history: One record for each epoch done.
    """

    model: Mapping[str, Tensor]
    optimizer: Mapping[int, Mapping[str, Tensor]]
    best: Mapping[str, Tensor]
    progress: Progress
    history: tuple[EpochRecord, ...]


class CheckpointStore:
    """One file that always holds the last complete checkpoint of one run: safetensors whose metadata is JSON.

    Args:
        path: The file; its folder is made when the first checkpoint is written.
        identity: What the checkpoint belongs to, such as the fingerprint of config, data and code.
        exact: Whether to refuse a checkpoint made with another number of threads or processes, torch version or device;
            the resumed run could then differ from an unbroken one in the last bits.
    """

    def __init__(self, path: Path, identity: str, *, exact: bool = True) -> None:
        self.path = path
        self._identity = identity
        self._exact = exact

    def save(self, state: TrainingState, origin: Origin) -> None:
        """Replace the checkpoint: written beside it, flushed to the disk, renamed over it.

        Raises:
            ResourceError: It cannot be written, as on a full disk; the previous checkpoint is left as it was.
        """
        tensors = _flat(state)
        facts = {
            "schema_version": SCHEMA_VERSION,
            "identity": self._identity,
            "origin": asdict(origin),
            "progress": asdict(state.progress),
            "history": [asdict(record) for record in state.history],
        }
        text = json.dumps(facts)
        partial = self.path.with_name(self.path.name + ".partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, partial, metadata={"state": text, "digest": _digest(text, tensors)})
            _flush(partial)
            os.replace(partial, self.path)
            _flush(self.path.parent)
        except BaseException as error:
            with suppress(OSError):
                partial.unlink()
            if not isinstance(error, (OSError, SafetensorError)):
                raise
            size = sum(tensor.nbytes for tensor in tensors.values()) / 2**20
            raise ResourceError(
                f"cannot write the checkpoint {self.path} ({size:.1f} MiB): {error}. The previous checkpoint, if any, "
                "is intact: free space there or choose another folder, and resume"
            ) from error

    def load(self, origin: Origin) -> TrainingState | None:
        """Return the checkpoint with tensors on the CPU, or None where there is none.

        Raises:
            ArtefactError: It is damaged, or belongs to another run, seed, device or torch version, or to another number
                of threads or processes.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                # Clones live in memory of their own; the mapped file may be replaced while they are in use.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
            text = metadata["state"]
            if metadata["digest"] != _digest(text, tensors):
                raise ValueError("its content does not match its digest")
            facts = json.loads(text)
            if facts["schema_version"] != SCHEMA_VERSION:
                raise ValueError(
                    f"it has schema version {facts['schema_version']}, this program reads {SCHEMA_VERSION}"
                )
            self._check_origin(facts["identity"], facts["origin"], origin)
            return _state(tensors, facts)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ArtefactError(
                f"the checkpoint {self.path} cannot be read: {error}. Delete it to start the run again"
            ) from error

    def clear(self) -> None:
        """Delete the checkpoint and what a killed writer left."""
        for path in (self.path, self.path.with_name(self.path.name + ".partial")):
            path.unlink(missing_ok=True)

    def _check_origin(self, identity: str, there: Mapping[str, Any], here: Origin) -> None:
        start_again = f"Delete {self.path} to start the run again"
        if identity != self._identity:
            raise ArtefactError(
                f"the checkpoint {self.path} belongs to another run: '{identity}' instead of '{self._identity}'. "
                f"{start_again}"
            )
        wanted = asdict(here)
        names = list(wanted) if self._exact else ["seed"]
        if differing := [name for name in names if there[name] != wanted[name]]:
            facts = ", ".join(f"{name} {there[name]} (now {wanted[name]})" for name in differing)
            raise ArtefactError(
                f"the checkpoint {self.path} was made with {facts}; resumed like this the run would not end "
                f"bit-identical. Resume with the same {', '.join(differing)} (threads: --threads). {start_again}"
            )


def _flat(state: TrainingState) -> dict[str, Tensor]:
    """Name every tensor; each gets memory of its own, as safetensors wants, copied only where it is shared."""
    named = {f"model/{name}": tensor for name, tensor in state.model.items()}
    named |= {f"best/{name}": tensor for name, tensor in state.best.items()}
    for index, values in state.optimizer.items():
        named |= {f"optimizer/{index}/{name}": tensor for name, tensor in values.items()}
    flat: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in named.items():
        tensor = tensor.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        shared = storage.data_ptr() in taken or storage.nbytes() != tensor.nbytes
        flat[name] = tensor.clone() if shared else tensor
        taken.add(storage.data_ptr())
    return flat


def _state(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> TrainingState:
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, key = name.split("/", 1)
        parts[part][key] = tensor
    optimizer: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        index, key = name.split("/", 1)
        optimizer.setdefault(int(index), {})[key] = tensor
    history = tuple(EpochRecord(**record) for record in facts["history"])
    return TrainingState(parts["model"], optimizer, parts["best"], Progress(**facts["progress"]), history)


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return a fingerprint of the JSON text and of name, dtype, shape and bytes of every tensor."""
    hasher = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        hasher.update(f"\x00{name}\x00{tensor.dtype}\x00{list(tensor.shape)}\x00".encode())
        hasher.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
