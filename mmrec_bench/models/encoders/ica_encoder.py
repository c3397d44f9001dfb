"""The transformer of ICA: from feature vectors, cut into chunks, to fused vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.errors import ModelError
from mmrec_bench.models.encoders.base import Encoder, EncoderConfig
from mmrec_bench.settings import explained_error
from mmrec_bench.types import BoolArray, FloatArray

BLOCK_ITEMS = 1024
"""Items encoded at once."""

Ratio = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class ICAConfig(EncoderConfig):
    """Settings of `ICA`; what the paper leaves open has a switch."""

    name: Literal["ica"] = "ica"
    embedding_dim: PositiveInt = 256
    """Size of the fused vectors, and width of the transformer."""
    projection_dim: PositiveInt = 256
    """Length of each modality's projected vector, which is cut into chunks."""
    projection: Literal["fixed", "trained"] = "fixed"
    """``fixed``: the projections stay at their random orthogonal start, so that nothing can make the chunks easier to
    predict. ``trained``: they are learned, as the description reads; chunks that are all alike are predicted best."""
    n_chunks: Annotated[int, Field(ge=2)] = 4
    """Chunks P of each modality's projected vector; one token each."""
    n_layers: PositiveInt = 2
    """Layers of the transformer."""
    n_heads: PositiveInt = 4
    """Heads of its attention."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout inside the transformer; masks are noise enough for a few thousand items."""
    mask_ratio: Ratio | Mapping[str, Ratio] = 0.4
    """Share of a modality's chunks that are masked in training, one for all or one a modality. BEiT-3 masks 40 % of an
    image; its 50 % of a text is one more guess."""
    modality_mask_probability: Share = 0.25
    """Probability that one modality of an item is masked as a whole; not where it is the item's only one."""
    predict_from: Literal["fused", "tokens"] = "fused"
    """``fused``: every masked chunk is predicted from the fused vector and the chunk's place, so that the vector must
    carry the item. ``tokens``: from the output at the chunk's place, as a masked language model does; then no loss
    reaches the last layer's output at [CLS], which is the fused vector."""
    centre: bool = True
    """Whether the mean of the fused vectors of the training items is taken from all of them: cosines of vectors that
    share a large part tell them apart badly."""
    predicted: Literal["masked", "all"] = "masked"
    """``masked``: masked chunks alone are predicted, as described. ``all``: those that are seen, too, so that the fused
    vector has to carry what nothing else tells; a denoising autoencoder."""
    target: Literal["regression", "codes"] = "regression"
    """``regression``: the chunk, by smooth L1. ``codes``: the chunk's nearest centre of k-means, by cross entropy."""
    n_codes: PositiveInt | None = None
    """Centres of k-means for each modality; given with ``target: codes``, and only there."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for name, dim, by, parts in (
            ("projection_dim", self.projection_dim, "n_chunks", self.n_chunks),
            ("embedding_dim", self.embedding_dim, "n_heads", self.n_heads),
        ):
            if dim % parts:
                raise explained_error(f"{name} must be a multiple of {by} ({parts}); got {dim}")
        if self.target == "codes" and self.projection == "trained":
            raise explained_error("target: codes needs projection: fixed; codes of chunks that move would be stale")
        if (self.target == "codes") != (self.n_codes is not None):
            raise explained_error(f"n_codes belongs to target: codes; got {self.n_codes} with target: {self.target}")
        return self


class ICAEncoder(Encoder):
    """The transformer that turns chunks of feature vectors into a fused vector.

    Args:
        config: Its sizes.
        dims: Length of the vectors of each modality.
    """

    offset: Tensor
    """What is taken from all fused vectors, float32 ``[d]``."""

    def __init__(self, config: ICAConfig, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.config, self.dims = config, dict(sorted(dims.items()))
        d, chunk_dim = config.embedding_dim, config.projection_dim // config.n_chunks
        self.means = nn.ParameterList(torch.zeros(dim) for dim in self.dims.values()).requires_grad_(False)
        projections = [nn.Linear(dim, config.projection_dim, bias=False) for dim in self.dims.values()]
        for projection in projections:
            nn.init.orthogonal_(projection.weight)
        self.projections = nn.ModuleList(projections).requires_grad_(config.projection == "trained")
        self.embed = nn.ModuleList(nn.Linear(chunk_dim, d) for _ in self.dims)
        self.register_buffer("offset", torch.zeros(d))
        self.places = nn.Parameter(0.02 * torch.randn(len(self.dims), config.n_chunks, d))
        self.mask = nn.Parameter(0.02 * torch.randn(d))
        self.cls = nn.Parameter(0.02 * torch.randn(d))
        layer = nn.TransformerEncoderLayer(
            d, config.n_heads, 4 * d, config.dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, config.n_layers, nn.LayerNorm(d), enable_nested_tensor=False)

    def chunks(self, rows: list[Tensor]) -> Tensor:
        """Return LN(W (f - mean)) in chunks, ``[B, M, P, c]``, for one ``[B, dim]`` a modality, in order of names."""
        shape = (self.config.projection_dim,)
        projected = [
            F.layer_norm(project(row - mean), shape)
            for row, mean, project in zip(rows, self.means, self.projections, strict=True)
        ]
        return torch.stack(projected, dim=1).view(len(rows[0]), len(rows), self.config.n_chunks, -1)

    def forward(self, chunks: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
        """Return fused vectors ``[B, d]`` and outputs at the chunks ``[B, M, P, d]``.

        Args:
            chunks: ``[B, M, P, c]``; what stands at masked places is not read.
            masked: bool ``[B, M, P]``.
        """
        embedded = torch.stack([embed(chunks[:, place]) for place, embed in enumerate(self.embed)], dim=1)
        tokens = torch.where(masked.unsqueeze(-1), self.mask, embedded) + self.places
        sequence = torch.cat([self.cls.expand(len(chunks), 1, -1), tokens.flatten(1, 2)], dim=1)
        out = self.transformer(sequence)
        return out[:, 0], out[:, 1:].reshape(tokens.shape)

    @torch.no_grad()
    def encode(self, features: Mapping[str, FeatureTable]) -> tuple[FloatArray, BoolArray]:
        """Return fused vectors, float32 ``[n_items, d]``, zero for items without any modality, and who has one."""
        tables = checked_tables(features, self.dims)
        present = np.stack([table.present for table in tables], axis=1)
        vectors = np.zeros((len(present), self.config.embedding_dim), np.float32)
        some = np.logical_or.reduce([table.present for table in tables])
        usable = np.flatnonzero(some)
        training, device = self.training, self.cls.device
        self.eval()
        for start in range(0, len(usable), BLOCK_ITEMS):
            ids = usable[start : start + BLOCK_ITEMS]
            rows = [torch.from_numpy(np.nan_to_num(table.values[ids])).to(device) for table in tables]
            masked = torch.from_numpy(~present[ids]).to(device).unsqueeze(-1).expand(-1, -1, self.config.n_chunks)
            vectors[ids] = (self(self.chunks(rows), masked)[0] - self.offset).cpu().numpy()
        self.train(training)
        return vectors, some


def checked_tables(features: Mapping[str, FeatureTable], dims: Mapping[str, int]) -> list[FeatureTable]:
    """Return the tables an encoder needs, in the order of ``dims``.

    Raises:
        ModelError: One is lacking, or has another length of vectors.
    """
    found = {name: features[name].dim for name in dims if name in features}
    if found != dict(dims):
        raise ModelError(f"the encoder needs feature tables of these lengths: {dict(dims)}; got {found}")
    return [features[name] for name in dims]
