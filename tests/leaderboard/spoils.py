"""Ways to spoil a submission, by accident or not."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mmrec_bench.leaderboard.pages import COMPRESSIONS, chunks_of
from mmrec_bench.leaderboard.thrift import structure
from mmrec_bench.leaderboard.verify import Verified
from tests.leaderboard.packed import Board, edit_card, edit_config, edit_json, edit_lists, repack

LISTS = "lists/seed-0.parquet"
Spoil = Callable[[Path], Any]


def said(change: Callable[[Any], Any]) -> Spoil:
    """Change ``submission.json``."""
    return lambda folder: edit_json(folder / "submission.json", change)


def set_to(**changes: Any) -> Spoil:
    return said(lambda content: content.update(changes))


def tuned(content: Any) -> None:
    content["tuning"] = {"study": "x", "search": {}, "budget": {"trials": 999}, "spent": {}, "trial": 1}


def reversed(table: pd.DataFrame) -> pd.DataFrame:
    """Turn every list upside down, under falling scores."""
    lists = table.groupby(["part", "list"])
    return table.assign(
        **{name: lists[name].transform(lambda column: column[::-1].to_numpy()) for name in ("item_id", "label")}
    )


def rows(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Spoil:
    """Change the lists, and pack anew."""
    return lambda folder: edit_lists(folder, change)


def column(name: str, value: Callable[[pd.DataFrame], Any]) -> Spoil:
    return rows(lambda table: table.assign(**{name: value(table)}))


def cell(name: str, row: int, value: Any) -> Spoil:
    """Change one cell of the lists."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        column = table[name].astype(object).tolist()
        column[row] = value
        dtype = table[name].dtype if not isinstance(value, str) else object
        return table.assign(**{name: pd.Series(column, dtype=dtype)})

    return rows(change)


def carded(change: Callable[[Any], Any]) -> Spoil:
    """Change the card, seal and pack it anew."""
    return lambda folder: edit_card(folder, change)


def carded_anyhow(change: Callable[[Any], Any]) -> Spoil:
    """Change the card to what is no card, and pack it anew."""
    return lambda folder: edit_card(folder, change, seal=False)


def configured(old: str, new: str) -> Spoil:
    """Change the text of the config, and pack it anew."""
    return lambda folder: edit_config(folder, old, new)


def as_folder(name: str) -> Spoil:
    """Put a folder where a file was, or none."""

    def replace(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return replace


def keyed(name: str, key: str) -> Spoil:
    """Put a key before all others of a JSON file."""

    def write(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("{", f"{{{key}: 1, ", 1), encoding="utf-8")
        repack(folder) if name != "submission.json" else None

    return write


def written(name: str, content: bytes) -> Spoil:
    """Write a file, and pack anew."""

    def write(folder: Path) -> None:
        (folder / name).write_bytes(content)
        repack(folder)

    return write


def parquet(table: pa.Table, **options: Any) -> Spoil:
    def write(folder: Path) -> None:
        pq.write_table(table, folder / LISTS, **options)
        repack(folder)

    return write


def beyond_dictionary(folder: Path) -> None:
    """Let indices of a later group of rows lead far beyond the texts that they name; no size in the file changes."""
    table = pq.read_table(folder / LISTS)
    plain = [table[name].cast(pa.string()) if name == "user_id" else table[name] for name in table.column_names]
    size = len(table) // 3 + 1
    options = {"compression": "none", "row_group_size": size, "use_dictionary": ["user_id"]}
    pq.write_table(pa.table(plain, names=table.column_names), folder / LISTS, **options)
    content = bytearray((folder / LISTS).read_bytes())
    told = pq.ParquetFile(pa.BufferReader(bytes(content))).metadata.row_group(1)
    names = [told.column(place).path_in_schema for place in range(told.num_columns)]
    offset = told.column(names.index("user_id")).data_page_offset
    header, start = structure(bytes(content), offset)
    levels = 4 + int.from_bytes(content[start : start + 4], "little")
    run = bytes([32]) + varint(told.num_rows << 1) + (2**31 - 1).to_bytes(4, "little")  # one value, again and again
    assert levels + len(run) <= header[3]
    content[start + levels : start + levels + len(run)] = run
    (folder / LISTS).write_bytes(content)
    repack(folder)


def unknown_codec(folder: Path) -> None:
    """Let the footer name a compression that there is none of."""
    content = (folder / LISTS).read_bytes()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    (codec,) = {chunk.compression for chunk in chunks_of(content)}
    field = bytes([0x15, 2 * COMPRESSIONS.index(codec)])
    place = footer
    while (place := content.index(field, place + 1)) > 0:
        changed = content[: place + 1] + bytes([46]) + content[place + 2 :]
        if "codec 23" in {chunk.compression for chunk in chunks_of(changed)}:
            break
    (folder / LISTS).write_bytes(changed)
    repack(folder)


def varint(number: int, width: int = 1) -> bytes:
    """Return a number as Thrift writes it, in at least so many bytes."""
    digits = []
    while number or len(digits) < width:
        digits.append(number & 127 | 128)
        number >>= 7
    digits[-1] &= 127
    return bytes(digits)


def with_nan(name: str) -> Spoil:
    """Put a NaN, not a missing value, into a column."""

    def write(folder: Path) -> None:
        table = pq.read_table(folder / LISTS)
        values = table[name].to_numpy().copy()
        values[3] = np.nan
        place = table.column_names.index(name)
        parquet(table.set_column(place, name, pa.array(values, from_pandas=False)))(folder)

    return write


def linked(name: str) -> Spoil:
    """Move a file, or folder, out of the submission and leave a link."""

    def link(folder: Path) -> None:
        outside = folder.parent / "outside" / name
        outside.parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(outside)
        (folder / name).symlink_to(outside)

    return link


def flip(name: str) -> Spoil:
    def flip(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(bytes(data))

    return flip


def raise_claim(content: Any) -> None:
    content["claimed"]["test"]["recall@10"]["mean"] += 0.01


def raise_consistently(folder: Path) -> None:
    """Raise a number in the card and in the claims, with digests that fit."""

    def card(content: Any) -> None:
        content["metrics"]["test"]["recall@10"]["mean"] += 0.01

    edit_card(folder, card)
    edit_json(folder / "submission.json", raise_claim)


def swapped(table: pd.DataFrame) -> pd.DataFrame:
    """Give the list of one user to another."""
    one, other = table.loc[table["part"] == "test", "user_id"].unique()[:2]
    return table.assign(user_id=table["user_id"].replace({one: other, other: one}))


def tied(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the order of a good system under a score that is the same for all."""
    return table.assign(score=np.float32(1.0))


def bomb() -> pa.Table:
    """Many rows in few bytes."""
    n = 3_000_000
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array(["test"]))
    rank, score = pa.array(np.ones(n, np.int32)), pa.array(np.zeros(n, np.float32))
    return pa.table({"part": text, "user_id": text, "rank": rank, "item_id": text, "score": score})


def long_text(folder: Path) -> None:
    table = pd.read_parquet(folder / LISTS)
    ids = table["item_id"].astype(str).tolist()
    ids[0] = "x" * 80_000_000
    columns = {name: pa.array(table[name].astype(str)) for name in ("part", "user_id")}
    columns |= {"rank": pa.array(table["rank"]), "item_id": pa.array(ids), "score": pa.array(table["score"])}
    pq.write_table(pa.table(columns), folder / LISTS, compression="zstd")
    repack(folder)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed-by-pickle",)


def zipped(folder: Path) -> None:
    with zipfile.ZipFile(folder / LISTS, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../escaped", b"0" * 10_000_000)
    repack(folder)


def reasons(verified: Verified, file: str) -> str:
    """Return what was refused about a file."""
    assert verified.refused
    return "\n".join(c.message for c in verified.checks if c.verdict == "fail" and file in c.message)


def copied(board: Board, tmp_path: Path, track: str, entry: str | None = None) -> Path:
    folder = tmp_path / track / (entry or track)
    shutil.copytree(board.root / track / (entry or track), folder)
    return folder
