"""What a format of list files is, and what formats share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pandas as pd

from mmrec_bench.errors import DataError, ResourceError
from mmrec_bench.leaderboard.alignment import told
from mmrec_bench.leaderboard.bridges.rows import Rows


class ListFormat(ABC):
    """A format of retrieved lists.

    Attributes:
        name: Name on the command line.
        reads: What is read, in words.
        follows_rank: Whether the scores must not contradict the rank; otherwise a rank beside scores is not looked at.
    """

    name: ClassVar[str]
    reads: ClassVar[str]
    follows_rank: ClassVar[bool] = False

    @abstractmethod
    def read(self, path: Path) -> Rows:
        """Read a file.

        Raises:
            DataError: It cannot be read at all; what is wrong with single rows stands in `Rows.problems`.
        """

    @abstractmethod
    def write(self, path: Path, table: pd.DataFrame) -> None:
        """Write lists.

        Args:
            path: The file.
            table: ``user_id``, ``item_id``, ``rank`` (1 = top) and ``score``, lists one after the other from the top.

        Raises:
            DataError: Lists or ids that the format cannot hold.
        """


def roles(path: Path, names: Sequence[str], known: Mapping[str, str], needed: Sequence[str]) -> dict[str, int]:
    """Return the place of the column of each role, such as ``user``.

    Args:
        path: The file, for messages.
        names: Header.
        known: Role of each column name that is read.
        needed: Roles without which a file cannot be read.

    Raises:
        DataError: A role that is needed has no column, or one has two.
    """
    found: dict[str, int] = {}
    for place, name in enumerate(names):
        if (role := known.get(name)) is None:
            continue
        if role in found:
            raise DataError(f"{path}: two columns of the header give the {role}: {names[found[role]]} and {name}")
        found[role] = place
    for role in needed:
        if role not in found:
            allowed = " or ".join(name for name, other in known.items() if other == role)
            raise DataError(f"{path}: the header has no column {allowed}; it has {told(names)}")
    return found


def cells_of(table: pd.DataFrame) -> Iterator[tuple[str, str, int, str]]:
    """Yield user, item, rank and score of each row; the score is the shortest text that reads as the same float32."""
    users, items = (table[name].astype(str).tolist() for name in ("user_id", "item_id"))
    scores = [str(score) for score in table["score"].to_numpy("float32")]
    return zip(users, items, table["rank"].tolist(), scores, strict=True)


def refuse_ids(path: Path, table: pd.DataFrame, is_bad: Callable[[str], bool], rule: str) -> None:
    """Refuse ids that a format cannot hold.

    Raises:
        DataError: Names some of them.
    """
    ids = pd.unique(pd.concat([table["user_id"].astype(object), table["item_id"].astype(object)]).astype(str))
    if bad := [text for text in ids if not text or is_bad(text)]:
        raise DataError(
            f"{path}: ids of this format hold {rule}; {len(bad)} do not: {told([repr(one) for one in bad])}. Give "
            "others with --user-map and --item-map"
        )


def breaks_columns(text: str) -> bool:
    """Return whether a text would break a row of tab-separated columns."""
    return any(mark in text for mark in "\t\r\n") or text != text.strip()


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines of UTF-8 text.

    Raises:
        ResourceError: The file cannot be written.
    """
    with _writing(path), path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet.

    Raises:
        ResourceError: The file cannot be written.
    """
    with _writing(path), path.open("wb") as file:
        table.to_parquet(file, index=False)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written: {error.strerror or error}") from None
