"""Reading what strangers send: sizes and depth are known before anything is parsed, and no link is followed."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from mmrec_bench.errors import ArtefactError
from mmrec_bench.settings import MAX_BYTES, BaseConfig, Document

MAX_DEPTH = 32
"""A document nested deeper than this is refused."""
MAX_KEY = 200
"""Letters of a key."""
MAX_PLACES = 8 << 20
"""Letters of the places of all values of a document: of the keys that lead to each, as messages tell them."""
_BRACKET = re.compile(r'(?:[^][{}"]++|"(?:[^"\\]++|\\.)*+"?)*+([][{}]|\Z)', re.DOTALL)
"""The next bracket outside texts, or the end; nothing is gone back over, so that any content takes one pass."""

C = TypeVar("C", bound=BaseConfig)


def read_bytes(path: Path, limit: int = MAX_BYTES, root: Path | None = None) -> bytes:
    """Return the content of a regular file that is no link, nor lies behind one.

    Args:
        path: The file.
        limit: Most bytes that are read.
        root: Folder above the file, below which no folder may be a link either; the file's own by default.

    Raises:
        ArtefactError: There is none, it is a link or no file, or it is larger.
    """
    with ExitStack() as opened:
        descriptor = _open(path, path.parent if root is None else root, opened)
        told = os.fstat(descriptor)
        if not stat.S_ISREG(told.st_mode):
            raise ArtefactError(f"{path}: is no regular file")
        file = opened.enter_context(open(descriptor, "rb", closefd=False))
        content = file.read(limit + 1) if told.st_size <= limit else b""
        if told.st_size > limit or len(content) > limit:
            raise ArtefactError(f"{path}: has {told.st_size:,} bytes; at most {limit:,} are read")
        return content


def _open(path: Path, root: Path, opened: ExitStack) -> int:
    """Open a file from its root downwards, folder by folder, and have all that is opened closed in the end.

    Neither a link nor a pipe that never ends may stand for a part of the path, not even one put there a moment ago.
    """
    place = root
    try:
        within = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.callback(os.close, within)
        for name in path.relative_to(root).parts:
            place = place / name
            kind = 0 if place == path else os.O_DIRECTORY
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            within = os.open(name, flags | kind, dir_fd=within)
            opened.callback(os.close, within)
        return within
    except OSError as error:
        what = "is a link" if place.is_symlink() else f"cannot be read: {error.strerror}"
        what = what if place in (root, path) else f"its folder {place.relative_to(root)} {what}"
        raise ArtefactError(f"{path}: {what}") from None


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object: no key twice, no NaN or endless number, no half of a character, no deep nesting.

    Raises:
        ArtefactError: It is none.
    """
    return parse_object(read_bytes(path), path)


def parse_object(content: bytes, path: Path) -> dict[str, Any]:
    """Parse the content of a JSON file; see `read_object`."""

    def refuse(constant: str) -> NoReturn:
        raise ArtefactError(f"{path}: holds {constant}, which is no number of JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
            raise ArtefactError(f"{path}: holds the key {twice[:80]!r} twice")
        return found

    try:
        text = content.decode("utf-8")
        _check_depth(text, path)
        data = json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{path}: is no JSON: {why_no_json(error)}") from None
    if not isinstance(data, dict):
        raise ArtefactError(f"{path}: must hold a JSON object; got {type(data).__name__}")
    _check_written(data, path)
    check_places(data, path)
    return data


def why_no_json(error: Exception) -> str:
    """Return in words why a text could not be read as JSON, from the error that reading it has raised."""
    match error:
        case UnicodeDecodeError():
            return f"byte {error.start + 1:,} is no UTF-8"
        case json.JSONDecodeError() if error.doc.startswith("\ufeff"):
            return "it begins with a byte order mark; write it without"
        case json.JSONDecodeError():
            return f"{error.msg}, line {error.lineno}, column {error.colno}"
        case RecursionError():
            return "it is nested too deeply"
    return f"it holds a whole number of more than {sys.get_int_max_str_digits():,} digits"


def check_places(data: Any, path: Path) -> None:
    """Refuse keys, and places of values, that take long to be told: a long key leads to everything below it.

    Raises:
        ArtefactError: A key, or all places together, have too many letters.
    """
    letters, nodes = 0, [(data, 0)]
    while nodes:
        node, above = nodes.pop()
        below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in below:
            if len(name := str(key)) > MAX_KEY:
                raise ArtefactError(
                    f"{path}: holds the key {name[:40]!a}..., of {len(name):,} letters; at most {MAX_KEY}"
                )
            place = above + len(name) + 1
            letters += place
            if isinstance(value, (dict, list)):
                nodes.append((value, place))
        if letters > MAX_PLACES:
            raise ArtefactError(
                f"{path}: the keys that lead to its values have more than {MAX_PLACES:,} letters in all"
            )


def _check_written(data: dict[str, Any], path: Path) -> None:
    """Refuse what can be read and cannot be written again, of which there is no digest."""
    try:
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise ArtefactError(f"{path}: holds {error.object[error.start]!a}, which is half of a character") from None
    except ValueError:
        raise ArtefactError(f"{path}: holds a number that is too great to be read, such as 1e999") from None


def _check_depth(text: str, path: Path) -> None:
    """Refuse deep nesting before anything is parsed."""
    depth = 0
    for found in _BRACKET.finditer(text):
        if found[1] in ("{", "["):
            depth += 1
            if depth > MAX_DEPTH:
                raise ArtefactError(f"{path}: is nested deeper than {MAX_DEPTH} levels")
        else:
            depth -= 1


def read_document(path: Path, form: type[C]) -> C:
    """Read a JSON file as a typed object.

    Raises:
        ArtefactError: It cannot be read.
        ConfigError: It is not of this form; lists all issues.
    """
    return Document(str(path), read_object(path)).parse(form)
