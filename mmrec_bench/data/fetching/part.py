"""The beginning of a file that is being fetched, kept so that the next try goes on where this one broke."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import NonNegativeInt, ValidationError

from mmrec_bench.settings import BaseConfig


class Origin(BaseConfig):
    """Whose bytes they are."""

    url: str
    """Address that was asked."""
    validator: str | None = None
    """What tells this version of the file from others, for ``If-Range``: a strong ETag, or the date of the last change.
    Without one nobody may go on."""
    total: NonNegativeInt | None = None
    """Size of the whole file, where the server tells."""


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes so far, and whose they are.

    Attributes:
        path: File of the bytes.
    """

    path: Path

    @property
    def note(self) -> Path:
        """File beside it, with its origin."""
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def n_bytes(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self, url: str) -> Origin | None:
        """Return the origin of bytes that a request to the address may go on from."""
        try:
            origin = Origin.model_validate_json(self.note.read_bytes())
        except (OSError, ValidationError):
            return None
        return origin if origin.url == url and origin.validator is not None and self.n_bytes else None

    def opened(self, origin: Origin, *, append: bool) -> BinaryIO:
        """Open it for the bytes of an origin: behind those that are there, or in their place."""
        if not append:
            self.drop()
            self.note.write_text(origin.model_dump_json())
        return self.path.open("ab" if append else "wb")

    def drop(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
