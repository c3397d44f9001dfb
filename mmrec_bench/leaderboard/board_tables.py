"""Tables of a board: its entries, slices, metrics and checks of one entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmrec_bench.leaderboard.board import Board, Entry
from mmrec_bench.leaderboard.record import Measured, VerificationRecord
from mmrec_bench.reports.cards.schema import Hardware
from mmrec_bench.reports.collect import Estimate
from mmrec_bench.reports.directions import direction_notes
from mmrec_bench.reports.table import ABSENT, Cell, Table, interval, number
from mmrec_bench.reports.tables import estimate_cell
from mmrec_bench.statistics.contrast import LEVEL

ENDS = f"{LEVEL:.0%} interval".replace("%", " %")

STATUSES: Mapping[str, str] = {
    "audited": "its config gives the numbers again, and a person has read its code",
    "rerun-verified": "its config, run again, gives the numbers within a stated tolerance",
    "list-verified": "its ranked lists give the numbers, which were recomputed from them",
    "self-reported": "only the form was checked; the numbers are its authors', and it stands last, without a rank",
}
"""What is known of the numbers of an entry, most first."""

MARKS: Mapping[str, str] = {
    "replaced": "a later entry of its authors stands in its place; it has no rank",
    "provisional": "fewer than five seeds, of a system that seeds can move; it has no rank",
    "seeds unchecked": "one seed, of a model that is not known here; only its authors say that no seed moves it, and "
    "it has no rank until its config was run again",
    "flagged": "a check found something for people to look at; its page says what",
    "older metrics": "a metric has a newer version than the one that judged it; it has no rank",
}
"""What to know before an entry is read."""

TIERS: Mapping[str, str] = {
    "closed": "features, split and tuning budget of the track",
    "open": "anything that is declared",
}
"""Tiers; ranks are counted within each."""


def standing(board: Board) -> Table:
    """Return the entries of a board, best first."""
    first, *others = board.track.headline
    ranks, titles = board.ranks(), board.titles()
    header = (
        "system", "rank", "tier", "status", "marks", first, ENDS, f"valid {first}", *others, "n", "parameters",
        "train s", "external data", "hardware", "authors",
    )  # fmt: skip
    rows = []
    for entry in board.entries:
        submission, record = entry.submission, entry.record
        best, train = entry.test(first), entry.card.cost.seconds.get("train")
        rows.append((
            titles[entry.name],
            number(ranks.get(entry.name), "d"),
            submission.tier,
            record.status,
            ", ".join(board.marks(entry)) or ABSENT,
            measured_cell(best),
            ABSENT if best is None else interval(best.low, best.high, ".4f"),
            measured_cell(record.metrics.get("valid", {}).get(first)),
            *(measured_cell(entry.test(name)) for name in others),
            number(len(record.seeds), "d"),
            number(record.n_parameters, ",d"),
            ABSENT if train is None else estimate_cell(Estimate(train.mean, train.sd, train.n), 1),
            "; ".join(submission.external_data) or ABSENT,
            hardware_words(record.hardware),
            ", ".join(submission.authors),
        ))  # fmt: skip
    return Table(board.track.title, note_of(board), header, tuple(rows))


def note_of(board: Board) -> str:
    """Return what the numbers of a board are."""
    track = board.track
    versions = ", ".join(f"{name} {version}" for name, version in board.metric_versions.items())
    return (
        f"Test metrics, mean ± unbiased standard deviation over n seeds; in order of {track.headline[0]}, ranks within "
        f"each tier. Intervals are over users, and over seeds where there are two or more; entries whose intervals "
        f"meet may swap. Protocol `{track.protocol.id}`, data set `{track.dataset.card}`."
        + direction_notes(track.headline)
        + (f" Versions of metrics: {versions}." if versions else "")
        + (
            " Parameters, seconds and hardware are what cards say; seconds of different hardware cannot be compared."
            if board.entries
            else ""
        )
    )


def slices_of(board: Board) -> Table | None:
    """Return the first headline metric on slices of the test part; None where no record has any."""
    metric, titles = board.track.headline[0], board.titles()
    names = list(
        dict.fromkeys(name for entry in board.entries for name, found in entry.record.slices.items() if metric in found)
    )
    if not names:
        return None
    rows = tuple(
        (titles[entry.name], *(measured_cell(entry.record.slices.get(name, {}).get(metric)) for name in names))
        for entry in board.entries
    )
    note = f"Test {metric} on slices, mean ± unbiased standard deviation over seeds."
    return Table("Slices", note, ("system", *names), rows)


def metrics_of(entry: Entry) -> Table:
    """Return all metrics of an entry, both parts, with the value of each seed on test."""
    record = entry.record
    test, valid = record.metrics.get("test", {}), record.metrics.get("valid", {})
    seeds = record.seeds if any(found.per_seed for found in test.values()) else ()
    rows = []
    for name in dict.fromkeys((*test, *valid)):
        found = test.get(name)
        ends = interval(found.low, found.high, ".4f") if found else ABSENT
        values = list(found.per_seed) if found and found.per_seed else [None] * len(seeds)
        rows.append((
            name, measured_cell(found), ends, measured_cell(valid.get(name)),
            *(number(value, ".4f") for value in values),
        ))  # fmt: skip
    source = "As its authors say" if record.form_only.value else "Recomputed from its lists"
    note = f"{source}; mean ± unbiased standard deviation over {len(record.seeds)} seed(s)."
    header = ("metric", "test", ENDS, "validation", *(f"test, seed {seed}" for seed in seeds))
    return Table("Metrics", note, header, tuple(rows))


def slices_of_entry(entry: Entry) -> Table | None:
    """Return the test metrics of an entry on slices; None where there are none."""
    slices = entry.record.slices
    names = list(dict.fromkeys(name for found in slices.values() for name in found))
    if not names:
        return None
    rows = tuple((slice_, *(measured_cell(found.get(name)) for name in names)) for slice_, found in slices.items())
    note = "Test metrics on slices, mean ± unbiased standard deviation over seeds."
    return Table("Slices", note, ("slice", *names), rows)


def checks_of(record: VerificationRecord) -> Table:
    """Return what was checked of an entry."""
    rows = tuple((check.name, check.verdict, check.message) for check in record.checks)
    note = f"By version {record.verifier.version} of this package, code `{record.verifier.code}`."
    return Table("Checks", note, ("check", "verdict", "found"), rows)


def measured_cell(found: Measured | None) -> Cell:
    """Return the cell of a metric; None is absent."""
    return estimate_cell(None if found is None else Estimate(found.mean, found.sd, found.n))


def hardware_words(devices: Sequence[Hardware]) -> str:
    """Return what a system ran on, in words."""

    def words(device: Hardware) -> str:
        cores = "" if not device.cores else ", 1 core" if device.cores == 1 else f", {device.cores} cores"
        return f"{device.name} ({device.type}{cores})"

    return "; ".join(dict.fromkeys(map(words, devices))) or ABSENT
