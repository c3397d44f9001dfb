"""The contract of a retrieval model, as functions that raise AssertionError and say what is broken.

A third party tests its model in two lines::

    from mmrec_bench.testing.contract import check_model
    def test_contract(): check_model("my-model")
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from mmrec_bench.models.base import MODELS
from mmrec_bench.testing.config_checks import (
    check_config_round_trip,
    check_documentation,
    check_parameter_names,
    check_released_preset,
    check_unknown_key_is_refused,
)
from mmrec_bench.testing.model_checks import (
    check_determinism,
    check_device_moves,
    check_export,
    check_features_are_asked_for,
    check_gradients,
    check_inputs_are_untouched,
    check_loss,
    check_odd_users_and_items,
    check_save_and_load,
    check_time_is_asked_for,
)
from mmrec_bench.testing.subjects import Subject

Check: TypeAlias = Callable[[Subject], None]

CHECKS: tuple[Check, ...] = (
    check_config_round_trip,
    check_unknown_key_is_refused,
    check_released_preset,
    check_parameter_names,
    check_documentation,
    check_features_are_asked_for,
    check_time_is_asked_for,
    check_determinism,
    check_export,
    check_loss,
    check_save_and_load,
    check_odd_users_and_items,
    check_inputs_are_untouched,
    check_device_moves,
)
"""What every retrieval model must pass with either preset."""

CLEAN_CHECKS: tuple[Check, ...] = (check_gradients,)
"""What it must pass with ``preset: clean``; some released code registers parameters it never uses."""


def check_model(name: str, **options: Any) -> None:
    """Run all checks on the registered retrieval model ``name``, with both presets.

    Args:
        name: Name in the registry.
        options: Config keys that the model cannot do without.

    Raises:
        AssertionError: The first broken promise.
    """
    for preset in ("clean", "released"):
        subject = Subject(MODELS[name], {**options, "preset": preset})
        for check in (*CHECKS, *(CLEAN_CHECKS if preset == "clean" else ())):
            check(subject)
