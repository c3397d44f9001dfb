"""The contract checks fail when a promise is broken, each for its own reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import pytest
import torch
from pydantic import Field, create_model
from torch import Tensor, nn
from torch.nn import functional as F

from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import (
    MODELS,
    Citation,
    GradientRecommender,
    LossTerms,
    ModelConfig,
    ModelContext,
    ModelEntry,
    ModelRegistry,
    Triplets,
)
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.testing import config_checks, contract, model_checks
from mmrec_bench.testing.contract import CHECKS, CLEAN_CHECKS, check_model
from mmrec_bench.testing.subjects import Subject

PAPER = Citation("Title", "Author", "Venue", "https://example.org/paper")


class GoodConfig(ModelConfig):
    RELEASED: ClassVar[Mapping[str, Any]] = {"bias": True}

    name: Literal["good"] = "good"
    embedding_dim: int = 4
    """Size of the vectors."""
    bias: bool = False
    """Whether the projection has a bias."""


class Good(GradientRecommender):
    """A sane model. Source: https://example.org/paper."""

    def __init__(self, config: ModelConfig, context: ModelContext) -> None:
        super().__init__()
        context.require("good", ["text"])
        text = context.features["text"]
        self.users = nn.Parameter(torch.randn(context.train.n_users, 4))
        self.project = nn.Linear(text.dim, 4, bias=bool(config.model_dump().get("bias")))
        self.register_buffer("text", torch.tensor(text.filled()))
        self.text: Tensor

    def items(self) -> Tensor:
        output: Tensor = self.project(self.text)
        return output

    def loss(self, batch: Any) -> LossTerms:
        users, items = F.embedding(batch.users, self.users), self.items()
        gap = (users * (F.embedding(batch.positives, items) - F.embedding(batch.negatives, items))).sum(1)
        return {"bpr": F.softplus(-gap).mean()}

    @torch.no_grad()
    def export(self) -> Representations:
        return Representations(self.users.detach().clone(), self.items())


def subject(model: type[GradientRecommender] = Good, config: type[ModelConfig] = GoodConfig, **facts: Any) -> Subject:
    registry = ModelRegistry("model")
    facts = {"paper": PAPER, "modalities": ("text",), **facts}
    registry.add("good", task="retrieval", config=config, **facts)(model)
    return Subject(registry["good"])


@pytest.mark.parametrize("check", [*CHECKS, *CLEAN_CHECKS], ids=lambda check: check.__name__)
@pytest.mark.parametrize("preset", ["clean", "released"])
def test_a_sane_model_passes(check: Callable[[Subject], None], preset: str) -> None:
    check(subject().with_options(preset=preset))


def test_check_model_runs_all_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    check_model("popularity")
    seen: list[str] = []

    def broken(subject: Subject) -> None:
        seen.append(str(subject.options["preset"]))
        raise AssertionError("broken")

    monkeypatch.setattr(contract, "CHECKS", (*CHECKS, broken))
    with pytest.raises(AssertionError, match="broken"):
        check_model("popularity")
    assert seen == ["clean"]


class AliasConfig(ModelConfig):
    name: Literal["good"] = "good"
    emb_dim: int = 4
    """Size."""


class TrainerKeyConfig(ModelConfig):
    name: Literal["good"] = "good"
    learning_rate: float = 0.1
    """Step size."""


class BareConfig(ModelConfig):
    name: Literal["good"] = "good"
    depth: int = 4


class AnewConfig(GoodConfig):
    embedding_dim: int = 8


class EmptyConfig(ModelConfig):
    name: Literal["good"] = "good"
    depth: int = 4
    """ """


class DescribedConfig(GoodConfig):
    depth: int = Field(4, description="Number of layers.")
    """ """
    embedding_dim: int = 8
    """Size of the vectors, twice that of its parent."""


class LaxConfig(ModelConfig, extra="ignore"):
    name: Literal["good"] = "good"


class DeadSwitchConfig(ModelConfig):
    RELEASED: ClassVar[Mapping[str, Any]] = {"bias": False}
    name: Literal["good"] = "good"
    bias: bool = False
    """The released value is the clean value."""


class StrangeSwitchConfig(ModelConfig):
    RELEASED: ClassVar[Mapping[str, Any]] = {"no_field": 1}
    name: Literal["good"] = "good"


class UnwritableConfig(ModelConfig):
    name: Literal["good"] = "good"
    colour: Literal["red"] | tuple[int, ...] | None = None
    """A value that is read as something else."""

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {"name": "good", "colour": [1]}


@pytest.mark.parametrize(
    ("config", "check", "message"),
    [
        (AliasConfig, config_checks.check_parameter_names, "'emb_dim' must be called 'embedding_dim'"),
        (TrainerKeyConfig, config_checks.check_parameter_names, "'learning_rate' belongs to the trainer"),
        (BareConfig, config_checks.check_documentation, "without a docstring under them: depth"),
        (AnewConfig, config_checks.check_documentation, "without a docstring under them: embedding_dim"),
        (EmptyConfig, config_checks.check_documentation, "without a docstring under them: depth"),
        (LaxConfig, config_checks.check_unknown_key_is_refused, "accepts the unknown key"),
        (DeadSwitchConfig, config_checks.check_released_preset, r"must change \['bias'\] and nothing else"),
        (StrangeSwitchConfig, config_checks.check_released_preset, "names no fields: .*no_field"),
        (UnwritableConfig, config_checks.check_config_round_trip, "changes when written and read"),
    ],
)
def test_broken_configs_are_caught(config: type[ModelConfig], check: Callable[[Subject], None], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(subject(config=config))


def test_what_a_parent_documents_is_documented() -> None:
    made = create_model("Made", __base__=DescribedConfig, width=(int, 4))
    assert config_checks.undocumented(DescribedConfig) == []
    assert config_checks.undocumented(made) == ["width"]


def test_a_missing_paper_link_is_caught() -> None:
    class Silent(Good):
        """No link."""

    with pytest.raises(AssertionError, match=r"must hold https://example\.org/paper"):
        config_checks.check_documentation(subject(Silent))


class Tolerant(Good):
    """Accepts anything."""

    def __init__(self, config: ModelConfig, context: ModelContext) -> None:
        GradientRecommender.__init__(self)
        self.users = nn.Parameter(torch.randn(context.train.n_users, 4))
        self.table = nn.Parameter(torch.randn(context.train.n_items, 4))

    def items(self) -> Tensor:
        return self.table


class Vague(Tolerant):
    """Refuses without saying what is missing."""

    def __init__(self, config: ModelConfig, context: ModelContext) -> None:
        super().__init__(config, context)
        if "text" not in context.features:
            raise ModelError("bad data")


class Unseeded(Good):
    """Draws from the clock."""

    def __init__(self, config: ModelConfig, context: ModelContext) -> None:
        super().__init__(config, context)
        self.users = nn.Parameter(torch.randn(self.users.shape, generator=_entropy()))


def _entropy() -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator


class Deaf(Good):
    """Ignores the seed."""

    def __init__(self, config: ModelConfig, context: ModelContext) -> None:
        super().__init__(config, context)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1)


class NoisyExport(Good):
    """Leaves dropout on in export."""

    def items(self) -> Tensor:
        return F.dropout(super().items(), 0.5, self.training)


class EvalForever(Good):
    """Switches itself to evaluation mode."""

    def export(self) -> Representations:
        self.eval()
        return super().export()


class Tracking(Good):
    """Exports tensors with history."""

    def export(self) -> Representations:
        return Representations(self.users * 1, self.items())


class Aliasing(Good):
    """Exports the parameter itself."""

    def export(self) -> Representations:
        return Representations(self.users.detach(), self.items().detach())


class WrongUsers(Good):
    """Exports too few users."""

    def export(self) -> Representations:
        return Representations(self.users.detach()[1:].clone(), self.items().detach())


class NanForMissing(Good):
    """Reads absent rows."""

    def __init__(self, config: ModelConfig, context: ModelContext) -> None:
        super().__init__(config, context)
        self.text.copy_(torch.tensor(context.features["text"].values).nan_to_num(nan=float("inf")))

    def export(self) -> Representations:
        weights = self.project.weight.detach()
        return Representations(self.users.detach().clone(), torch.tanh(self.text @ weights.T).nan_to_num(nan=1e39))


class VectorLoss(Good):
    """Forgets the mean."""

    def loss(self, batch: Any) -> LossTerms:
        return {"bpr": super().loss(batch)["bpr"].reshape(1)}


class Standardising(Good):
    """Divides by the deviation of the batch."""

    def loss(self, batch: Any) -> LossTerms:
        rows = F.embedding(batch.users, self.users)
        return {"bpr": super().loss(batch)["bpr"] / rows.var(dim=0, correction=0).sum()}


class InPlace(Good):
    """Shifts item ids in the batch."""

    def loss(self, batch: Triplets) -> LossTerms:
        terms = super().loss(batch)
        batch.positives.add_(1)
        return terms


class Unused(Good):
    """Registers a parameter it never uses."""

    def __init__(self, config: ModelConfig, context: ModelContext) -> None:
        super().__init__(config, context)
        self.spare = nn.Parameter(torch.ones(2))


class Silenced(Good):
    """Multiplies a branch by zero."""

    def loss(self, batch: Triplets) -> LossTerms:
        return {**super().loss(batch), "nothing": 0.0 * self.project.weight.sum()}

    def items(self) -> Tensor:
        return F.linear(self.text, self.project.weight.detach(), self.project.bias)


class Forgetful(Good):
    """Keeps what training changes outside the state."""

    def __init__(self, config: ModelConfig, context: ModelContext) -> None:
        super().__init__(config, context)
        self.scale = torch.rand(()).item()

    def items(self) -> Tensor:
        return super().items() * self.scale


class Overwriting(Good):
    """Trains the caller's feature table."""

    def __init__(self, config: ModelConfig, context: ModelContext) -> None:
        super().__init__(config, context)
        values = context.features["text"].values.view()
        self.text = torch.from_numpy(_writable(values))

    def loss(self, batch: Any) -> LossTerms:
        with torch.no_grad():
            self.text.nan_to_num_(0.0).mul_(1.01)
        return super().loss(batch)


def _writable(array: Any) -> Any:
    base = array
    while base.base is not None:
        base = base.base
    base.flags.writeable = True
    return base


class LeftBehind(Good):
    """Holds a tensor that .to() does not know."""

    def __init__(self, config: ModelConfig, context: ModelContext) -> None:
        super().__init__(config, context)
        self.graphs = {"ui": (torch.ones(3),)}


@pytest.mark.parametrize(
    ("model", "check", "message"),
    [
        (Tolerant, model_checks.check_features_are_asked_for, "must raise ModelError at construction without"),
        (Vague, model_checks.check_features_are_asked_for, "must name the missing modality 'text'"),
        (Unseeded, model_checks.check_determinism, "one seed twice gives different state 'users'"),
        (Deaf, model_checks.check_determinism, "another seed gives the same initial parameters"),
        (NoisyExport, model_checks.check_export, "two exports differ"),
        (EvalForever, model_checks.check_export, "leaves the model in evaluation mode"),
        (Tracking, model_checks.check_export, "still track gradients"),
        (Aliasing, model_checks.check_export, "share memory with parameters"),
        (WrongUsers, model_checks.check_export, "exports 12 x 30"),
        (VectorLoss, model_checks.check_loss, "must be a scalar"),
        (Standardising, model_checks.check_loss, "of a batch of 1 is inf"),
        (InPlace, model_checks.check_loss, "loss\\(\\) changes 'positives' of the batch"),
        (Unused, model_checks.check_gradients, "no gradient reaches parameter 'spare'"),
        (Silenced, model_checks.check_gradients, "gradient of 'project.weight' is zero"),
        (Forgetful, model_checks.check_save_and_load, "state_dict misses something"),
        (Overwriting, model_checks.check_inputs_are_untouched, "changes the data it was given"),
        (LeftBehind, model_checks.check_device_moves, r"as buffers: graphs\.ui\[0\]"),
    ],
)  # fmt: skip
def test_broken_models_are_caught(
    model: type[GradientRecommender], check: Callable[[Subject], None], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        check(subject(model))


def test_scores_that_are_not_finite_are_caught() -> None:
    with pytest.raises((AssertionError, ModelError), match="finite"):
        model_checks.check_odd_users_and_items(subject(NanForMissing))


def test_a_wrong_kind_of_export_is_caught() -> None:
    with pytest.raises(AssertionError, match="registered as exports=scorer, exports vectors"):
        model_checks.check_export(subject(exports="scorer"))


def test_a_model_that_ignores_missing_time_is_caught() -> None:
    with pytest.raises(AssertionError, match="without timestamps"):
        model_checks.check_time_is_asked_for(subject(needs_time=True))


def test_an_entry_of_the_registry_is_a_subject() -> None:
    entry: ModelEntry = MODELS["popularity"]
    assert Subject(entry, {"preset": "released"}).config().preset == "released"
