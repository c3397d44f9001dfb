"""What is written down beside a fetched file, so that a later change is noticed."""

from __future__ import annotations

from pathlib import Path

from pydantic import NonNegativeInt, ValidationError

from mmrec_bench.data.downloads import Digest
from mmrec_bench.errors import DataError
from mmrec_bench.settings import BaseConfig


class Record(BaseConfig):
    """A file as it was when it was fetched."""

    sha256: Digest
    """Digest of its bytes."""
    n_bytes: NonNegativeInt
    """Its size."""
    changed: NonNegativeInt
    """Time of its last change in nanoseconds, by the file system: where it still holds, the file is not read again."""
    url: str | None
    """Where it came from; none where somebody put it there."""

    @classmethod
    def of(cls, path: Path, sha256: str, url: str | None) -> Record:
        """Return the record of a file."""
        facts = path.stat()
        return cls(sha256=sha256, n_bytes=facts.st_size, changed=facts.st_mtime_ns, url=url)

    def is_of(self, path: Path) -> bool:
        """Whether a file looks as it did: its size and the time of its last change."""
        facts = path.stat()
        return (facts.st_size, facts.st_mtime_ns) == (self.n_bytes, self.changed)

    def write(self, path: Path) -> None:
        """Write it beside the file, whole or not at all."""
        partial = record_path(path).with_suffix(".partial")
        partial.write_text(self.model_dump_json(indent=2) + "\n")
        partial.replace(record_path(path))


def record_path(path: Path) -> Path:
    """Return where the record of a file lies."""
    return path.with_name(f"{path.name}.fetched.json")


def record_of(path: Path) -> Record | None:
    """Return what was written down of a file, or None.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return Record.model_validate_json(record_path(path).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{record_path(path)}: is no record of a fetched file ({str(error).splitlines()[0]}). Delete it, so that "
            "one is written anew"
        ) from None


def check_same(path: Path, digest: str, of_card: str | None) -> Record | None:
    """Check that a file is that of the card, or, where the card knows no digest, the one that was fetched.

    Args:
        path: The file.
        digest: Its sha256.
        of_card: That of the card, or None.

    Returns:
        What was written down of it, or None.

    Raises:
        DataError: It is another file.
    """
    known = record_of(path)
    wanted = of_card if of_card is not None or known is None else known.sha256
    if wanted is not None and digest != wanted:
        source = "the card says" if of_card is not None else "when it was fetched it was"
        raise DataError(
            f"{path}: is another file: sha256 {digest}, {source} {wanted}. Delete it to fetch it again"
            + ("" if of_card is not None else f", or delete {record_path(path)} if this one is right")
        )
    return known
