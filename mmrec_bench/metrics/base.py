"""What metrics of all kinds say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["higher", "lower", "one"]
"""Which values are better; ``one``: those that are nearer to 1."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A registered metric; a subclass computes it.

    Attributes:
        name: Registered name.
        version: Raised when the numbers of a name change.
        label: Name in tables.
        formula: LaTeX, in the notation of the module that registers it.
        denominator: What is divided by, in words.
    """

    name: str
    version: int
    label: str
    formula: str
    denominator: str

    def at(self, cutoff: int) -> str:
        """Return the name at a cutoff with its version, such as ``ndcg@20/v1``, for footnotes and manifests."""
        return f"{self.name}@{cutoff}/v{self.version}"
