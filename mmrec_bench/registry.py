"""Registries: explicit dictionaries filled by explicit imports and, for third parties, by entry points."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from mmrec_bench.errors import RegistryError

E = TypeVar("E")


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice most like ``name``, or None when nothing is near."""
    matches = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return matches[0] if matches else None


PLUG_INS = "mmrec_bench."
"""How the names of all groups of entry points begin that registries look up."""


def plug_ins() -> tuple[EntryPoint, ...]:
    """Return the entry points of installed plug-ins, whether they can be imported or not."""
    points = entry_points()
    groups = sorted(group for group in points.groups if group.startswith(PLUG_INS))
    return tuple(point for group in groups for point in points.select(group=group))


MOST_LISTED = 60
"""Of more names than these a message lists the nearest few alone."""


def unknown_message(kind: str, name: str, choices: Iterable[str]) -> str:
    """Return ``unknown KIND 'NAME'; did you mean 'X'? known: A, B``."""
    known = sorted(choices)
    close = nearest(name, known)
    hint = f" did you mean '{close}'?" if close else ""
    if len(known) > MOST_LISTED:
        few = difflib.get_close_matches(name, known, n=8, cutoff=0.0)
        return f"unknown {kind} '{name}';{hint} nearest of {len(known)}: {', '.join(few)}"
    return f"unknown {kind} '{name}';{hint} known: {', '.join(known) or 'none'}"


class Registry(Generic[E]):
    """A dictionary of names that refuses duplicates and explains unknown names.

    Args:
        kind: What is registered, for messages (``model``).
        entry_point_group: Group of installed packages whose entry points are imported on first look-up, so that third
            parties add entries without touching this package. A broken entry point is named by the look-up that
            misses its name and never hides the others.
    """

    def __init__(self, kind: str, entry_point_group: str | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, E] = {}
        self._group = entry_point_group
        self._pending = entry_point_group is not None
        self._broken: dict[str, str] = {}

    def register(self, name: str, entry: E) -> None:
        """Add an entry.

        Raises:
            RegistryError: The name is taken.
        """
        if name in self._entries:
            raise RegistryError(f"{self.kind} '{name}' is already registered; choose another name")
        self._entries[name] = entry

    def __getitem__(self, name: str) -> E:
        self._load_entry_points()
        try:
            return self._entries[name]
        except KeyError:
            message = unknown_message(self.kind, name, self._entries)
            for source, reason in self._broken.items():
                message += f"; the plug-in {source} could not be imported: {reason}"
            raise RegistryError(message) from None

    def __contains__(self, name: object) -> bool:
        self._load_entry_points()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._load_entry_points()
        return iter(sorted(self._entries))

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        return tuple(self)

    @property
    def broken(self) -> dict[str, str]:
        """Plug-ins that could not be imported, with the reason."""
        self._load_entry_points()
        return dict(self._broken)

    def _load_entry_points(self) -> None:
        if not self._pending:
            return
        self._pending = False
        for point in entry_points(group=self._group or ""):
            try:
                point.load()
            except Exception as error:  # a third party's module may raise anything
                self._broken[f"{point.name} ({point.value})"] = f"{type(error).__name__}: {error}"
