"""ICA: inter-content alignment, the first stage of AlignRec, by masking and predicting chunks of feature vectors."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import Items, LossTerms
from mmrec_bench.models.blocks import gather
from mmrec_bench.models.encoders.base import ENCODERS, EncoderContext, EncoderTraining
from mmrec_bench.models.encoders.codes import kmeans_codes
from mmrec_bench.models.encoders.ica_encoder import BLOCK_ITEMS, ICAConfig, ICAEncoder
from mmrec_bench.models.encoders.masking import draw_masks, masks_per_modality
from mmrec_bench.seeding import derive_seed
from mmrec_bench.types import IntArray


class ICA(EncoderTraining):
    """AlignRec (Liu et al., CIKM 2024, https://arxiv.org/abs/2403.12384), first stage, from feature vectors.

    **A reconstruction.** The paper trains BEiT-3 on images and texts by masking and predicting, and its code holds only
    the second stage. Here the same is done to feature vectors of any modalities. For each modality, LN(W (f - mean)) is
    cut into P chunks, one token each; a transformer reads [CLS] and the tokens; masked tokens are one learned vector;
    the output at [CLS] is the fused vector. A modality that an item lacks is masked as a whole, and predicted nowhere.
    What the paper leaves open are the switches of `ICAConfig`. No interaction is used.

    Loss: for each modality, the mean over its masked chunks of the smooth L1 distance of prediction and chunk (or of
    the cross entropy of its code); the modalities weigh the same.

    Args:
        config: Its settings.
        context: Feature tables, and the items it is trained on.

    Raises:
        ModelError: There is no table, no item to train on, or a setting names another modality.
    """

    config_class = ICAConfig
    encoder_class = ICAEncoder
    encoder: ICAEncoder
    present: Tensor
    codes: Tensor

    def __init__(self, config: ICAConfig, context: EncoderContext) -> None:
        super().__init__()
        if not context.features or not len(context.train):
            raise ModelError("ica needs features of at least one modality, and items that have some; there are none")
        self.config, self.seeds, self.context = config, context.seeds, context
        tables = [table for _, table in sorted(context.features.items())]
        self.modalities = tuple(table.modality for table in tables)
        self.n_masked = masks_per_modality(config.mask_ratio, self.modalities, config.n_chunks)
        self.encoder = ICAEncoder(config, {table.modality: table.dim for table in tables})
        for place, table in enumerate(tables):
            self.register_buffer(f"raw_{place}", torch.from_numpy(table.filled()), persistent=False)
            known = context.train[table.present[context.train]]
            if len(known):
                self.encoder.means[place].copy_(torch.from_numpy(table.values[known].mean(axis=0)))
        present = np.stack([table.present for table in tables], axis=1)
        self.register_buffer("present", torch.from_numpy(present), persistent=False)
        if config.n_codes is not None:
            self.register_buffer("codes", self._codes(context.train, config.n_codes), persistent=False)
        d, chunk_dim = config.embedding_dim, config.projection_dim // config.n_chunks
        out_dim = config.n_codes or chunk_dim
        self.heads = nn.ModuleList(nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, out_dim)) for _ in tables)
        if config.predict_from == "fused":
            self.queries = nn.Parameter(0.02 * torch.randn_like(self.encoder.places))
        self._generator: torch.Generator | None = None

    def on_epoch_start(self, epoch: int) -> None:
        """Begin the masks of an epoch."""
        self._generator = self.seeds.generator("masks", epoch, self.present.device)

    def loss(self, batch: Items) -> LossTerms:
        """Return a term a modality."""
        losses, counts = self._sums(batch.ids, self._generator)
        means = losses / counts.clamp(min=1) / len(self.modalities)
        return {f"masked_{modality}": mean for modality, mean in zip(self.modalities, means.unbind(), strict=True)}

    @torch.no_grad()
    def validation_loss(self, items: IntArray) -> float:
        """Return the loss on held-out items, int64 ``[n]``, with masks that are the same at every call."""
        generator = self.seeds.generator("validation-masks", device=self.present.device)
        ids = torch.from_numpy(np.array(items)).to(self.present.device)
        blocks = [torch.stack(self._sums(block, generator)).double() for block in torch.split(ids, BLOCK_ITEMS)]
        losses, counts = torch.stack(blocks).sum(dim=0)
        return float((losses / counts.clamp(min=1)).mean())

    def finish(self) -> None:
        """Centre the fused vectors, if so configured."""
        if self.config.centre:
            vectors, _ = self.encoder.encode(self.context.features)
            self.encoder.offset += torch.from_numpy(vectors[self.context.train].mean(axis=0)).to(self.encoder.offset)

    def predictions(self, chunks: Tensor, masked: Tensor) -> Tensor:
        """Return what is predicted at every chunk, ``[B, M, P, c]``, or log odds of codes ``[B, M, P, K]``.

        Args:
            chunks: ``[B, M, P, c]``; what stands at masked places is not read.
            masked: bool ``[B, M, P]``.
        """
        fused, outputs = self.encoder(chunks, masked)
        if self.config.predict_from == "fused":
            outputs = fused[:, None, None] + self.queries
        return torch.stack([head(outputs[:, place]) for place, head in enumerate(self.heads)], dim=1)

    def _sums(self, ids: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return for each modality the sum of the losses of its predicted chunks and their number, ``[M]`` each."""
        present, config = self.present.index_select(0, ids), self.config
        chunks = self._chunks(ids)
        masked = draw_masks(present, self.n_masked, config.n_chunks, config.modality_mask_probability, generator)
        predicted = self.predictions(chunks, masked)
        if config.target == "codes":
            codes = self.codes.index_select(0, ids)
            distances = F.cross_entropy(predicted.flatten(0, 2), codes.flatten(), reduction="none").view_as(codes)
        else:
            distances = F.smooth_l1_loss(predicted, chunks.detach(), reduction="none").mean(dim=-1)
        counted = (masked | (config.predicted == "all")) & present.unsqueeze(-1)
        return (distances * counted).sum(dim=(0, 2)), counted.sum(dim=(0, 2))

    def _chunks(self, ids: Tensor) -> Tensor:
        """Return the chunks of some items, ``[B, M, P, c]``."""
        return self.encoder.chunks(
            [gather(getattr(self, f"raw_{place}"), ids) for place in range(len(self.modalities))]
        )

    def _codes(self, train: IntArray, n_codes: int) -> Tensor:
        """Return the code of every chunk, int64 ``[n_items, M, P]``; one codebook a modality."""
        n_items, n_chunks = len(self.present), self.config.n_chunks
        chunks = torch.cat([self._chunks(block) for block in torch.split(torch.arange(n_items), BLOCK_ITEMS)])
        found = []
        for place, modality in enumerate(self.modalities):
            vectors = chunks[:, place].flatten(0, 1).numpy()
            known = chunks[train, place][self.present[train, place]].flatten(0, 1).numpy()
            seed = derive_seed(self.seeds.seed, f"codes/{modality}")
            found.append(kmeans_codes(known, vectors, n_codes, seed).reshape(n_items, n_chunks))
        return torch.from_numpy(np.stack(found, axis=1))


ENCODERS.register("ica", ICA)
