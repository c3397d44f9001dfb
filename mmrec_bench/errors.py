"""Every error a user can meet. Messages say what was wrong, the value, what is allowed, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class MMRecBenchError(Exception):
    """Base class: whatever bad input or a broken environment causes is one of its children."""


@dataclass(frozen=True, slots=True)
class ConfigIssue:
    """One thing wrong with a configuration.

    Attributes:
        path: Dotted path inside the document, such as ``model.n_layers``; empty for the whole document.
        message: What is wrong, the value, and what is allowed.
        line: One-based line in the file, where it is known.
    """

    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.path or "document"
        return f"{where}: {self.message}" + (f" (line {self.line})" if self.line is not None else "")


class ConfigError(MMRecBenchError):
    """A configuration that cannot be used; lists all its issues at once."""

    def __init__(self, source: str, issues: Sequence[ConfigIssue]) -> None:
        self.source = source
        self.issues = tuple(issues)
        count = "1 error" if len(self.issues) == 1 else f"{len(self.issues)} errors"
        super().__init__(f"{source}: {count}\n" + "\n".join(f"  {issue}" for issue in self.issues))

    def within(self, *places: str, line: int | None = None) -> list[ConfigIssue]:
        """Return the issues as those of a document that names this one.

        Args:
            places: Where it is named there.
            line: Its line there.
        """
        return [
            ConfigIssue(", ".join((*places, self.source, issue.path or "document")), issue.message, line)
            for issue in self.issues
        ]


class RegistryError(MMRecBenchError):
    """A name that is not registered, or registered twice."""


class DataError(MMRecBenchError):
    """Data files or arrays that break their contract."""


class ProtocolError(MMRecBenchError):
    """A protocol that the data cannot satisfy, such as a split without a validation part."""


class ModelError(MMRecBenchError):
    """A model that cannot work with what it was given, such as a missing modality."""


class TrainingError(MMRecBenchError):
    """Training that cannot go on, such as a non-finite loss."""


class ResourceError(MMRecBenchError):
    """Too little memory, disk or accelerator for what was asked."""


class ArtefactError(MMRecBenchError):
    """A run folder that is missing, locked, damaged or of another schema."""


class MissingExtraError(MMRecBenchError):
    """A package of an optional extra is not installed; the message names the pip command."""
