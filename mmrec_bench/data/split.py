"""A split of a payload, with the test part sealed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic

from mmrec_bench.data.arrays import digest
from mmrec_bench.data.dataset import P
from mmrec_bench.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class VaultOpening:
    """One look at the test part.

    Attributes:
        time: UTC, ISO 8601.
        purpose: Why, in words.
    """

    time: str
    purpose: str


@dataclass(slots=True)
class VaultLedger:
    """All openings of one run's test vault, in order; the run writes them into its manifest."""

    openings: list[VaultOpening] = field(default_factory=list)

    def record(self, purpose: str) -> None:
        """Note an opening now."""
        self.openings.append(VaultOpening(datetime.now(UTC).isoformat(timespec="seconds"), purpose))


class SealedTest(Generic[P]):
    """The test part of a split, which can only be had by an opening that is written down.

    Trainer, tuner and samplers receive the train part and a ``validate`` callable, never this object.
    """

    __slots__ = ("__part",)

    def __init__(self, part: P) -> None:
        self.__part = part

    def open(self, purpose: str, ledger: VaultLedger) -> P:
        """Return the test part and record why in the ledger.

        Raises:
            ProtocolError: The purpose is empty.
        """
        if not purpose.strip():
            raise ProtocolError("opening the test vault needs a purpose, which is written to the manifest")
        ledger.record(purpose)
        return self.__part

    def fingerprint(self) -> str:
        """Return the content fingerprint of the sealed part, which reveals nothing else."""
        return self.__part.fingerprint()

    def __repr__(self) -> str:
        return "SealedTest(sealed)"

    def __reduce__(self) -> tuple[object, ...]:
        raise ProtocolError("a sealed test part cannot be pickled or copied")


@dataclass(frozen=True, slots=True)
class SplitReport:
    """What a split did; all counts are of the delivered data unless said otherwise.

    Attributes:
        counts: Interactions (or lists, or points) of ``train``, ``valid`` and ``test`` after the cold-user rule.
        users: Users with at least one row in each part.
        cold_users: Users of each held-out part without a row in train.
        cold_users_dropped: Rows removed from each held-out part because their user is cold.
        cold_items: Distinct items of each held-out part that never occur in train; they stay candidates.
        notes: Anything else worth knowing (ties in time, users too short to split), one sentence each.
    """

    counts: Mapping[str, int]
    users: Mapping[str, int]
    cold_users: Mapping[str, int]
    cold_users_dropped: Mapping[str, int]
    cold_items: Mapping[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Split(Generic[P]):
    """Train, validation and sealed test parts, pairwise disjoint.

    Attributes:
        train: What models learn from.
        valid: What selection looks at.
        test: What is opened once.
        report: Counts.
    """

    train: P
    valid: P
    test: SealedTest[P]
    report: SplitReport

    def __post_init__(self) -> None:
        for name, part in (("training", self.train), ("validation", self.valid)):
            if len(part) == 0:
                raise ProtocolError(
                    f"the {name} part of the split is empty; there is no fall-back. Choose another split"
                )

    def fingerprint(self) -> str:
        """Return the content fingerprint of all three parts."""
        return digest(self.train.fingerprint(), self.valid.fingerprint(), self.test.fingerprint())
