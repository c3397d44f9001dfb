"""In what two runs differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmrec_bench.experiments.artefact import RunArtefact

SHOWN = (
    "fingerprints",
    "git",
    "packages",
    "device",
    "threads",
    "determinism",
    "protocol_id",
    "n_parameters",
    "model_facts",
    "training",
)
"""Parts of the manifest that explain a difference; times and folders would always differ."""


def flatten(node: Any, path: str = "") -> dict[str, str]:
    """Return ``{"a.b": "value"}`` for nested mappings; sequences are values."""
    if isinstance(node, Mapping):
        flat: dict[str, str] = {}
        for key, value in node.items():
            flat |= flatten(value, f"{path}.{key}" if path else str(key))
        return flat
    return {path: str(node)}


def differences(left: RunArtefact, right: RunArtefact) -> list[tuple[str, str, str]]:
    """Return ``(what, left, right)`` for every fact that differs: config first, then manifest, then metrics."""
    found: list[tuple[str, str, str]] = []
    for name, a, b in (
        ("config", left.config(), right.config()),
        ("manifest", _shown(left), _shown(right)),
        ("metrics", left.metrics, right.metrics),
    ):
        flat_a, flat_b = flatten(a, name), flatten(b, name)
        keys = dict.fromkeys((*flat_a, *flat_b))
        found += [(k, flat_a.get(k, "-"), flat_b.get(k, "-")) for k in keys if flat_a.get(k) != flat_b.get(k)]
    return found


def _shown(run: RunArtefact) -> dict[str, Any]:
    return {key: run.manifest.get(key) for key in SHOWN}
