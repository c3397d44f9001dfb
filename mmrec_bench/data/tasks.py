"""Calls that may be made elsewhere: what they return stays there until it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Tasks(Protocol):
    """Makes calls, here or on a cluster.

    What is *held* lies where it was made; only `get` brings it here. Functions are those of modules, and what they take
    and return is text, bytes and arrays of numbers or text.
    """

    @property
    def at_once(self) -> int:
        """Calls that may go on at the same time."""

    def put(self, value: Any) -> Any:
        """Return a value as held, for calls that share it."""

    def call(self, function: Callable[..., Any], *given: Any) -> Any:
        """Return what a function makes of values or held ones, held."""

    def parts(self, function: Callable[..., tuple[Any, ...]], n: int, *given: Any) -> list[Any]:
        """Return the ``n`` values, two or more, of the tuple that a function returns, each held on its own."""

    def get(self, held: Sequence[Any]) -> list[Any]:
        """Return held values; waits for them."""


class Here:
    """Makes calls in this process, each at once (implements `Tasks`)."""

    at_once = 1

    def put(self, value: Any) -> Any:
        """Return the value as it is."""
        return value

    def call(self, function: Callable[..., Any], *given: Any) -> Any:
        """Return what the function returns."""
        return function(*given)

    def parts(self, function: Callable[..., tuple[Any, ...]], n: int, *given: Any) -> list[Any]:
        """Return the values of the tuple that the function returns."""
        values = function(*given)
        assert len(values) == n
        return list(values)

    def get(self, held: Sequence[Any]) -> list[Any]:
        """Return the values as they are."""
        return list(held)


def of_each(tasks: Tasks, function: Callable[..., Any], held: Sequence[Any], *shared: Any) -> list[Any]:
    """Return ``function(one, *shared)`` of each, held; what is shared is put there once."""
    there = [tasks.put(value) for value in shared]
    return [tasks.call(function, one, *there) for one in held]
