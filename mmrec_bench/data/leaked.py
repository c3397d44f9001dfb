"""What happened behind a cut in time, for the one probe that measures what it is worth to know it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mmrec_bench.data.point_rules import DAY, TimeWindow
from mmrec_bench.data.points import Points
from mmrec_bench.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class Leak:
    """The marker of everything that was made of rows behind the cut.

    Attributes:
        kind: What was made, such as ``id-embedding``.
        days: How far behind the cut was looked.
    """

    kind: str
    days: float


@dataclass(slots=True)
class LeakLedger:
    """All looks behind the cut, in order; the probe writes them into its manifest."""

    leaks: list[Leak] = field(default_factory=list)


class LeakedSplit:
    """The impressions from the cut T on, which can only be had as a `Leak` that is written down.

    No experiment, station or trainer is ever given one: `experiments.lis` makes it, opens it, and marks what comes out.

    Args:
        points: All impressions of a data set.
        rule: Where T is.
    """

    __slots__ = ("__behind", "__last", "cut")

    def __init__(self, points: Points, rule: TimeWindow) -> None:
        self.cut = rule.window(points.timestamps).cut
        self.__behind = points.select(points.timestamps >= self.cut)
        self.__last = int(points.timestamps[-1])

    def check(self, days: Sequence[float]) -> None:
        """Refuse horizons beyond the data, behind which nothing would be added.

        Raises:
            ProtocolError: Names the horizon, and the longest that there is.
        """
        longest = (self.__last - self.cut) / DAY
        if beyond := [horizon for horizon in days if horizon > longest]:
            raise ProtocolError(
                f"a horizon of {beyond[0]:g} days lies beyond the data, which end {longest:.1f} days behind the cut. "
                f"Choose days of at most {longest:.1f}, or an earlier cut"
            )

    def open(self, leak: Leak, ledger: LeakLedger) -> Points:
        """Return the impressions in [T, T + days), and record the leak.

        Raises:
            ProtocolError: The horizon lies beyond the data.
        """
        self.check([leak.days])
        ledger.leaks.append(leak)
        behind = self.__behind
        return behind.select(behind.timestamps < self.cut + leak.days * DAY)

    def __repr__(self) -> str:
        return "LeakedSplit(closed)"

    def __reduce__(self) -> tuple[object, ...]:
        raise ProtocolError("a leaked split cannot be pickled or copied")
