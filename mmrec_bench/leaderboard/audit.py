"""Audits: a person has read the code behind a submission whose config gave its numbers again, and signs for it."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from mmrec_bench.errors import ArtefactError, ConfigError, ConfigIssue
from mmrec_bench.leaderboard.record import VerificationRecord
from mmrec_bench.leaderboard.verify import Verification
from mmrec_bench.leaderboard.words import Line


def audit(path: Path, verification: Verification, by: str) -> VerificationRecord:
    """Verify a submission and return its record with the word of who has read its code.

    Args:
        path: Folder of the submission.
        verification: Verifies it first.
        by: Who, when and what was read: one line of plain text.

    Raises:
        ArtefactError: It is refused, or its config was not run again.
        ConfigError: The line is empty, too long, or no plain text.
    """
    try:
        line = TypeAdapter(Line).validate_python(by.strip())
    except ValidationError as error:
        raise ConfigError("leaderboard audit", [ConfigIssue("--by", error.errors()[0]["msg"])]) from None
    record = verification(path).accepted("Nothing was signed")
    if record.rerun is None:
        raise ArtefactError(
            f"{path}: is {record.status}; code is read after its config gave the numbers again. "
            f"Run `mmrec-bench leaderboard rerun {path}` first"
        )
    return record.model_copy(update={"audit": line, "status": "audited"}).sealed()
