"""Names of metrics at a cutoff, such as ``recall@20``: written, parsed and checked in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mmrec_bench.errors import ProtocolError
from mmrec_bench.registry import unknown_message


@dataclass(frozen=True, slots=True, order=True)
class MetricId:
    """A metric at a cutoff.

    Attributes:
        name: Registered name, such as ``recall``.
        cutoff: k, the number of top places that count.
    """

    name: str
    cutoff: int

    def __str__(self) -> str:
        return f"{self.name}@{self.cutoff}"


def ids_of(names: Iterable[str], cutoffs: Sequence[int]) -> tuple[str, ...]:
    """Return all ``name@k``, in the order of names, then cutoffs."""
    return tuple(str(MetricId(name, k)) for name in names for k in cutoffs)


def parse_metric(text: str, names: Iterable[str]) -> MetricId:
    """Read ``NAME@K``.

    Args:
        text: Such as ``recall@20``.
        names: Names that are allowed; pass `METRICS` or `CATALOGUE_METRICS`.

    Raises:
        ProtocolError: Another form, an unknown name, or a cutoff that is no whole number from 1 on.
    """
    name, at, cutoff = text.partition("@")
    if not at:
        raise ProtocolError(f"a metric is written name@k, such as recall@20; got '{text}', which has no cutoff")
    known = tuple(names)
    if name not in known:
        raise ProtocolError(f"{unknown_message('metric', name, known)} (in '{text}')")
    if not re.fullmatch(r"[1-9][0-9]{0,9}", cutoff):
        raise ProtocolError(f"the cutoff of a metric is a whole number from 1 on; got '{cutoff}' in '{text}'")
    return MetricId(name, int(cutoff))


def checked_cutoffs(cutoffs: Iterable[int], n_items: int, metric: str = "recall") -> tuple[int, ...]:
    """Return cutoffs in ascending order.

    Args:
        cutoffs: Values of k.
        n_items: Number of items of the catalogue.
        metric: Name of a metric, for the message.

    Raises:
        ProtocolError: None given, one given twice, or one that is not in 1..n_items.
    """
    given = tuple(cutoffs)
    if not given:
        raise ProtocolError("protocol.cutoffs is empty; give at least one, such as [5, 10, 20, 50]")
    if len(set(given)) < len(given):
        raise ProtocolError(f"protocol.cutoffs must differ from each other; got {list(given)}")
    for cutoff in given:
        if not 1 <= cutoff <= n_items:
            remedy = "Lower" if cutoff > n_items else "Raise"
            raise ProtocolError(
                f"{metric}@k needs 1 <= k <= n_items ({n_items}); got {cutoff}. {remedy} protocol.cutoffs"
            )
    return tuple(sorted(given))
