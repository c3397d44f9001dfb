"""The protocol of the interactive task: who comes online, what is on the table, who answers, and what counts."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PlainValidator, PositiveInt, SerializeAsAny, model_validator

from mmrec_bench.data.lexicon import Supports
from mmrec_bench.data.online_users import OnlineUsers
from mmrec_bench.data.rules import SplitRule
from mmrec_bench.errors import ProtocolError
from mmrec_bench.evaluation.protocol import ProtocolConfig, check_names
from mmrec_bench.evaluation.session_candidates import CandidateRule, SampledCandidates
from mmrec_bench.evaluation.simulated_users import NoiseFreeUser, SimulatedUser
from mmrec_bench.metrics.identity import ids_of
from mmrec_bench.metrics.sessions import SESSION_METRICS, SessionOptions
from mmrec_bench.registry import Registry
from mmrec_bench.settings import BaseConfig, check_rising, explained_error, named

EVALUATOR_VERSION = 1
"""Raised whenever the same sessions would give other numbers; part of every protocol id."""


class QueriesConfig(BaseConfig):
    """Which words are of use; base of the rules that say what may be asked."""

    name: str
    fields: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Fields that words are taken from; all that the data set has by default."""
    title_min_items: PositiveInt | None = None
    """Words of titles that at least this many items share are words, too; none by default."""
    min_items: PositiveInt = 5
    """Items that a word or a mined query has to match, at least."""
    max_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the items that it may match, at most."""

    @property
    def supports(self) -> Supports:
        """Which words are of use."""
        return Supports(self.min_items, self.max_share, self.title_min_items, self.fields)


class MinedQueries(QueriesConfig):
    """Words, and pairs of words that enough items have together."""

    name: Literal["mined"] = "mined"
    max_words: Literal[1, 2] = 2
    """Words of a query, at most."""


class LoggedQueries(QueriesConfig):
    """Words, and queries that people have written."""

    name: Literal["logged"] = "logged"
    file: str
    """JSON lines in the data folder, ``{"words": [["brand", "3M"], ...]}`` each, one a query or session."""
    min_count: PositiveInt = 1
    """How often a query has to be in the file."""


QUERIES: Registry[type[QueriesConfig]] = Registry("source of queries")
"""Config classes of sources of queries by name."""

for _config in (MinedQueries, LoggedQueries):
    QUERIES.register(_config.model_fields["name"].default, _config)

QueryRule = Annotated[
    SerializeAsAny[QueriesConfig], PlainValidator(named(lambda: QUERIES, QueriesConfig, lambda rule: rule))
]
"""A field that takes ``mined``, or ``{name: logged, file: ...}``."""


class InteractiveProtocol(ProtocolConfig):
    """How sessions are held and judged."""

    split: SplitRule = OnlineUsers()
    """``online-users``: who is online, and what of them is held out."""
    candidates: CandidateRule = SampledCandidates()
    """Items on the table: ``sampled``, or the ``full`` catalogue."""
    queries: QueryRule = MinedQueries()
    """What may be asked."""
    user: SimulatedUser = NoiseFreeUser()
    """Who answers."""
    sessions_per_user: PositiveInt = 1
    """Sessions of each online user; sampled candidates are drawn anew for each."""
    slots: PositiveInt = 1
    """Items and queries that are shown in a round."""
    cutoffs: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (3, 5, 10)
    """Numbers of rounds K, rising; sessions are as long as the last."""
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = ("success", "turns", "mrr", "first-rank")
    """Names of metrics."""
    select_by: str = "success@5"
    """Validation metric by which weights are chosen, higher is better; never rounded, never of the test part."""
    last_guess: bool = True
    """Whether the best item after K rounds is shown once more, and counts as K rounds."""
    penalty: NonNegativeFloat = 3.0
    """Rounds that a failure counts beyond K."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not isinstance(self.split, OnlineUsers):
            raise explained_error(
                f"weights must not learn from those who come online, so protocol.split is online-users; got "
                f"{self.split.name}"
            )
        check_rising("cutoffs", self.cutoffs)
        if isinstance(self.candidates, SampledCandidates) and self.slots > self.candidates.n:
            raise explained_error(
                f"slots must not exceed candidates.n, for one round would show all; got {self.slots} and "
                f"{self.candidates.n}"
            )
        check_names("metrics", self.metrics, SESSION_METRICS)
        rising = [text for text in self.metric_ids if SESSION_METRICS[text.partition("@")[0]].higher_is_better]
        self.check_select_by(rising)
        return self

    @property
    def options(self) -> SessionOptions:
        """What counts."""
        return SessionOptions(self.last_guess, self.penalty)

    @property
    def metric_ids(self) -> tuple[str, ...]:
        """All ``name@k`` of this protocol, in the order of metrics, then cutoffs."""
        return ids_of(self.metrics, self.cutoffs)

    def check_catalogue(self, n_items: int, where: str) -> None:
        """Refuse a catalogue with fewer items than candidates, or than slots.

        Raises:
            ProtocolError: Names the setting, the number of items and the remedy.
        """
        self.candidates.check_catalogue(n_items, where)
        if self.slots > n_items:
            raise ProtocolError(f"protocol.slots is {self.slots}, and there are {n_items} items. Lower it in {where}")

    @property
    def id(self) -> str:
        """Readable name plus a digest of all settings, such as ``interactive/sampled-30/noise-free/1f2e3d4c``."""
        code = self.digest(EVALUATOR_VERSION, {name: SESSION_METRICS[name].version for name in self.metrics})
        return f"interactive/{self.candidates.label}/{self.user.name}/{code}"
