"""Lists of runs are judged anew: the numbers are the runs' to the last bit, and other lists are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmrec_bench.errors import DataError, ProtocolError
from mmrec_bench.evaluation.cold import COLD_ONLY
from mmrec_bench.evaluation.simulated_users import ImpatientUser
from mmrec_bench.leaderboard.scoring import COLUMNS, read_lists_of, score_lists

from .conftest import BODIES, Judged


def _told(judged: Judged) -> dict[str, Any]:
    told = json.loads(json.dumps(judged.artefact.metrics))
    told["test_slices"].pop(COLD_ONLY, None)  # of all scores; lists do not hold them
    return dict(told)


@pytest.mark.parametrize("name", BODIES)
def test_lists_of_a_run_give_its_numbers(name: str, runs: dict[str, Judged]) -> None:
    judged = runs[name]
    columns = list(COLUMNS[type(judged.experiment.config.protocol)])
    scores = score_lists(judged.experiment.config, judged.prepared, judged.artefact.rankings()[columns])
    assert scores.metrics == _told(judged)
    ours, theirs = (table.astype({"user_id": str}) for table in (scores.per_user, judged.artefact.per_user()))
    pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


@pytest.mark.parametrize("name", BODIES)
def test_the_order_of_rows_does_not_matter(name: str, runs: dict[str, Judged]) -> None:
    judged = runs[name]
    table = judged.artefact.rankings().sample(frac=1.0, random_state=3)
    table = table.astype({"user_id": object, "item_id": object})  # and no columns of categories either
    assert score_lists(judged.experiment.config, judged.prepared, table).metrics == _told(judged)


def test_lists_of_one_part_are_judged_alone(runs: dict[str, Judged]) -> None:
    judged = runs["retrieval"]
    table = judged.artefact.rankings()
    scores = score_lists(judged.experiment.config, judged.prepared, table[table["part"] == "valid"])
    assert scores.metrics == {"valid": judged.artefact.metrics["valid"], "test_slices": {}}


def _first(table: pd.DataFrame, part: str = "test") -> int:
    return int(table.index[table["part"] == part][0])


def _with(column: str, change: Callable[[Any], Any]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def changed(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].tolist()
        values[_first(table)] = change(values[_first(table)])
        return table.assign(**{column: values})

    return changed


def _without_first(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(index=_first(table))


def _without_user(table: pd.DataFrame) -> pd.DataFrame:
    user = table["user_id"][_first(table)]
    return table[(table["part"] == "valid") | (table["user_id"] != user)]


def _repeated_item(table: pd.DataFrame) -> pd.DataFrame:
    items, first = table["item_id"].tolist(), _first(table)
    items[first + 1] = items[first]
    return table.assign(item_id=items)


BROKEN: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "no score": ("retrieval", lambda table: table.drop(columns="score"), r"column\(s\) score are missing"),
    "part": ("retrieval", lambda table: table.assign(part="train"), "valid or test; got train"),
    "empty": ("retrieval", lambda table: table[:0], "no row"),
    "item": ("retrieval", _with("item_id", lambda _: "nothing"), r"1 item id\(s\) are none of the data set: nothing"),
    "user": ("retrieval", _with("user_id", lambda _: "nobody"), "1 user id.* nobody"),
    "nan": ("retrieval", _with("score", lambda _: float("nan")), "score must hold finite"),
    "beyond 32 bits": (
        "retrieval",
        lambda table: table.assign(score=1e39),
        "score must hold finite numbers of 32 bits",
    ),
    "bytes": ("retrieval", lambda table: table.assign(user_id=b"\xff"), "user ids are bytes; write them as texts"),
    "rank": ("retrieval", _with("rank", lambda _: 3), "ranks of a list are 1, 2, 3"),
    "half rank": ("retrieval", _with("rank", lambda _: 1.5), "rank must hold whole numbers"),
    "gap": ("retrieval", _without_first, "ranks of a list are 1, 2, 3"),
    "missing user": ("retrieval", _without_user, r"1 evaluated user\(s\) have no list: user-"),
    "repeated": ("retrieval", _repeated_item, "repeat an item"),
    "short list": ("ranking", _without_first, "one row for each of"),
    "other item": ("ranking", _repeated_item, "not those of the list"),
    "other list": ("ranking", _with("list", lambda _: 10_000), "numbered 0 to"),
    "same rank": ("ranking", _with("rank", lambda rank: rank + 1), "each once"),
    "other user": ("ranking", lambda table: table.assign(user_id=table["user_id"][0]), "users are not those"),
    "probability": ("ctr", _with("probability", lambda _: 1.5), r"in \[0, 1\]"),
    "impression": ("ctr", _without_first, "impressions, each once"),
    "second": ("ctr", _with("timestamp", lambda time: time + 1), "impressions, each once"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_other_lists_are_refused(case: str, runs: dict[str, Judged]) -> None:
    name, change, message = BROKEN[case]
    judged = runs[name]
    with pytest.raises(DataError, match=message):
        score_lists(judged.experiment.config, judged.prepared, change(judged.artefact.rankings()))


@pytest.mark.parametrize(("name", "counts"), [("retrieval", False), ("strict", True)])
def test_items_a_user_has_are_refused_where_the_protocol_excludes_them(
    name: str, counts: bool, runs: dict[str, Judged]
) -> None:
    judged = runs[name]
    valid, table = judged.prepared.split.valid, judged.artefact.rankings()
    ids = judged.prepared.dataset
    user = ids.user_ids[valid.users[0]]
    rows = np.flatnonzero((table["part"] == "test") & (table["user_id"] == user))
    had = ids.item_ids[valid.items[valid.users == valid.users[0]]]
    new = next(item for item in had if item not in set(table["item_id"].iloc[rows]))
    items = table["item_id"].tolist()
    items[rows[0]] = new
    if counts:
        with pytest.raises(DataError, match=r"1 row\(s\) rank an item that its user already has"):
            score_lists(judged.experiment.config, judged.prepared, table.assign(item_id=items))
    else:
        score_lists(judged.experiment.config, judged.prepared, table.assign(item_id=items))


def _played(table: pd.DataFrame) -> np.ndarray[Any, Any]:
    return np.flatnonzero((table["round"] == 1) & (table["kind"] == "item"))


def _lied(table: pd.DataFrame) -> pd.DataFrame:
    clicked = table["clicked"].to_numpy().copy()
    clicked[_played(table)[0]] ^= True
    return table.assign(clicked=clicked)


def _changed(column: str, value: Any, rows: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def changed(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].tolist()
        values[rows(table)[0]] = value
        return table.assign(**{column: values})

    return changed


def _with_a_gap(column: pd.Series[Any], dtype: Any) -> pd.Series[Any]:
    column = column.astype(dtype)
    column.iloc[-1] = pd.NA
    return column


def _last(table: pd.DataFrame) -> Any:
    return np.flatnonzero((table["round"] == 5) & (table["rank"] > 1))


SESSIONS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "answer": (_lied, "answers to items are not those"),
    "guess": (_changed("rank", 1, _last), "last guess is wanted exactly if"),
    "rank": (_changed("rank", 21, _last), "1 to the number of candidates"),
    "missing": (lambda table: table[table["session"] != 0], r"1 session\(s\) are missing: 0"),
    "stranger": (_changed("session", 10_000, _played), "are not held: 10000"),
    "round": (_changed("round", 9, _played), "rounds must be 1 to 4"),
    "slot": (_changed("slot", 2, _played), "slots 1 to 1"),
    "twice": (lambda table: pd.concat([table, table.iloc[_played(table)[:1]]]), "stands twice"),
    "kind": (lambda table: table.assign(kind="film"), "kind must be item, query, field; got film"),
    "user": (lambda table: table.assign(user_id=table["user_id"][0]), "users are not those"),
    "no-round": (lambda table: table.assign(round=_with_a_gap(table["round"], "Int64")), "round must hold whole"),
    "no-answer": (
        lambda table: table.assign(clicked=_with_a_gap(table["clicked"], "boolean")),
        "clicked must hold true",
    ),
    "words": (lambda table: table.assign(clicked="no"), "clicked must hold true and false"),
}


@pytest.mark.parametrize("case", SESSIONS)
def test_other_sessions_are_refused(case: str, runs: dict[str, Judged]) -> None:
    change, message = SESSIONS[case]
    judged = runs["interactive"]
    with pytest.raises(DataError, match=message):
        score_lists(judged.experiment.config, judged.prepared, change(judged.artefact.rankings()))


def test_an_item_that_is_not_on_the_table_is_refused(runs: dict[str, Judged]) -> None:
    judged = runs["interactive"]
    table = judged.artefact.rankings()
    row = _played(table)[0]
    same = (table["part"] == table["part"][row]) & (table["session"] == table["session"][row])
    there = set(table["item_id"][same])
    items = table["item_id"].tolist()
    items[row] = next(item for item in judged.prepared.dataset.item_ids if item not in there)
    with pytest.raises(DataError, match="not on the table"):
        score_lists(judged.experiment.config, judged.prepared, table.assign(item_id=items))


@pytest.mark.parametrize("update", [{"last_guess": False}, {"user": ImpatientUser()}])
def test_protocols_whose_transcripts_lack_ranks_are_refused(update: dict[str, Any], runs: dict[str, Judged]) -> None:
    judged = runs["interactive"]
    config = judged.experiment.config
    other = config.model_copy(update={"protocol": config.protocol.model_copy(update=update)})
    with pytest.raises(ProtocolError, match="users who stay"):
        score_lists(other, judged.prepared, judged.artefact.rankings())


@pytest.mark.parametrize("name", ["retrieval", "ranking"])
def test_scores_that_contradict_the_ranks_are_told(name: str, runs: dict[str, Judged]) -> None:
    judged = runs[name]
    table, config = judged.artefact.rankings(), judged.experiment.config
    assert score_lists(config, judged.prepared, table).notes == ()
    key = "user_id" if name == "retrieval" else "list"
    n = table[table["part"] == "test"][key].astype(str).nunique()
    rising = table.assign(score=table["score"].mask(table["part"] == "test", table["rank"]).astype(np.float32))
    scores = score_lists(config, judged.prepared, rising)
    assert scores.notes == (f"test: the scores of {n} list(s) rise from rank to rank; lists are judged by rank",)
    assert scores.metrics == _told(judged)


def test_a_parquet_of_lists_is_read_as_far_as_it_is_judged(runs: dict[str, Judged], tmp_path: Path) -> None:
    judged, path, columns = runs["retrieval"], tmp_path / "lists.parquet", ("part", "user_id")
    whole = pa.Table.from_pandas(judged.artefact.rankings()[list(columns)])
    nested = pa.array([["a"]] * len(whole))
    pq.write_table(whole.append_column("other", nested), path)
    pd.testing.assert_frame_equal(read_lists_of(path, columns), whole.to_pandas())
    for cells in (nested, pa.array([{"id": "a"}] * len(whole))):
        pq.write_table(whole.set_column(1, "user_id", cells), path)
        with pytest.raises(DataError, match=r"one text or number; not so in column\(s\) user_id"):
            read_lists_of(path, columns)
