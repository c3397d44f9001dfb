"""InfoRank: one observation factor, and relevance that is independent of it given the features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator
from torch import Tensor, nn

from mmrec_bench.list_losses import of_log_probabilities
from mmrec_bench.models.base import MODELS, Citation, LossTerms
from mmrec_bench.models.ranking.base import GradientRanker, ListBatch, ListInputs, RankingContext, ScoringRanker
from mmrec_bench.models.ranking.fields import FieldsConfig
from mmrec_bench.models.ranking.joints import Joint, gaussian_information, log_linear, of_margins
from mmrec_bench.models.ranking.observation import SHOWN_DIM, PopularityOf, ShownEncoder, by_rank
from mmrec_bench.models.ranking.row_attention import Attention, RowEncoder
from mmrec_bench.models.ranking.scorers import Head
from mmrec_bench.row_share import all_rows, mean_over, total
from mmrec_bench.settings import explained_error

MEAN_STEP = 0.01
"""Step of the running mean of observation, or one over the batches of an epoch where they are fewer."""


class InfoRankConfig(FieldsConfig):
    """Settings of `InfoRank`."""

    name: Literal["inforank"] = "inforank"
    learns_from: Literal["clicks"] = "clicks"
    """It takes the biases out of ``clicks``."""
    attention: Attention = "field"
    """What attends to each other: the ``field``s of one row (user, item and their features), the rows of a ``list``, or
    nothing (``none``). The values of a row are one field: where there is no other, ``field`` has nothing to attend
    to."""
    n_layers: PositiveInt = 1
    """Blocks of attention."""
    n_heads: PositiveInt = 2
    """Heads of each; a divisor of ``embedding_dim``."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout within the blocks."""
    observation: Literal["bias", "bias+context"] = "bias"
    """What observation hangs on: how a row was shown (``bias``), or also its features (``bias+context``), the more
    literal reading of the abstract, by which relevance can leak into observation."""
    popularity: PopularityOf = "exposures"
    """What makes an item popular, beside its position: ``exposures`` or ``clicks`` in train; ``none`` leaves position
    alone."""
    joint: Literal["chain", "log-linear", "three-head"] = "chain"
    """Heads of P(o, r | x): P(o), P(r | o=1) and P(r | o=0) (``chain``); log-weights of o, of r and of both
    (``log-linear``); or P(o), P(r) and where P(o, r) stands between its bounds (``three-head``)."""
    cmi: Literal["exact", "batch"] = "exact"
    """Dependence that is punished: the ``exact`` conditional mutual information of o and r of each row; or that of the
    two estimates over a ``batch``, at each position, as if they were normal."""
    cmi_weight: NonNegativeFloat = 1.0
    """Weight of it; 0 does without."""
    serving: Literal["observed", "marginal"] = "observed"
    """Relevance that is served: P(r | o=1), or the ``marginal`` P(r) under the mean observation of train.
    ``three-head`` models the marginal alone, and serves it."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.embedding_dim % self.n_heads:
            raise explained_error(
                f"embedding_dim ({self.embedding_dim}) must be a multiple of n_heads ({self.n_heads})"
            )
        if self.cmi == "batch" and self.observation == "bias":
            raise explained_error(
                "cmi: batch compares estimates of rows at one position; with observation: bias those of o hardly "
                "differ. Use observation: bias+context, or cmi: exact"
            )
        if self.serving == "marginal" and self.joint == "three-head":
            raise explained_error("joint: three-head serves the marginal relevance by itself; leave serving out")
        return self


@MODELS.add(
    "inforank",
    task="ranking",
    config=InfoRankConfig,
    paper=Citation(
        title="InfoRank: Unbiased Learning-to-Rank via Conditional Mutual Information Minimization",
        authors="Jin et al.",
        venue="WWW 2024",
        url="https://arxiv.org/abs/2401.12553",
    ),
    deviations=(
        "A reconstruction from the abstract; the full text was not at hand, and sizes and weights are our own.",
        "Observation hangs on position and popularity alone by default; observation: bias+context reads features, too.",
    ),
    uses_features=True,
)
class InfoRank(GradientRanker, ScoringRanker):
    """``P(click | x, b) = P(o=1 | b) P(r=1 | o=1, x)``, with o and r made independent given x and b.

    Attention over the features of user and item gives z (`RowEncoder`); position and popularity give one vector b
    (`ShownEncoder`). Heads on them make the joint P(o, r | x, b) of observation and relevance (`Joint`).

    Loss: ``click + cmi_weight * cmi``: cross-entropy of clicks, and ``I(O; R | x, b)``. Where that is 0, relevance
    among observed rows is relevance among all: P(r | o=1, x) = P(r | x). ``three-head`` adds ``product``, the
    cross-entropy of clicks under P(o) P(r), without which nothing ties its margins to clicks. Observation and relevance
    are known up to a common factor at best, and only if like rows were shown at several positions.
    Source: Jin et al., WWW 2024, https://arxiv.org/abs/2401.12553.

    Shapes: z ``[B, L, d]``; b ``[B, L, 16]``; everything of the joint ``[B, L]``.
    """

    config: InfoRankConfig
    mean_observation: Tensor

    def __init__(self, config: InfoRankConfig, context: RankingContext) -> None:
        super().__init__()
        self.config = config
        self.rows = RowEncoder(config, context, config.attention, config.n_layers, config.n_heads, config.dropout)
        self.shown = ShownEncoder(context.train, config.popularity)
        dim, in_context = config.embedding_dim, config.observation == "bias+context"
        self.observation_head = Head(SHOWN_DIM + dim * in_context)
        self.relevance_head = Head(dim)
        # P(r | o=0), the interaction, or the place of P(o, r) between its bounds.
        self.joint_head = Head(dim + SHOWN_DIM * (config.joint == "three-head"))
        self.register_buffer("mean_observation", torch.tensor(0.5))
        self._mean_step = max(MEAN_STEP, min(1.0, context.batch_size / max(context.train.n_lists, 1)))

    @property
    def item_representation(self) -> nn.Module | None:
        """The table of items, where there is one."""
        return self.rows.fields.item_ids

    def loss(self, batch: ListBatch) -> LossTerms:
        """Return ``click``, ``product`` of three heads, and ``cmi``."""
        config, mask, clicks = self.config, batch.inputs.mask, batch.targets
        joint, relevance = self.joint(batch)
        terms = {"click": of_log_probabilities(joint.log_click(), clicks, mask)}
        if config.joint == "three-head":
            product = F.logsigmoid(joint.observation) + F.logsigmoid(relevance)
            terms["product"] = of_log_probabilities(product, clicks, mask)
        if config.cmi_weight:
            terms["cmi"] = config.cmi_weight * self._dependence(joint, batch)
        if self.training:
            with torch.no_grad():
                found = total(joint.observation.sigmoid()[mask].sum()) / total(mask.sum())
                self.mean_observation.lerp_(found, self._mean_step)
        return terms

    def joint(self, batch: ListBatch) -> tuple[Joint, Tensor]:
        """Return the joint of every row, and the logits of relevance that are served, ``[B, L]``."""
        z, b = self.rows(batch.inputs), self.shown(batch)
        # Observation may read features; it must not shape how they are read.
        reads = torch.cat((b, z.detach()), dim=-1) if self.config.observation == "bias+context" else b
        observation, relevance = self.observation_head(reads), self.relevance_head(z)
        match self.config.joint:
            case "chain":
                return Joint(observation, relevance, self.joint_head(z)), relevance
            case "log-linear":
                joint = log_linear(observation, relevance, self.joint_head(z))
                return joint, joint.observed
            case "three-head":
                click = self.joint_head(torch.cat((z, b), dim=-1))
                return of_margins(observation, relevance, click), relevance

    @torch.no_grad()
    def score(self, inputs: ListInputs) -> Tensor:
        """Score rows by their relevance, which hangs on neither position nor popularity."""
        z = self.rows(inputs)
        scores: Tensor = self.relevance_head(z)
        if self.config.joint == "three-head":
            return scores
        third: Tensor = self.joint_head(z)
        observed, unobserved = (scores, third) if self.config.joint == "chain" else (scores + third, scores)
        if self.config.serving == "observed":
            return observed
        return Joint(self.mean_observation.logit(), observed, unobserved).relevance()

    @torch.no_grad()
    def facts(self) -> Mapping[str, float]:
        """Return the mean observation in train and, where it hangs on nothing else, that of the first positions."""
        found = {"mean_observation": float(self.mean_observation)}
        if self.config.observation == "bias" and self.config.joint != "log-linear":
            found |= by_rank("observation", self.observation_head(self.shown.by_position()).sigmoid())
        return found

    def _dependence(self, joint: Joint, batch: ListBatch) -> Tensor:
        mask, positions = batch.inputs.mask, batch.positions
        if self.config.cmi == "exact":
            return mean_over(joint.mutual_information()[mask].sum(), mask.sum())
        assert positions is not None
        # Relevance is not bent to suit observation.
        cells = (joint.observation[mask], joint.observed[mask].detach(), positions[mask])
        return gaussian_information(*map(all_rows, cells))
