"""Moments in time, as people write them."""

from __future__ import annotations

from datetime import UTC, datetime


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
        example = "ISO 8601, such as 2014-01-01 or 2014-01-01T12:00:00Z, or seconds since 1970"
        raise ValueError(f"a moment is {example}; got {moment!r}") from None


def to_text(seconds: int) -> str:
    """Return ISO 8601 text of seconds since 1970, or the number where the calendar ends."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"second {seconds}"
