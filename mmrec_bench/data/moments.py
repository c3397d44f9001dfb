"""Moments in time, as people write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator

from mmrec_bench.settings import explained_error

FORM = "ISO 8601, such as 2014-01-01 or 2014-01-01T12:00:00Z, or whole seconds since 1970"
FARTHEST = 2**62
"""Beyond these seconds, on both sides of 1970, sums of moments no longer fit into 64 bits."""


def to_seconds(moment: int | str) -> int:
    """Return whole seconds since 1970-01-01 UTC of ISO 8601 text (UTC where no zone is given), or of seconds.

    Raises:
        ValueError: The text is no moment; the message says what one looks like.
    """
    if isinstance(moment, int):
        return moment
    try:
        parsed = datetime.fromisoformat(moment)
        return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise ValueError(f"a moment is {FORM}; got {moment!r}") from None


def to_text(seconds: int) -> str:
    """Return ISO 8601 text of seconds since 1970, or the number where the calendar ends."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"second {seconds}"


def _readable(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise explained_error(f"a moment is {FORM}; got {value!r}")
    try:
        seconds = to_seconds(value)
    except ValueError as error:
        raise explained_error(str(error)) from None
    if abs(seconds) > FARTHEST:
        raise explained_error(f"a moment lies within {FARTHEST} seconds of 1970; got {value}")
    return value


Moment: TypeAlias = Annotated[int | str, BeforeValidator(_readable)]
"""A field that takes a moment, ISO 8601 or seconds since 1970, and keeps it as it was written."""
