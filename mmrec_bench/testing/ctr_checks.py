"""The contract of a CTR model: probabilities of single impressions, which hang on nothing beside them.

A third party tests its model in two lines::

    from mmrec_bench.testing.ctr_checks import check_ctr
    def test_contract(): check_ctr("my-model")
"""

from __future__ import annotations

from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mmrec_bench.models.base import MODELS
from mmrec_bench.models.ctr.base import CtrContext, CtrModel, GradientCtrModel, PointInputs
from mmrec_bench.models.ctr.fields import FieldsModel
from mmrec_bench.testing.config_checks import (
    check_config_round_trip,
    check_documentation,
    check_parameter_names,
    check_released_preset,
    check_unknown_key_is_refused,
)
from mmrec_bench.testing.contract import Check
from mmrec_bench.testing.ctr_subjects import (
    EXTRAS,
    N_POINTS,
    build_ctr,
    fitted_ctr,
    tensors_of,
    tiny_ctr_context,
    whole_batch,
)
from mmrec_bench.testing.subjects import Subject, backward, require, require_what_seeds_do


def check_probabilities(subject: Subject) -> None:
    """Predictions are probabilities, one an impression, and hang neither on the batch nor on chance."""
    context = tiny_ctr_context()
    model = fitted_ctr(subject, context)
    inputs = whole_batch(model, context).inputs
    together = model.predict(inputs).detach()
    require(together.shape == (N_POINTS,), subject, f"predict() gives the shape {tuple(together.shape)}")
    require(together.dtype == torch.float32, subject, f"probabilities must be float32; got {together.dtype}")
    require(bool(((together >= 0) & (together <= 1)).all()), subject, "predict() gives what is no probability")
    require(torch.equal(model.predict(inputs).detach(), together), subject, "predict() is not the same twice")
    for row in (0, 17, N_POINTS - 1):
        alone = model.predict(_cut(inputs, row)).detach()
        same = torch.allclose(alone, together[row : row + 1], rtol=1e-4, atol=1e-6)
        require(same, subject, "the probability of an impression hangs on the others of its batch")


def check_gradients_of_clicks(subject: Subject) -> None:
    """Loss terms are finite scalars, and a finite gradient that is not zero reaches every parameter, slots included."""
    for extra in (None, *EXTRAS.values()):
        if extra is not None and not issubclass(subject.entry.model, FieldsModel):
            continue
        context = tiny_ctr_context(extra=extra)
        model = build_ctr(subject, context)
        if not isinstance(model, GradientCtrModel):
            return
        for name, gradient in _gradients(subject, model, context).items():
            require(bool(torch.isfinite(gradient).all()), subject, f"the gradient of '{name}' is not finite")
            require(bool(gradient.any()), subject, f"no gradient reaches parameter '{name}'")


def check_slots(subject: Subject) -> None:
    """A slot adds its columns alone to a model, changes nothing before it is trained, and is read afterwards."""
    if not issubclass(subject.entry.model, FieldsModel):
        return
    for kind, extra in EXTRAS.items():
        bare, slotted = tiny_ctr_context(), tiny_ctr_context(extra=extra)
        one, two = fitted_ctr(subject, bare), fitted_ctr(subject, slotted)
        missing, unknown = two.load_state_dict(one.state_dict(), strict=False)
        require(len(missing) == 1 and not unknown, subject, f"a slot of {kind} adds or removes more than its columns")
        before = one.predict(whole_batch(one, bare).inputs)
        same = torch.equal(before, two.predict(whole_batch(two, slotted).inputs))
        require(same, subject, f"a slot of {kind} changes predictions before it is trained")
        with torch.no_grad():
            torch.nn.init.normal_(dict(two.named_parameters())[missing[0]])
        read = not torch.equal(before, two.predict(whole_batch(two, slotted).inputs))
        require(read, subject, f"a slot of {kind} is not read")


def check_ctr_determinism(subject: Subject) -> None:
    """One seed gives bit-identical parameters, gradients and predictions; another differs where seeds matter."""
    first, second, other = (_trace(subject, seed) for seed in (3, 3, 4))
    differing = [key for key in first if not torch.equal(first[key], second[key])]
    require(not differing, subject, f"one seed twice gives different {', '.join(differing)}")
    require_what_seeds_do(subject, first, other)


def check_ctr_save_and_load(subject: Subject) -> None:
    """Weights written as safetensors and loaded into a model of another seed give the same probabilities."""
    context = tiny_ctr_context()
    model, other = fitted_ctr(subject, context), build_ctr(subject, tiny_ctr_context(seed=9)).eval()
    other.load_state_dict(safetensors.torch.load(safetensors.torch.save(model.state_dict())), strict=True)
    inputs = whole_batch(model, context).inputs
    same = torch.equal(model.predict(inputs), other.predict(inputs))
    require(same, subject, "a model with loaded weights predicts differently: its state_dict misses something")


def check_batches_are_untouched(subject: Subject) -> None:
    """Neither loss nor prediction writes into what it is given."""
    context = tiny_ctr_context(extra=EXTRAS["vectors"] if issubclass(subject.entry.model, FieldsModel) else None)
    model = fitted_ctr(subject, context)
    batch, before = whole_batch(model, context), tensors_of(whole_batch(model, context))
    model.predict(batch.inputs)
    if isinstance(model, GradientCtrModel):
        model.loss(batch)
    changed = [name for name, value in tensors_of(batch).items() if not torch.equal(value, before[name])]
    require(not changed, subject, f"loss() or predict() changes {', '.join(changed)} of the batch it is given")


CTR_CHECKS: tuple[Check, ...] = (
    check_config_round_trip,
    check_unknown_key_is_refused,
    check_released_preset,
    check_parameter_names,
    check_documentation,
    check_probabilities,
    check_gradients_of_clicks,
    check_slots,
    check_ctr_determinism,
    check_ctr_save_and_load,
    check_batches_are_untouched,
)
"""What every CTR model must pass."""


def check_ctr(name: str, **options: Any) -> None:
    """Run all checks on the registered CTR model ``name``.

    Args:
        name: Name in the registry.
        options: Config keys that the model cannot do without.

    Raises:
        AssertionError: The first broken promise.
    """
    subject = Subject(MODELS[name], options)
    for check in CTR_CHECKS:
        check(subject)


def _cut(inputs: PointInputs, row: int) -> PointInputs:
    def cut(value: Tensor | None) -> Tensor | None:
        return None if value is None else value[row : row + 1]

    return PointInputs(
        inputs.users[row : row + 1], inputs.items[row : row + 1], cut(inputs.histories), cut(inputs.extra)
    )


def _gradients(subject: Subject, model: GradientCtrModel, context: CtrContext) -> dict[str, Tensor]:
    """Return the gradient of every parameter, zeros where none arrives."""
    model.train()
    context.seeds.seed_global("contract-epoch")
    terms = model.loss(whole_batch(model, context))
    require(bool(terms), subject, "loss() gives no term")
    for name, term in terms.items():
        fine = term.shape == () and bool(torch.isfinite(term))
        require(fine, subject, f"loss term '{name}' must be a finite scalar")
    backward(terms)
    parameters = model.named_parameters()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in parameters if p.requires_grad}


def _trace(subject: Subject, seed: int) -> dict[str, Tensor]:
    context = tiny_ctr_context(seed)
    model: CtrModel = build_ctr(subject, context)
    trace = {f"state '{key}'": value.detach().clone() for key, value in model.state_dict().items()}
    if isinstance(model, GradientCtrModel):
        gradients = _gradients(subject, model, context)
        trace |= {f"gradient '{key}'": value.clone() for key, value in gradients.items()}
    fitted = fitted_ctr(subject, context)
    return {**trace, "predictions": fitted.predict(whole_batch(fitted, context).inputs).detach()}
