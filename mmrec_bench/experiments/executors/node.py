"""The part of a run on a cluster that happens on a node: luggage in, a run folder out. It knows nothing of Ray."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import filelock

from mmrec_bench import strict_yaml
from mmrec_bench.errors import ArtefactError, DataError, MMRecBenchError
from mmrec_bench.experiments import building as write
from mmrec_bench.experiments.executors.luggage import DATA, moved
from mmrec_bench.experiments.executors.packing import pack_folder, unpack
from mmrec_bench.experiments.executors.task import answer_to
from mmrec_bench.experiments.folders import CONFIG, MANIFEST, ArtefactKey, digest_of, read_json
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.extras import import_fsspec
from mmrec_bench.settings import load_yaml

CACHE_VARIABLE = "MMREC_BENCH_CACHE"
"""Environment variable with the folder in which a node keeps data that came to it, and unfinished runs."""


def cache_folder() -> Path:
    """Return the cache of this machine: of the environment variable, or below the user's cache folder."""
    if told := os.environ.get(CACHE_VARIABLE):
        return Path(told)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmrec-bench"


def make_here(order: Mapping[str, Any], take: Callable[[str], bytes]) -> tuple[dict[str, Any], bytes]:
    """Carry out an order of another machine.

    Args:
        order: As of `Task.order`, with ``needs``, the names of parcels of artefacts that are made, and ``luggage``:
            ``digests`` and ``places`` as of `Luggage`, the ``parcel`` they come in, those ``fetched`` from ``url``.
        take: Returns a parcel by its name.

    Returns:
        The answer, as of `answer_to`, and the packed folder if it is made.
    """
    cache = cache_folder()
    out = cache / "runs" / str(order["code"])
    try:
        root = _luggage(order["luggage"], cache / "luggage", take)
        for name in order["needs"]:
            _put(out / name, lambda folder, name=name: unpack(take(name), folder))  # type: ignore[misc]
    except (MMRecBenchError, OSError) as error:
        return {"error": f"on the node {platform.node()}: {error}", "trace": None}, b""
    places = {here: str(root / place) for here, place in order["luggage"]["places"].items()}
    settings = {**order["settings"], "out": str(out), "resume": True}  # a run that was lost here goes on
    told = {**moved(order, places), "settings": settings, "name": order["name"]}
    answer = answer_to(told, Preparer(root / DATA), wait=True)
    if "done" not in answer:
        return answer, b""
    folder = out / order["name"]
    _restore(folder, {there: here for here, there in places.items()})
    packed = pack_folder(folder, [*read_json(folder / MANIFEST)["files"], MANIFEST])
    shutil.rmtree(folder)
    return answer, packed


def receive(packed: bytes, key: ArtefactKey, out: Path) -> None:
    """Check the folder that a node has made, and move it into place; one that is there already is kept.

    Raises:
        ArtefactError: It is not whole, or not what was ordered.
        ResourceError: It cannot be written.
    """
    with write.run_lock(key, out, wait=True):
        if key.state(out) == "done":
            return
        with write.building(key, out, keep=False) as folder:
            unpack(packed, folder)
            prints = key.manifest(folder)["fingerprints"]
            if prints["config"] != getattr(key, "fingerprint", None):
                raise ArtefactError(f"{key.folder(out)}: a node sent another run, {prints['config']}; run again")


def _luggage(luggage: Mapping[str, Any], cache: Path, take: Callable[[str], bytes]) -> Path:
    """Return the folder with the files of an order, unpacked and checked once for all orders that need them."""

    def fill(folder: Path) -> None:
        if luggage["parcel"] is not None:
            unpack(take(luggage["parcel"]), folder)
        for name, digest in luggage["digests"].items():
            if name in luggage["fetched"]:
                _fetch(luggage["url"], name.removeprefix(f"{DATA}/"), folder / name)
            if digest_of(folder / name) != digest:
                raise DataError(f"{name}: came with another content than it has where the suite was started")

    folder = cache / str(luggage["fingerprint"])
    _put(folder, fill)
    return folder


def _put(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder that is not there, beside its place, so that it is there whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder.with_name(f".{folder.name}.lock")):
        if folder.exists():
            return
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder.parent) as partial:
            fill(Path(partial) / "content")
            (Path(partial) / "content").mkdir(exist_ok=True)  # nothing to put: a data set that is made, not read
            (Path(partial) / "content").rename(folder)


def _fetch(url: str, name: str, place: Path) -> None:
    fsspec = import_fsspec()
    place.parent.mkdir(parents=True, exist_ok=True)
    source = f"{url.rstrip('/')}/{name}"
    try:
        with fsspec.open(source, "rb") as file, place.open("wb") as written:
            shutil.copyfileobj(file, written)
    except (OSError, ValueError, ImportError) as error:
        raise DataError(f"{source}: cannot be read ({type(error).__name__}: {error}); see --data-url") from None


def _restore(folder: Path, places: Mapping[str, str]) -> None:
    """Put the paths of the machine that ordered back into the config of a run."""
    if not places:
        return
    path, facts = folder / CONFIG, read_json(folder / MANIFEST)
    comment = path.read_text(encoding="utf-8").partition("\n")[0]
    path.write_text(f"{comment}\n{strict_yaml.dump(moved(load_yaml(path).data, places))}", encoding="utf-8")
    facts["files"][CONFIG] = digest_of(path)
    write.write_json(folder / MANIFEST, facts)
