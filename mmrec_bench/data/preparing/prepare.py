"""Preparing a data set: raw files in, a folder out that is whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import filelock
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmrec_bench import __version__, strict_yaml
from mmrec_bench.data.arrays import digest
from mmrec_bench.data.fetching.record import check_same
from mmrec_bench.data.formats.base import Counts
from mmrec_bench.data.formats.external import natural_order, rows_of
from mmrec_bench.data.formats.prepared import CARD, INTERACTIONS, Built, FileFacts, PreparedCard, read_card
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.pairs_digest import sorted_pairs_digest
from mmrec_bench.data.preparing import by_tasks, steps
from mmrec_bench.data.preparing.canonical import write_interactions
from mmrec_bench.data.preparing.reading import Reading
from mmrec_bench.data.preparing.steps import Core, Stage
from mmrec_bench.data.raw import rows
from mmrec_bench.data.raw.files import RawFile
from mmrec_bench.data.raw.store import Store
from mmrec_bench.data.rules import SplitRule
from mmrec_bench.data.split_rule import PARTS, UNUSED
from mmrec_bench.data.tasks import Tasks
from mmrec_bench.errors import DataError, ProtocolError, ResourceError
from mmrec_bench.types import IntArray

PARTIAL = ".partial"
"""Folder below the data folder in which data sets are made."""

Watch: TypeAlias = Callable[[str], None]
"""Is told what is done, one line at a time."""


@dataclass(frozen=True, slots=True)
class Means:
    """What preparing may use.

    Attributes:
        memory_mib: Memory of duckdb, of each task where there are some; arrays of the rows that are left come on top,
            about 120 bytes a row.
        threads: Threads of duckdb.
        temp: Folder for what does not fit into memory; beside the data set by default.
        tasks: Makes the steps up to the rows that are left, over shards of the rows; duckdb makes them here by default.
        n_shards: Shards of rows for ``tasks``.
    """

    memory_mib: int = 2048
    threads: int = 1
    temp: Path | None = None
    tasks: Tasks | None = None
    n_shards: int = 1

    @property
    def held_rows(self) -> int:
        """Rows whose users and items are held in memory for the k-core, at 40 bytes each, in as much as duckdb has."""
        return self.memory_mib * (1 << 20) // 40


@dataclass(frozen=True, slots=True)
class PreparedData:
    """A prepared data set.

    Attributes:
        folder: Where it lies.
        built: How it was made.
        was_there: Whether it had been made before, by the same recipe of the same raw files.
    """

    folder: Path
    built: Built
    was_there: bool


def prepare(
    card: PreparedCard,
    raw: Path,
    data_dir: Path,
    means: Means = Means(),
    *,
    replace: bool = False,
    watch: Watch = lambda told: None,
) -> PreparedData:
    """Prepare a data set, unless it is there already.

    Args:
        card: What to make.
        raw: Folder of the raw files.
        data_dir: Folder of data folders; the data set is made in the one of the card's name.
        means: Memory, threads, places.
        replace: Whether a data set of the card's name that was made by another recipe, or of other files, is replaced.
        watch: Is told what is done.

    Raises:
        DataError: Raw files are missing or cannot be used, nothing is left, or it is not what the card says.
        ResourceError: Memory or disk do not suffice, or another process makes the same data set.
    """
    for name in card.build.raw_files:
        RawFile.find(raw, name)
    folder, partial = data_dir / card.name, data_dir / PARTIAL / card.name
    with _disk_errors(partial), _locked(partial):
        facts = _raw_facts(card, raw)
        if (there := _there(card, folder, facts, replace)) is not None:
            return PreparedData(folder, there, was_there=True)
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        work = data_dir / PARTIAL / f"{card.name}.work" if means.temp is None else _of_its_own(means.temp, folder)
        shutil.rmtree(work, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            work.mkdir(parents=True)
            built = _build(card, raw, facts, partial, work, means, watch)
            _move(partial, folder)
        finally:  # an error, an interrupt, or nothing left to remove
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(partial, ignore_errors=True)
    return PreparedData(folder, built, was_there=False)


def _of_its_own(place: Path, folder: Path) -> Path:
    """Return the working folder of a data set in a place that data sets of one name share, below other data folders."""
    return place / f"{folder.name}.{digest(str(folder.resolve()))}.work"


def _build(
    card: PreparedCard, raw: Path, facts: dict[str, FileFacts], folder: Path, work: Path, means: Means, watch: Watch
) -> Built:
    recipe = card.build
    with Store(work, means.memory_mib, means.threads) as store:
        reading = Reading(store, raw, folder, recipe.allow_cut_short)
        watch(f"reading {', '.join(recipe.raw_files)}")
        stages = _stages(card, reading, means, watch)
        core = steps.finish(store)
        external = natural_order(core.item_ids)
        item_rows = rows_of(core.item_ids, external)
        interactions = _interactions(core, item_rows, len(external))
        labels = core.parts if recipe.split is None else _assigned(recipe.split, interactions)
        watch("writing interactions")
        write_interactions(folder / INTERACTIONS, core, labels)
        interactions = _labelled(interactions, labels)
        watch("writing items")
        recipe.write_items(reading, pa.array(external.tolist(), pa.string()))
    digest = sorted_pairs_digest(core.users, core.items, core.user_ids, core.item_ids)
    built = Built(
        packages={"mmrec-bench": __version__, **{name: version(name) for name in ("duckdb", "numpy", "pyarrow")}},
        raw=facts,
        problems=tuple(reading.problems),
        steps=stages,
        split=None if labels is None else _sizes(labels),
        missing=reading.missing,
        pairs_digest=digest,
        fingerprint=interactions.fingerprint(),
        files={path.name: _facts(path) for path in sorted(folder.iterdir())},
    )
    _write_card(card, built, folder / CARD)
    return built


def _stages(card: PreparedCard, reading: Reading, means: Means, watch: Watch) -> tuple[Stage, ...]:
    """Read the rows, make the steps of the recipe, and return what each left."""
    recipe, made = card.build, list[Stage]()

    def done(stage: Stage) -> None:
        made.append(stage)
        watch(f"{stage.step}: {stage.rows:,} rows, {stage.users:,} users, {stage.items:,} items")
        if not stage.rows:
            raise _nothing_left(card, reading, len(made))

    if means.tasks is not None:
        by_tasks.rows_left(recipe, reading, means.tasks, means.n_shards, means.memory_mib, watch, done)
        return tuple(made)
    store = reading.store
    rows.create(store)
    recipe.read_rows(reading)
    for name in steps.to_pairs(store, recipe.min_rating, recipe.repeats):
        done(steps.stage(store, name))
    if (core := recipe.k_core) is not None:
        for stage in steps.keep_core(store, core.user_rows, core.item_rows, means.held_rows):
            done(stage)
    return tuple(made)


def _nothing_left(card: PreparedCard, reading: Reading, n_steps: int) -> DataError:
    """Return the error of a step that leaves no row: of reading, or of the threshold."""
    recipe = card.build
    if n_steps > 1:
        return DataError(f"no row has a rating of at least {recipe.min_rating:g}; lower build.min_rating")
    told = "\n  ".join(str(problem) for problem in reading.problems) or "the files hold no row"
    return DataError(
        f"data set '{card.name}': no row of {', '.join(recipe.raw_files)} can be used by the reader "
        f"'{recipe.reader}':\n  {told}"
    )


def _interactions(core: Core, item_rows: IntArray, n_items: int) -> Interactions:
    """Return the rows with the row numbers they have when they are read."""
    user_rows = rows_of(core.user_ids, natural_order(core.user_ids))
    return Interactions(
        user_rows[core.users],
        item_rows[core.items],
        len(user_rows),
        n_items,
        values=core.ratings,
        timestamps=core.times,
    )


def _assigned(split: SplitRule, interactions: Interactions) -> NDArray[np.int8]:
    """Return the part of each row; no part is empty, and no row is in none."""
    try:
        labels = split.assign(interactions).labels
    except ProtocolError as error:
        raise ProtocolError(str(error).replace("protocol.split", "build.split")) from None
    if n_nowhere := int((labels == UNUSED).sum()):
        raise DataError(
            f"build.split '{split.name}' leaves {n_nowhere:,} rows in no part, and a delivered split has all rows. "
            "Choose another rule here, and this one under protocol.split of an experiment"
        )
    sizes = _sizes(labels)
    if empty := [part for part, n in zip(PARTS, sizes, strict=True) if not n]:
        counts = " / ".join(f"{n:,}" for n in sizes)
        raise DataError(
            f"build.split '{split.name}' leaves the part '{empty[0]}' empty (train / valid / test have {counts} rows), "
            "and no run could be judged by it. Choose another rule, other shares or moments of it, or data with more "
            "rows"
        )
    return labels


def _labelled(interactions: Interactions, labels: NDArray[np.int8] | None) -> Interactions:
    one = interactions
    return Interactions(
        one.users, one.items, one.n_users, one.n_items, values=one.values, timestamps=one.timestamps, labels=labels
    )


def _sizes(labels: NDArray[np.int8]) -> tuple[int, int, int]:
    train, valid, test = np.bincount(labels, minlength=3).tolist()
    return train, valid, test


def _write_card(card: PreparedCard, built: Built, path: Path) -> None:
    """Write the card with what was made, after what was made is held against what the card says."""
    last = built.steps[-1]
    found = {"n_users": last.users, "n_items": last.items, "n_interactions": last.rows}
    wanted = {} if card.counts is None else card.counts.of("interactions")
    if wrong := [name for name, n in wanted.items() if found[name] != n]:
        told = ", ".join(f"{name} is {found[name]}, the card says {wanted[name]}" for name in wrong)
        raise DataError(
            f"data set '{card.name}': {told}. The raw files are cut short, or of another version; get them again, or "
            "correct 'counts' of the card"
        )
    whole = card.model_copy(update={"built": built, "counts": Counts(**found)})
    document = whole.model_dump(mode="json", exclude_none=True)
    path.write_text(f"# made by mmrec-bench data prepare\n{strict_yaml.dump(document)}", encoding="utf-8")


def _raw_facts(card: PreparedCard, raw: Path) -> dict[str, FileFacts]:
    """Return what the raw files are.

    Raises:
        DataError: One is not the file that the card says, or not the one that was fetched.
    """
    wanted = {download.file: download.sha256 for download in card.downloads}
    facts = {}
    for name in card.build.raw_files:
        file = RawFile.find(raw, name)
        facts[name] = FileFacts(n_bytes=file.n_bytes, sha256=file.sha256())
        check_same(file.path, facts[name].sha256, wanted.get(file.path.name))
    return facts


def _there(card: PreparedCard, folder: Path, facts: dict[str, FileFacts], replace: bool) -> Built | None:
    """Return how the data set in the folder was made, if it is the one to make; None if there is none, or it may go."""
    if not folder.exists():
        return None
    try:
        read_card(folder)  # a folder of anything else is never touched
    except DataError as error:
        raise DataError(f"{error}. Move it away, or choose another --data-dir or another name in the card") from None
    try:
        built = card.checked(folder)
    except DataError:
        if replace:
            return None
        raise
    if built.raw == facts:
        return built
    if replace:
        return None
    changed = ", ".join(name for name in facts if built.raw.get(name) != facts[name])
    raise DataError(f"{folder}: was made of other raw files ({changed} differ). Add --replace to make it again")


def _facts(path: Path) -> FileFacts:
    file = RawFile(path, path.name)
    return FileFacts(n_bytes=file.n_bytes, sha256=file.sha256())


def _move(partial: Path, folder: Path) -> None:
    """Put a data set in its place; what was there goes only when the new one is whole."""
    for path in (*partial.iterdir(), partial):  # a rename must never become durable before the bytes it names
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    old = partial.with_name(f"{partial.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _locked(partial: Path) -> Iterator[None]:
    partial.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(partial.with_name(f"{partial.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise ResourceError(
            f"another process is preparing '{partial.name}' in {partial.parent.parent}; wait for it"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _disk_errors(partial: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space left" in str(error)
        reason = "the disk is full" if full else error.strerror or str(error)
        raise ResourceError(
            f"cannot write {error.filename or partial}: {reason}. Nothing of the data set is left behind. Make room, "
            "or name another --data-dir or --temp folder"
        ) from None
