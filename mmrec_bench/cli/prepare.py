"""Making a data set of raw files."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from mmrec_bench.cli.console import DataDir, errors, out, print_rows
from mmrec_bench.cli.executors import Address, ExecutorOption
from mmrec_bench.data.cards import DATA_VARIABLE, load_card
from mmrec_bench.data.fetching.fetch import raw_folder
from mmrec_bench.data.formats.prepared import Built, PreparedCard
from mmrec_bench.data.preparing.prepare import Means, prepare
from mmrec_bench.errors import DataError, ResourceError
from mmrec_bench.experiments.environment import available_cores
from mmrec_bench.experiments.executors.demand import Demand
from mmrec_bench.experiments.executors.ray import connected
from mmrec_bench.experiments.executors.ray_tasks import RayTasks


def prepare_data(
    card: Annotated[str, typer.Argument(help="A card of format 'prepared', by name or path.")],
    raw: Annotated[
        Path | None, typer.Option("--raw", help="Folder of the raw files; where `data fetch` puts them by default.")
    ] = None,
    data_dir: DataDir = None,
    replace: Annotated[bool, typer.Option("--replace", help="Make it again, of other files or recipe.")] = False,
    memory: Annotated[
        int, typer.Option("--memory", min=256, help="MiB of memory for duckdb; ray: of each task.")
    ] = 2048,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads; all cores by default.")] = None,
    temp: Annotated[Path | None, typer.Option("--temp", help="Folder here for what does not fit into memory.")] = None,
    executor: ExecutorOption = "local",
    address: Address = "auto",
    shards: Annotated[
        int | None, typer.Option("--shards", min=1, help="ray: shards of rows, each a task; 8 by default.")
    ] = None,
) -> None:
    """Make a data set of raw files: k-core, split, texts and vectors of items."""
    loaded = load_card(card)
    if not isinstance(loaded, PreparedCard):
        raise DataError(
            f"card '{loaded.name}' is of format '{loaded.format}', which is read as it is; only cards of format "
            "'prepared' are made of raw files"
        )
    if data_dir is None:
        raise DataError(f"say where data folders lie: --data-dir, or the environment variable {DATA_VARIABLE}")
    if executor == "local" and (shards is not None or address != "auto"):
        raise ResourceError("--shards and --address are of a cluster; add --executor ray")
    folder = raw or raw_folder(loaded, data_dir)
    with connected(address) if executor == "ray" else nullcontext(), errors.status("preparing") as status:
        tasks = RayTasks(Demand(1, memory)) if executor == "ray" else None
        means = Means(memory, threads or available_cores(), temp, tasks, shards or 8)
        made = prepare(loaded, folder, data_dir, means, replace=replace, watch=status.update)
    out.print(f"{'already there' if made.was_there else 'prepared'}: {made.folder}", highlight=False, markup=False)
    _tell(made.built)


def _tell(built: Built) -> None:
    print_rows(
        ("step", "rows", "users", "items"),
        [(stage.step, f"{stage.rows:,}", f"{stage.users:,}", f"{stage.items:,}") for stage in built.steps],
    )
    facts = [str(problem) for problem in built.problems]
    facts += [f"{n:,} items without {name}" for name, n in built.missing.items() if n]
    if built.split is not None:
        facts.append("train / valid / test: " + " / ".join(f"{n:,}" for n in built.split))
    facts.append(f"pairs_digest: {built.pairs_digest}")
    for fact in facts:
        out.print(fact, highlight=False, markup=False)
