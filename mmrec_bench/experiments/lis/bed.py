"""The models of a LIS probe: a base, brought up to date before the cut with or without a slot, or trained on behind it.

Whatever is compared starts from the same base and sees the same window before T in the same order. The base with an
empty slot is M_T.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmrec_bench.data.points import Points, clicks_before
from mmrec_bench.errors import ModelError
from mmrec_bench.evaluation.ctr import CtrEvaluator, predicted
from mmrec_bench.experiments.lis.config import LisConfig
from mmrec_bench.experiments.prepare import Prepared
from mmrec_bench.experiments.start import continue_from
from mmrec_bench.experiments.stations.base import built
from mmrec_bench.models.ctr.base import CtrContext, CtrModel, CtrPart, Extra
from mmrec_bench.models.ctr.fields import FieldsModel
from mmrec_bench.seeding import Seeds
from mmrec_bench.training.config import TrainerConfig
from mmrec_bench.training.records import TrainingResult, Validation
from mmrec_bench.training.trainer import train
from mmrec_bench.types import FloatArray


@dataclass(frozen=True, slots=True)
class Slot:
    """What the extra slot holds in the window before the cut, and in the one behind it.

    Attributes:
        update: For the impressions that bring the model up to date.
        judged: For those it is judged by.
    """

    update: Extra
    judged: Extra

    @classmethod
    def of_items(cls, extra: Extra) -> Slot:
        """Return the slot of what belongs to items, the same in both windows."""
        return cls(extra, extra)


class TestBed:
    """Trains and serves the models of one seed.

    Args:
        config: The probe.
        prepared: Data and split; the window before the cut is the validation part.
        seed: Seed of all models.
        device: Where models live.
    """

    __test__ = False  # pytest looks for classes of this name

    def __init__(self, config: LisConfig, prepared: Prepared, seed: int, device: torch.device) -> None:
        self._config, self._dataset, self._device, self._seeds = config, prepared.dataset, device, Seeds(seed)
        self.train: Points = prepared.split.train
        self.window: Points = prepared.split.valid
        self.before: Points = self.train.then(self.window)

    def base(self) -> tuple[dict[str, Tensor], TrainingResult]:
        """Return the weights of a model trained on what comes before both windows, chosen on the window before T."""
        config = self._config
        part = CtrPart(self.train, clicks_before(self.train, self.train))
        start = int(self.window.timestamps[0])
        judged = CtrPart(self.window, clicks_before(self.window, self.train, start))
        evaluator = CtrEvaluator(judged, (config.protocol.select_by,), self._device)

        def validate(model: FieldsModel) -> Validation:
            evaluation = evaluator.evaluate(model)
            return Validation(evaluation.chosen_by(config.protocol.select_by), evaluation.means)

        model, context = self._build(part, config.trainer.batch_size)
        result = train(model, context, config.trainer, validate, self._seeds, self._device)
        return _weights(model), result

    def updated(self, base: Mapping[str, Tensor], slot: Slot | None = None) -> FieldsModel:
        """Return the base after the window before T; without a slot it is M_T."""
        extra = None if slot is None else slot.update
        part = CtrPart(self.window, clicks_before(self.window, self.before), extra)
        return self._continued(part, base)

    def ahead(self, weights: Mapping[str, Tensor], behind: Points) -> FloatArray:
        """Return the item table of M_T after impressions behind the cut, float32 ``[n_items, d]``."""
        part = CtrPart(behind, clicks_before(behind, self.before.then(behind)))
        return table_of(self._continued(part, weights))

    def with_table(self, weights: Mapping[str, Tensor], table: FloatArray) -> FieldsModel:
        """Return M_T with another item table; nothing is trained."""
        part = CtrPart(self.window, clicks_before(self.window, self.before))
        model, _ = self._build(part, self._config.update.batch_size)
        continue_from(model, weights, "the base")
        with torch.no_grad():
            model.fields.items.weight.copy_(torch.from_numpy(table))
        return model.eval()

    def probabilities(self, model: FieldsModel, judged: Points, slot: Slot | None = None) -> FloatArray:
        """Return the probabilities of impressions behind the cut, float32 ``[N]``; no history holds anything of it."""
        start = int(judged.timestamps[0])
        part = CtrPart(judged, clicks_before(judged, self.before, start), None if slot is None else slot.judged)
        return predicted(model, part, self._device)

    def _continued(self, part: CtrPart, weights: Mapping[str, Tensor]) -> FieldsModel:
        trainer: TrainerConfig = self._config.update.trainer
        model, context = self._build(part, trainer.batch_size)
        continue_from(model, weights, "the base")
        passes = 0

        def last_is_best(model: FieldsModel) -> Validation:
            nonlocal passes
            passes += 1
            return Validation(float(passes), {})

        train(model, context, trainer, last_is_best, self._seeds, self._device)
        return model

    def _build(self, part: CtrPart, batch_size: int) -> tuple[FieldsModel, CtrContext]:
        settings, data = self._config.model, self._dataset
        context = CtrContext(part, data.features, data.items, self._seeds, batch_size)
        model = built(settings, context, self._seeds, CtrModel, self._device)
        if not isinstance(model, FieldsModel):
            raise ModelError(f"model '{settings.name}' has no table of item vectors, which a probe exchanges")
        return model, context


def table_of(model: FieldsModel) -> FloatArray:
    """Return the item table of a model, float32 ``[n_items, d]``."""
    table: FloatArray = model.fields.items.weight.detach().cpu().numpy().copy()
    return table


def _weights(model: FieldsModel) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
