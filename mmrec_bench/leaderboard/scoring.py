"""Scores given lists by the evaluators that judge runs: nothing but lists, data and protocol decides a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mmrec_bench.data.split import VaultLedger
from mmrec_bench.errors import ArtefactError, DataError
from mmrec_bench.evaluation.ctr import judged_points
from mmrec_bench.evaluation.ctr_protocol import CtrProtocol
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.protocol import ProtocolConfig, RetrievalProtocol
from mmrec_bench.evaluation.ranking import RankingEvaluator
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.evaluation.sessions import InteractiveEvaluator
from mmrec_bench.experiments.artefact import RANKINGS, RunArtefact
from mmrec_bench.experiments.building import finite
from mmrec_bench.experiments.folders import folders_of_kind
from mmrec_bench.experiments.prepare import Prepared, Preparer
from mmrec_bench.experiments.schema.parts import DatasetRef
from mmrec_bench.experiments.stations import ctr, interactive, ranking, retrieval
from mmrec_bench.experiments.stations.transcripts import KINDS
from mmrec_bench.leaderboard.alignment import (
    check_not_excluded,
    order_of,
    probabilities_of,
    rankings_of,
    rows_of,
    told,
)
from mmrec_bench.leaderboard.courses import Shown, courses_of
from mmrec_bench.leaderboard.submission import LISTS, SUBMISSION
from mmrec_bench.leaderboard.words import PARTS
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from mmrec_bench.types import BoolArray, FloatArray, IntArray

CPU = torch.device("cpu")
PURPOSE = "judging given lists"

COLUMNS: Mapping[type[ProtocolConfig], tuple[str, ...]] = {
    RetrievalProtocol: ("part", "user_id", "rank", "item_id", "score"),
    RankingProtocol: ("part", "list", "user_id", "rank", "item_id", "score"),
    CtrProtocol: ("part", "user_id", "item_id", "timestamp", "probability"),
    InteractiveProtocol: ("part", "session", "user_id", "round", "slot", "kind", "item_id", "clicked", "rank"),
}
"""Columns that are judged, by the class of the protocol; those of ``rankings.parquet`` but for the truth."""


class HasProtocol(Protocol):
    """A track, or the config of an experiment."""

    @property
    def protocol(self) -> ProtocolConfig:
        """What the numbers mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What given lists are worth.

    Attributes:
        metrics: As ``metrics.json`` of a run: under ``valid`` and ``test``, as far as there are lists, means by metric,
            unrounded; under ``test_slices`` those of slices, without the one for which a model ranks anew.
        per_user: As ``per_user.parquet`` of a run.
        notes: What a reader may not expect, one sentence each.
    """

    metrics: Mapping[str, Any]
    per_user: pd.DataFrame
    notes: tuple[str, ...] = ()


def prepared_for(card: str, protocol: ProtocolConfig, preparer: Preparer, impressions: Any = None) -> Prepared:
    """Return data and split by which lists are judged.

    Args:
        card: Name of the data set's card.
        protocol: Its split is made.
        preparer: Loads data once.
        impressions: How impressions are made of the data; of the CTR task alone.

    Raises:
        DataError: The data is missing or broken.
        ProtocolError: The split cannot be made.
    """
    ref = DatasetRef(card=card, impressions=impressions)
    if ref.impressions is not None:
        kind = ref.impressions.reads
    else:
        kind = "lists" if isinstance(protocol, RankingProtocol) else "interactions"
    return preparer.without_model(ref, kind, protocol, card)


def held_out(prepared: Prepared, part: str) -> Any:
    """Return a held-out part, ``valid`` or ``test``; who judges given lists has no model to keep it from."""
    return prepared.split.valid if part == "valid" else prepared.split.test.open(PURPOSE, VaultLedger())


def read_lists_of(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Return the lists of a run folder or of a parquet.

    Args:
        path: Folder or file; a folder above one run alone stands for it.
        columns: What is read of a parquet, as far as it is there.

    Raises:
        ArtefactError: It is a folder, and neither of a run nor above one alone.
        DataError: It is no parquet, or a cell holds more than a text or number.
    """
    if path.is_dir():
        return _run_of(path).rankings()
    try:
        read = [field for field in pq.read_schema(path) if field.name in columns]
        if nested := [field.name for field in read if pa.types.is_nested(field.type)]:
            raise DataError(f"{path}: a cell of lists holds one text or number; not so in column(s) {told(nested)}")
        frame: pd.DataFrame = pq.read_table(path, columns=[field.name for field in read]).to_pandas()
    except (OSError, ValueError, pa.ArrowException) as error:
        what = f"is no run folder and no parquet of lists ({RANKINGS}); `score --format` reads those of other systems"
        raise DataError(f"{path}: {what}: {str(error)[:200]}") from None
    return frame


def _run_of(folder: Path) -> RunArtefact:
    if (folder / SUBMISSION).is_file():
        raise ArtefactError(
            f"{folder}: is the folder of an entry, not of a run. Name one of its lists, such as "
            f"{folder / LISTS / 'seed-0.parquet'}"
        )
    below = folders_of_kind(folder, "run")
    return RunArtefact.load(below.pop() if len(below) == 1 else folder)  # which tells of several


def score_lists(track: HasProtocol, prepared: Prepared, table: pd.DataFrame) -> Scores:
    """Judge lists with external ids.

    Args:
        track: Whose protocol decides what the numbers mean.
        prepared: Data and split; see `prepared_for`.
        table: Columns `COLUMNS` of the task, one or both parts; more columns are not looked at.

    Raises:
        DataError: Columns or parts that are missing or wrong, ids that are unknown, lists that are not those of the
            split, or items that the protocol excludes.
        ProtocolError: The protocol cannot be judged by lists.
    """
    protocol = track.protocol
    columns = COLUMNS[type(protocol)]
    if lacking := [name for name in columns if name not in table.columns]:
        raise DataError(f"column(s) {', '.join(lacking)} are missing; lists have {', '.join(columns)}")
    if len(unknown := set(map(str, table["part"].unique())) - set(PARTS)) or not len(table):
        raise DataError(f"part must be valid or test; got {told(sorted(unknown)) or 'no row'}")
    truths: dict[str, Any] = {part: held_out(prepared, part) for part in PARTS if (table["part"] == part).any()}
    tables: dict[str, pd.DataFrame] = {part: table[(table["part"] == part).to_numpy()] for part in truths}
    if isinstance(protocol, RetrievalProtocol):
        return _retrieval(protocol, prepared, truths, tables)
    if isinstance(protocol, RankingProtocol):
        return _ranking(protocol, prepared, truths, tables)
    if isinstance(protocol, CtrProtocol):
        return _ctr(protocol, prepared, truths, tables)
    assert isinstance(protocol, InteractiveProtocol)
    return _interactive(protocol, prepared, truths, tables)


Truths: TypeAlias = Mapping[str, Any]
Tables: TypeAlias = Mapping[str, pd.DataFrame]


def _retrieval(protocol: RetrievalProtocol, prepared: Prepared, truths: Truths, tables: Tables) -> Scores:
    retriever = build_retriever(RetrieverConfig(), CPU)  # never asked: the lists are there
    found, metrics, slices, notes = {}, {}, {}, []
    for part, table in tables.items():
        exclude = retrieval.VALID_EXCLUDES if part == "valid" else protocol.exclude
        evaluator = retrieval.evaluator(protocol, prepared, truths[part], exclude, retriever)
        users, items = _ids(table, prepared)
        columns = whole(table, "rank"), numbers(table, "score")
        rankings = rankings_of(users, items, *columns, evaluator.users, protocol.cutoffs[-1], prepared.dataset.user_ids)
        split = prepared.split
        check_not_excluded(rankings, [split.train if name == "train" else split.valid for name in exclude])
        notes += _rising(part, rankings.scores)
        found[part] = evaluator.judged(rankings)
        metrics[part] = finite({**found[part].means, **evaluator.catalogue(found[part])})
        if part == "test":
            slices = retrieval.slice_facts(evaluator.slices(found[part]))
    n_truth = {part: truths[part].user_counts() for part in tables}
    return Scores({**metrics, "test_slices": slices}, retrieval.per_user(found, n_truth, prepared), tuple(notes))


def _ranking(protocol: RankingProtocol, prepared: Prepared, truths: Truths, tables: Tables) -> Scores:
    found, notes = {}, []
    for part, table in tables.items():
        lists, list_of = truths[part], whole(table, "list")
        users, items = _ids(table, prepared)
        if ((list_of < 0) | (list_of >= lists.n_lists)).any():
            raise DataError(f"lists of the {part} part are numbered 0 to {lists.n_lists - 1}")
        if (wrong := users != lists.users[list_of]).any():
            raise DataError(f"users are not those of list(s) {told(np.unique(list_of[wrong]))} of the {part} part")
        arranged = order_of(list_of, items, whole(table, "rank"), numbers(table, "score"), lists)
        notes += _rising(part, arranged[1])
        found[part] = lists, RankingEvaluator.of(protocol, lists, prepared.ties, CPU).judged(*arranged)
    metrics = {part: finite(evaluation.means) for part, (_, evaluation) in found.items()}
    return Scores({**metrics, "test_slices": {}}, ranking.per_list(found, prepared), tuple(notes))


def _rising(part: str, scores: FloatArray) -> list[str]:
    """Return a note where scores contradict the ranks by which lists are judged; scores are ``[n, k]``."""
    n = int((scores[:, 1:] > scores[:, :-1]).any(axis=1).sum())
    return [f"{part}: the scores of {n} list(s) rise from rank to rank; lists are judged by rank"] if n else []


def _ctr(protocol: CtrProtocol, prepared: Prepared, truths: Truths, tables: Tables) -> Scores:
    found, slices = {}, {}
    for part, table in tables.items():
        points = truths[part]
        columns = whole(table, "timestamp"), numbers(table, "probability")
        probabilities = probabilities_of(*_ids(table, prepared), *columns, points)
        found[part] = points, judged_points(points, probabilities, protocol.metrics)
        if part == "test":
            slices = ctr.slices(*found[part], prepared.split, protocol.metrics)
    metrics = {part: finite(evaluation.means) for part, (_, evaluation) in found.items()}
    return Scores({**metrics, "test_slices": slices}, ctr.per_user(found, prepared))


def _interactive(protocol: InteractiveProtocol, prepared: Prepared, truths: Truths, tables: Tables) -> Scores:
    found = {}
    for part, whole_table in tables.items():
        evaluator = InteractiveEvaluator(protocol, prepared.split.train, truths[part], CPU)
        table = whole_table[whole(whole_table, "round") != 0]  # what was on the table, for readers
        if unknown := set(table["kind"].astype(str).unique()) - set(KINDS):
            raise DataError(f"kind must be {', '.join(KINDS)}; got {told(sorted(unknown))}")
        is_item = (table["kind"] == "item").to_numpy()
        item = np.full(len(table), -1, np.int64)
        item[is_item] = rows_of(table["item_id"][is_item], prepared.dataset.item_ids, "item")
        shown = Shown(
            whole(table, "session"), whole(table, "round"), whole(table, "slot"), item,
            _bools(table, "clicked"), whole(table, "rank"),
        )  # fmt: skip
        courses = courses_of(shown, evaluator, protocol)
        found[part] = evaluator.judged(courses)
        users = rows_of(table["user_id"], prepared.dataset.user_ids, "user")
        if (users != found[part].users[np.searchsorted(found[part].numbers, shown.session)]).any():
            raise DataError(f"users are not those of the sessions of the {part} part")
    metrics = {part: finite(each.means) for part, each in found.items()}
    return Scores({**metrics, "test_slices": {}}, interactive.per_session(found, prepared))


def _ids(table: pd.DataFrame, prepared: Prepared) -> tuple[IntArray, IntArray]:
    dataset = prepared.dataset
    return rows_of(table["user_id"], dataset.user_ids, "user"), rows_of(table["item_id"], dataset.item_ids, "item")


def whole(table: pd.DataFrame, name: str) -> IntArray:
    """Return a column of whole numbers, int64.

    Raises:
        DataError: It holds others.
    """
    column = table[name]
    if column.dtype.kind not in "iu" or column.isna().any():
        raise DataError(f"column {name} must hold whole numbers; got {column.dtype}")
    return column.to_numpy(np.int64)


def _bools(table: pd.DataFrame, name: str) -> BoolArray:
    column = table[name]
    if column.dtype.kind != "b" or column.isna().any():
        raise DataError(f"column {name} must hold true and false; got {column.dtype}, or some that are missing")
    return column.to_numpy(np.bool_)


def numbers(table: pd.DataFrame, name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a column of numbers, float32, that are finite as such.

    Raises:
        DataError: It holds others.
    """
    column = table[name]
    if column.dtype.kind in "fiu":
        with np.errstate(over="ignore"):  # what is too great becomes infinite, which is refused
            values = column.to_numpy(np.float64).astype(np.float32)
        if np.isfinite(values).all():
            return values
    raise DataError(f"column {name} must hold finite numbers of 32 bits; got {column.dtype}, or some that are none")
