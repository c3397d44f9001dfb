"""List files of other systems: what is written is read again, what is read is judged alike, all problems are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from mmrec_bench.errors import DataError, ProtocolError, ResourceError
from mmrec_bench.leaderboard.bridges import LIST_FORMATS
from mmrec_bench.leaderboard.bridges.exchange import IdMaps, export_lists, import_lists, read_id_map
from mmrec_bench.leaderboard.bridges.rows import N_TOLD
from mmrec_bench.leaderboard.scoring import score_lists

from .conftest import Judged

SCORELESS = ("cornac", "mmrec")


@pytest.fixture
def judged(runs: dict[str, Judged]) -> Judged:
    return runs["retrieval"]


@pytest.fixture
def maps(judged: Judged, tmp_path: Path) -> IdMaps:
    """Numbers for ids, as MMRec needs them, read from files with and without a header."""
    users, items = tmp_path / "users.tsv", tmp_path / "items.csv"
    ids = judged.prepared.dataset
    lines = ["user_id\tuserID", *(f"{row}\t{name}" for row, name in enumerate(ids.user_ids))]
    users.write_text("\n".join(lines), encoding="utf-8")
    items.write_text("\n".join(f"{row + 7},{name}" for row, name in enumerate(ids.item_ids)), encoding="utf-8")
    return IdMaps(read_id_map(users), read_id_map(items))


def _by_rank(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return columns of lists, in the order of users and ranks, whatever texts are stored as."""
    frame = table[columns].astype({"user_id": str, "item_id": str, "part": str})
    return frame.sort_values(["user_id", "rank"], ignore_index=True)


@pytest.mark.parametrize("part", ["valid", "test"])
@pytest.mark.parametrize("suffix", [".txt", ".parquet"])
@pytest.mark.parametrize("name", LIST_FORMATS.names())
def test_export_then_import_is_the_same(
    name: str, suffix: str, part: str, judged: Judged, maps: IdMaps, tmp_path: Path
) -> None:
    table, path = judged.artefact.rankings(), tmp_path / f"lists{suffix}"
    export_lists(path, LIST_FORMATS[name], table, part, maps)
    found = import_lists(path, LIST_FORMATS[name], judged.experiment.config, judged.prepared, part, maps)
    columns = ["part", "user_id", "rank", "item_id", *(() if name in SCORELESS else ("score",))]
    expected = _by_rank(table[table["part"] == part], columns)
    assert_frame_equal(_by_rank(found.table, columns), expected, check_exact=True)
    assert found.notes == []
    metrics = score_lists(judged.experiment.config, judged.prepared, found.table).metrics
    assert metrics[part] == judged.artefact.metrics[part]
    if name in SCORELESS:
        assert (found.table["score"] == -found.table["rank"]).all()


@pytest.mark.parametrize("name", sorted(set(LIST_FORMATS) - {"mmrec"}))
def test_ids_need_no_map_where_they_are_those_of_the_data(name: str, judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / "lists"
    export_lists(path, LIST_FORMATS[name], judged.artefact.rankings(), "test")
    found = import_lists(path, LIST_FORMATS[name], judged.experiment.config, judged.prepared)
    assert (
        score_lists(judged.experiment.config, judged.prepared, found.table).metrics["test"]
        == (judged.artefact.metrics["test"])
    )


def test_the_order_is_that_of_scores_and_equal_ones_follow_the_hash(judged: Judged, tmp_path: Path) -> None:
    table = judged.artefact.rankings()
    table = table.assign(score=np.float32(0.5))
    path = tmp_path / "run"
    export_lists(path, LIST_FORMATS["trec"], table, "test")
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(reversed(lines)), encoding="utf-8")
    found = import_lists(path, LIST_FORMATS["trec"], judged.experiment.config, judged.prepared).table
    ties = dict(zip(judged.prepared.dataset.item_ids, judged.prepared.ties, strict=True))
    for _, rows in found.groupby("user_id", observed=True):
        places = [ties[item] for item in rows["item_id"]]
        assert places == sorted(places)


TREC = {
    "columns": (lambda line: line[0] + " more", "line 1: a run has 6 columns, user Q0 item rank score tag; got 7"),
    "score": (lambda line: line[0].replace(line[1][4], "high", 1), "line 1: score must be a finite number; got 'high'"),
    "nan": (lambda line: line[0].replace(line[1][4], "nan", 1), "line 1: score must be a finite number"),
    "large": (lambda line: line[0].replace(line[1][4], "1e300", 1), "line 1: score 1e+300 is too large for float32"),
    "user": (lambda line: line[0].replace(line[1][0], "nobody", 1), "line 1: user 'nobody' is none of the data set"),
    "item": (lambda line: line[0].replace(line[1][2], "nothing", 1), "line 1: item 'nothing' is none of the data set"),
}


def test_several_lists_of_a_user_are_not_merged(judged: Judged, tmp_path: Path) -> None:
    table = judged.artefact.rankings()
    with pytest.raises(DataError, match=r"several rows of one rank in the test part.*one list a user"):
        export_lists(tmp_path / "run", LIST_FORMATS["trec"], pd.concat([table, table]), "test")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sign", ["\u2028", "\x0b", "\x85"])
def test_ids_may_hold_what_some_take_for_the_end_of_a_line(sign: str, judged: Judged, tmp_path: Path) -> None:
    table = judged.artefact.rankings().astype({"user_id": str, "item_id": str})
    items = sorted(set(table["item_id"]) | set(judged.prepared.dataset.item_ids.tolist()))
    maps = IdMaps(items={f"{item}{sign}": item for item in items})
    path = tmp_path / "lists.csv"
    export_lists(path, LIST_FORMATS["lenskit"], table, "test", maps)
    found = import_lists(path, LIST_FORMATS["lenskit"], judged.experiment.config, judged.prepared, "test", maps)
    assert len(found.table) == (table["part"] == "test").sum()


def _lines(judged: Judged, path: Path) -> list[str]:
    export_lists(path, LIST_FORMATS["trec"], judged.artefact.rankings(), "test")
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("case", TREC)
def test_a_bad_line_is_named(case: str, judged: Judged, tmp_path: Path) -> None:
    change, message = TREC[case]
    path = tmp_path / "run"
    lines = _lines(judged, path)
    lines[0] = change((lines[0], lines[0].split()))
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        import_lists(path, LIST_FORMATS["trec"], judged.experiment.config, judged.prepared)
    assert f"{path}: 1 problem" in str(caught.value)
    assert message in str(caught.value)


def test_an_unknown_id_is_told_once_with_the_number_of_its_rows(judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / "run"
    lines = _lines(judged, path)
    user = lines[0].split()[0]
    n = sum(line.split()[0] == user for line in lines)
    path.write_text("\n".join(line.replace(f"{user} ", "nobody ", 1) for line in lines), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        import_lists(path, LIST_FORMATS["trec"], judged.experiment.config, judged.prepared)
    told = [line for line in str(caught.value).splitlines() if "'nobody'" in line]
    assert len(told) == 1
    assert told[0].endswith(f"and in {n - 1} more row(s)")


def test_all_problems_are_told_at_once(judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / "run"
    lines = _lines(judged, path)
    user = lines[0].split()[0]
    train, dataset = judged.prepared.split.train, judged.prepared.dataset
    row = int(np.flatnonzero(dataset.user_ids == user)[0])
    had = dataset.item_ids[train.items[train.users == row][0]]
    lines[1] = "broken"
    lines[2] = lines[2].replace(lines[2].split()[4], "-", 1)
    lines[3] = lines[3].replace(lines[3].split()[2], had, 1)
    lines[5] = lines[4]
    gone = lines[-1].split()[0]
    lines = [line for line in lines if line.split()[0] != gone]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        import_lists(path, LIST_FORMATS["trec"], judged.experiment.config, judged.prepared)
    told = str(caught.value).splitlines()
    assert told[0] == f"{path}: 5 problems"
    assert told[1].startswith("  line 2: a run has 6 columns")
    assert told[2].startswith("  line 3: score must be a finite number; got '-'")
    assert told[3].startswith(f"  line 4: user '{user}' has item '{had}' in a part that the track excludes")
    assert told[4].endswith("stands at line 5 already")
    assert told[5].endswith(f"users of the test part have no list: {gone}")


def test_a_flood_of_problems_is_counted(judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("x\n" * 500, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        import_lists(path, LIST_FORMATS["trec"], judged.experiment.config, judged.prepared)
    told = str(caught.value).splitlines()
    assert (told[0], told[-1]) == (f"{path}: 501 problems", f"  and {501 - N_TOLD} more")
    assert len(told) == N_TOLD + 2


HEADERS = {
    "recbole": [
        ("user_id:token\titem_id:token\n", "no column score:float"),
        ("user_id:token\titem_id:token\tscore:float\nu\ti\n", "line 2: the header has 3 columns; got 2"),
        ("user_id:token\tuser_id:token\titem_id:token\tscore:float\n", "two columns of the header give the user"),
    ],
    "lenskit": [
        ("user_id,score\n", "no column item_id or item"),
        ("user,item\n", "neither score nor rank"),
        ("user,item,rank\nuser-000,item-00,first\n", "line 2: rank must be a whole number from 0 on; got 'first'"),
        ("user,item,rank\nuser-000\n", "line 2: the header has 3 columns; got 1"),
        ("user,item,rank\nuser-000," + "x" * 200_000 + ",1\n", "line 2: is no row of a CSV: field larger"),
    ],
    "mmrec": [
        ("id\ttop_1\n1\t2\n", "line 1: the header must be id, top_0, top_1"),
        ("id\ttop_0\n1\tx\n", "line 2: ids are whole numbers; got 'x'"),
        ("id\ttop_0\n1\t2\t3\n", "line 2: the header has 2 columns; got 3"),
    ],
    "cornac": [
        ("[1]", "must hold a JSON object"),
        ("{", "is no JSON"),
        ('{"u": 3}', "user 1: the list of 'u' must hold item ids"),
        ('{"u": [], "u": []}', "user 2: 'u' has two lists"),
        ('{"u": [true]}', "must hold item ids"),
    ],
    "elliot": [("u\ti\n", "line 1: a line has user, item and score"), ("\ti\t1\n", "line 1: the user is empty")],
    "trec": [("", "have no list"), ("\x00\n", "got 1")],
}


@pytest.mark.parametrize(("name", "place"), [(name, place) for name in HEADERS for place in range(len(HEADERS[name]))])
def test_files_of_another_form_are_refused(name: str, place: int, judged: Judged, tmp_path: Path) -> None:
    content, message = HEADERS[name][place]
    path = tmp_path / "lists"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=str(path)) as caught:
        import_lists(path, LIST_FORMATS[name], judged.experiment.config, judged.prepared)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", LIST_FORMATS.names())
@pytest.mark.parametrize("suffix", ["", ".parquet"])
def test_what_is_no_text_is_refused(name: str, suffix: str, judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / f"lists{suffix}"
    with pytest.raises(DataError, match="cannot be read"):
        import_lists(path, LIST_FORMATS[name], judged.experiment.config, judged.prepared)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"no UTF-8 text|is no JSON|cannot be read"):
        import_lists(path, LIST_FORMATS[name], judged.experiment.config, judged.prepared)


def test_a_rank_of_lenskit_must_follow_the_scores(judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / "lists.csv"
    export_lists(path, LIST_FORMATS["lenskit"], judged.artefact.rankings(), "test")
    table = pd.read_csv(path)
    swapped = table.assign(rank=table["rank"].replace({1: 2, 2: 1}))
    swapped.to_csv(path, index=False)
    with pytest.raises(DataError, match="rank 2 has a higher score than the rank above it"):
        import_lists(path, LIST_FORMATS["lenskit"], judged.experiment.config, judged.prepared)
    swapped.drop(columns="score").to_csv(path, index=False)
    found = import_lists(path, LIST_FORMATS["lenskit"], judged.experiment.config, judged.prepared).table
    first = found["rank"] == 1
    assert found["item_id"][first].tolist() == table["item_id"][table["rank"] == 2].tolist()
    swapped.drop(columns="score").assign(rank=1).to_csv(path, index=False)
    with pytest.raises(DataError, match="two items of rank 1"):
        import_lists(path, LIST_FORMATS["lenskit"], judged.experiment.config, judged.prepared)


def test_users_with_nothing_held_out_are_left_out_and_told(judged: Judged, tmp_path: Path) -> None:
    path, truth = tmp_path / "run", judged.prepared.split.valid
    export_lists(path, LIST_FORMATS["trec"], judged.artefact.rankings(), "valid")
    whole = import_lists(path, LIST_FORMATS["trec"], judged.experiment.config, judged.prepared, "valid")
    gone = truth.users != truth.users[0]
    split = replace(judged.prepared.split, valid=truth.select(gone))
    found = import_lists(
        path, LIST_FORMATS["trec"], judged.experiment.config, replace(judged.prepared, split=split), "valid"
    )
    assert whole.notes == []
    assert found.notes == ["valid: left out lists of 1 user(s) with nothing held out"]
    assert len(found.table) == len(whole.table) - 10


def test_longer_lists_are_cut_and_shorter_ones_told(judged: Judged, tmp_path: Path) -> None:
    path, config = tmp_path / "run", judged.experiment.config
    export_lists(path, LIST_FORMATS["elliot"], judged.artefact.rankings(), "test")
    protocol = config.protocol.model_copy(update={"cutoffs": (5,), "select_by": "recall@5"})
    short = config.model_copy(update={"protocol": protocol})
    found = import_lists(path, LIST_FORMATS["elliot"], short, judged.prepared)
    n = len(np.unique(found.table["user_id"]))
    assert found.notes == [f"test: cut {n} list(s) to the 5 items that the track judges"]
    protocol = config.protocol.model_copy(update={"cutoffs": (5, 20)})
    found = import_lists(
        path, LIST_FORMATS["elliot"], config.model_copy(update={"protocol": protocol}), judged.prepared
    )
    assert found.notes == [f"test: {n} list(s) hold fewer than the 20 items that the track judges"]


def test_validation_items_are_refused_where_the_protocol_excludes_them(runs: dict[str, Judged], tmp_path: Path) -> None:
    strict, path = runs["strict"], tmp_path / "run"
    valid, ids = strict.prepared.split.valid, strict.prepared.dataset
    lines = _lines(strict, path)
    user, item = ids.user_ids[valid.users[0]], ids.item_ids[valid.items[0]]
    lines.append(f"{user} Q0 {item} 1 99.0 x")
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError, match=f"line {len(lines)}: user '{user}' has item '{item}'"):
        import_lists(path, LIST_FORMATS["trec"], strict.experiment.config, strict.prepared)
    lenient = runs["retrieval"]
    import_lists(path, LIST_FORMATS["trec"], lenient.experiment.config, lenient.prepared)


def test_the_columns_of_a_map_may_be_the_other_way_round(tmp_path: Path) -> None:
    path = tmp_path / "u_id_mapping.csv"
    path.write_text("user_id\tuserID\nA1HK\t0\nA19K\t1\n", encoding="utf-8")
    assert read_id_map(path, dataset_first=True) == {"userID": "user_id", "0": "A1HK", "1": "A19K"}


MAPS: dict[str, tuple[str, str]] = {
    "columns": ("a\tb\tc\n", "line 1: a map has two columns"),
    "empty": ("a\t\n", "line 1: a map has two columns"),
    "twice": ("a\tb\na\tc\n", "line 2: 'a' is mapped to 'b' already"),
}


@pytest.mark.parametrize("case", MAPS)
def test_bad_maps_are_refused(case: str, tmp_path: Path) -> None:
    content, message = MAPS[case]
    path = tmp_path / "map"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_id_map(path)


def test_ids_that_a_map_lacks_are_named(judged: Judged, maps: IdMaps, tmp_path: Path) -> None:
    path, config = tmp_path / "run", judged.experiment.config
    lines = _lines(judged, path)
    with pytest.raises(DataError, match=f"line 1: user '{lines[0].split()[0]}' is not in the map of user ids"):
        import_lists(path, LIST_FORMATS["trec"], config, judged.prepared, "test", maps)
    assert maps.users is not None
    few = replace(maps, users=dict(list(maps.users.items())[:2]))
    with pytest.raises(DataError, match="the map of ids lacks user-"):
        export_lists(path, LIST_FORMATS["trec"], judged.artefact.rankings(), "test", few)
    both = replace(maps, users={**maps.users, "again": next(iter(judged.prepared.dataset.user_ids))})
    with pytest.raises(DataError, match="lists need one of them"):
        export_lists(path, LIST_FORMATS["trec"], judged.artefact.rankings(), "test", both)


IDS: dict[str, tuple[str, Callable[[str], str], str]] = {
    "trec": ("trec", lambda name: f"{name} x", "no blank"),
    "elliot": ("elliot", lambda name: f"{name}\tx", "no tab"),
    "recbole": ("recbole", lambda name: f"{name}\n", "no tab"),
    "mmrec": ("mmrec", lambda name: name, "only digits"),
    "lenskit": ("lenskit", lambda name: f"{name}\r", "no line break"),
}


@pytest.mark.parametrize("case", IDS)
def test_ids_that_a_format_cannot_hold_are_refused(case: str, judged: Judged, tmp_path: Path) -> None:
    name, change, message = IDS[case]
    table = judged.artefact.rankings().astype({"user_id": str})
    with pytest.raises(DataError, match=message):
        export_lists(tmp_path / "lists", LIST_FORMATS[name], table.assign(user_id=table["user_id"].map(change)), "test")


def test_odd_ids_survive_where_they_may_stand(judged: Judged, tmp_path: Path) -> None:
    table = judged.artefact.rankings().astype({"user_id": str, "item_id": str})
    odd = {name: f'{name}, "<b>" {{ü}}' for name in table["item_id"].unique()}
    maps = IdMaps(items={other: name for name, other in odd.items()})
    columns = ["part", "user_id", "rank", "item_id"]
    expected = _by_rank(table[table["part"] == "test"], columns)
    for name in ("recbole", "elliot", "lenskit", "cornac"):
        path = tmp_path / name
        export_lists(path, LIST_FORMATS[name], table, "test", maps)
        found = import_lists(path, LIST_FORMATS[name], judged.experiment.config, judged.prepared, "test", maps)
        assert_frame_equal(_by_rank(found.table, columns), expected, check_exact=True)
        assert found.notes == []


def test_lists_of_one_file_of_mmrec_have_one_length(judged: Judged, maps: IdMaps, tmp_path: Path) -> None:
    table = judged.artefact.rankings()
    table = table.drop(index=table.index[(table["part"] == "test") & (table["rank"] == 10)][0])
    with pytest.raises(DataError, match=r"one length; got \[9, 10\]"):
        export_lists(tmp_path / "lists", LIST_FORMATS["mmrec"], table, "test", maps)


def test_known_files_are_read_as_their_systems_write_them(judged: Judged, tmp_path: Path) -> None:
    user, item, other = "user-000", "item-00", "item-01"
    contents = {
        "trec": f"{user} Q0 {item}  0 2.5e-1 tag\n{user}\tQ0\t{other}\t1\t-3\ttag\r\n",
        "mmrec": "id\ttop_0\ttop_1\n0\t5\t3\n",
        "recbole": f"score:float\titem_id:token\trating:float\tuser_id:token\n0.25\t{item}\t5\t{user}\n",
        "elliot": f"{user}\t{item}\t0.25\n",
        "cornac": json.dumps({user: [item, 3]}),
        "lenskit": f'item,score,user,rank\n"{item}",0.25,{user},1\n',
    }
    expected = {
        "trec": [(1, user, item, 0.25, -1), (2, user, other, -3.0, -1)],
        "mmrec": [(2, "0", "5", None, 1), (2, "0", "3", None, 2)],
        "recbole": [(2, user, item, 0.25, -1)],
        "elliot": [(1, user, item, 0.25, -1)],
        "cornac": [(1, user, item, None, 1), (1, user, "3", None, 2)],
        "lenskit": [(2, user, item, 0.25, 1)],
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + content.encode())
        rows = LIST_FORMATS[name].read(path)
        scores = [None if np.isnan(score) else score for score in rows.scores]
        assert list(zip(rows.places, rows.users, rows.items, scores, rows.ranks, strict=True)) == expected[name], name
        assert rows.problems.found == []


@pytest.mark.parametrize("name", ["ranking", "ctr", "interactive"])
def test_other_tasks_have_no_list_files(name: str, runs: dict[str, Judged], tmp_path: Path) -> None:
    judged = runs[name]
    with pytest.raises(ProtocolError, match="for the retrieval task"):
        import_lists(tmp_path / "x", LIST_FORMATS["trec"], judged.experiment.config, judged.prepared)


def test_an_export_needs_lists_of_the_part(judged: Judged, tmp_path: Path) -> None:
    table = judged.artefact.rankings()
    with pytest.raises(DataError, match="no lists of the valid part; parts are test"):
        export_lists(tmp_path / "x", LIST_FORMATS["trec"], table[table["part"] == "test"], "valid")


@pytest.mark.parametrize("name", ["lists.parquet", "lists.csv"])
def test_where_nothing_can_be_written_the_reason_is_told(name: str, judged: Judged, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=f"{name}: cannot be written: No such file or directory"):
        export_lists(tmp_path / "none" / name, LIST_FORMATS["lenskit"], judged.artefact.rankings(), "test")


@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_an_export_needs_ids(column: str, judged: Judged, tmp_path: Path) -> None:
    table = judged.artefact.rankings()
    first = table.index[table["part"] == "test"][:3]
    absent = table.assign(**{column: table[column].astype(object).mask(table.index.isin(first))})
    with pytest.raises(DataError, match=rf"^3 row\(s\) of the test part have no {column}"):
        export_lists(tmp_path / "x", LIST_FORMATS["trec"], absent, "test")


@pytest.mark.parametrize(
    ("column", "message"), [("rank", "rank must hold whole numbers"), ("score", "score must hold finite numbers")]
)
def test_an_export_needs_numbers(column: str, message: str, judged: Judged, tmp_path: Path) -> None:
    table = judged.artefact.rankings().assign(**{column: "high"})
    with pytest.raises(DataError, match=message):
        export_lists(tmp_path / "x", LIST_FORMATS["trec"], table, "test")
