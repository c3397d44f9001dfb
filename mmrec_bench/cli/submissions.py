"""Commands that make and check submissions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmrec_bench.cli.console import DataDir, Device, Threads, out, run_settings
from mmrec_bench.errors import ConfigError, ConfigIssue
from mmrec_bench.experiments.artefact import find_runs
from mmrec_bench.experiments.environment import limit_memory, use_threads
from mmrec_bench.leaderboard.audit import audit as sign
from mmrec_bench.leaderboard.contributions import contributions
from mmrec_bench.leaderboard.folder import write_record
from mmrec_bench.leaderboard.pack import pack as make
from mmrec_bench.leaderboard.rerun import TOLERANCE
from mmrec_bench.leaderboard.rerun import rerun as run_again
from mmrec_bench.leaderboard.track import load_track, load_tracks
from mmrec_bench.leaderboard.verify import Verification
from mmrec_bench.visible_text import visible

SUBMISSIONS = Path("leaderboard/submissions")


def pack(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of one experiment, or folders above them.")],
    track: Annotated[str, typer.Option("--track", help="Name of the track.")],
    entry: Annotated[str, typer.Option("--entry", help="Name of the entry: its folder.")],
    authors: Annotated[list[str], typer.Option("--author", help="Who submits it; may be repeated.")],
    code: Annotated[
        str, typer.Option("--code", help="Its code: https://...@COMMIT, or COMMIT alone of this repository.")
    ],
    title: Annotated[str | None, typer.Option("--title", help="Name on the board; the model's by default.")] = None,
    tier: Annotated[str, typer.Option("--tier", help="closed or open.")] = "closed",
    external: Annotated[
        list[str], typer.Option("--external", help="What it has seen beside the data of the track; may be repeated.")
    ] = [],  # noqa: B006
    lists_url: Annotated[str | None, typer.Option("--lists-url", help="Where lists kept outside are.")] = None,
    replaces: Annotated[
        str | None, typer.Option("--replaces", help="Earlier entry of yours that this one stands in the place of.")
    ] = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of all submissions.")] = SUBMISSIONS,
) -> None:
    """Make the folder of a submission from run folders of all seeds."""
    url, _, commit = code.rpartition("@")
    folder = make(
        find_runs(runs),
        load_track(track),
        entry,
        authors,
        out_dir,
        code=(url or None, commit),
        title=title,
        tier=tier,
        external_data=external,
        lists_url=lists_url,
        replaces=replaces,
    )
    out.print(f"submission: {visible(str(folder))}", highlight=False, markup=False)


def verify(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders of submissions.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Verify all submissions below --submissions.")] = False,
    incoming: Annotated[
        Path | None,
        typer.Option(
            "--contributed",
            help="Verify what this folder adds to --submissions, and that it keeps them; write nothing.",
        ),
    ] = None,
    submissions: Annotated[Path, typer.Option("--submissions", help="Folder of all submissions.")] = SUBMISSIONS,
    data_dir: DataDir = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Trust no older record: forget reruns, audits and lists judged elsewhere.")
    ] = False,
    threads: Threads = None,
) -> None:
    """Check submissions and write their verification records; exit code 1 where one is refused."""
    use_threads(threads)
    limit_memory()  # a file that claims to hold little may still ask for much
    found = [*(folders or ()), *(sorted(submissions.glob("*/*/submission.json")) if every else ())]
    paths = [path.parent if path.name == "submission.json" else path for path in found]
    refused = 0
    if incoming is not None:
        outside = [track.name for track in load_tracks().values() if not track.lists_in_git]
        brought = contributions(incoming, submissions, outside)
        paths, fresh, refused = [*paths, *brought.new], True, len(brought.problems)
        for problem in brought.problems:
            out.print(f"fail  {problem}", highlight=False, markup=False)
    elif not paths:
        none = f"{submissions} holds no <track>/<entry>/submission.json; name another folder with --submissions"
        told = none if every else "name folders of submissions, or give --all"
        raise ConfigError("leaderboard verify", [ConfigIssue("FOLDERS", told)])
    verification = Verification(data_dir, fresh)
    for path in paths:
        verified = verification(path)
        refused += verified.refused
        status = "refused" if verified.record is None else verified.record.status
        out.print(f"{visible(str(path))}: {status}", highlight=False, markup=False, style="bold")
        for check in dict.fromkeys((*verified.checks, *verified.failures)):
            if check.verdict != "pass":
                out.print(f"  {check.verdict}  {check.name}: {visible(check.message)}", highlight=False, markup=False)
        if verified.kept:
            kept = ", ".join(verified.kept)
            out.print(f"  kept from an older record: {kept} (--fresh trusts none)", highlight=False, markup=False)
        if verified.record is not None and verified.writable and incoming is None:
            write_record(path, verified.record.text())
    if refused:
        raise typer.Exit(1)


def rerun(
    folder: Annotated[Path, typer.Argument(help="Folder of a submission.")],
    seed: Annotated[int | None, typer.Option("--seed", help="One of its seeds; the first by default.")] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Greatest difference, relative to what was submitted.")
    ] = TOLERANCE,
    data_dir: DataDir = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Run the config of a submission again and compare its headline; exit code 1 where it differs."""
    settings = run_settings(Path("runs"), device, threads, resume=False)
    made = run_again(folder, Verification(data_dir), settings, seed, tolerance)
    write_record(folder, made.record.text())
    out.print(f"{visible(str(folder))}: {made.record.status}", highlight=False, markup=False, style="bold")
    for line in made.differing:
        out.print(f"  fail  rerun: {line}", highlight=False, markup=False)
    if made.differing:
        raise typer.Exit(1)


def audit(
    folder: Annotated[Path, typer.Argument(help="Folder of a submission.")],
    by: Annotated[str, typer.Option("--by", help="Who has read the code, when, and which commit; one line.")],
    data_dir: DataDir = None,
    threads: Threads = None,
) -> None:
    """Sign that a person has read the code of a submission that was run again; its status becomes audited."""
    use_threads(threads)
    record = sign(folder, Verification(data_dir), by)
    write_record(folder, record.text())
    out.print(f"{visible(str(folder))}: {record.status}", highlight=False, markup=False, style="bold")
