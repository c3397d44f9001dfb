"""Protocols in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def protocol_words(task: str, config: Mapping[str, Any]) -> str:
    """Return what the numbers of a run mean, from its resolved config."""
    protocol = config["protocol"]
    split = protocol["split"]
    settings = ", ".join(f"{key} {value}" for key, value in split.items() if key != "name" and value is not None)
    parts = [f"Split {split['name']}{f' ({settings})' if settings else ''}"]
    parts += {"retrieval": _retrieval, "ranking": _ranking, "ctr": _ctr, "interactive": _interactive}[task](config)
    if cutoffs := protocol.get("cutoffs"):
        parts.append(f"cut-offs {', '.join(map(str, cutoffs))}")
    parts.append(f"weights chosen by {protocol['select_by']} on validation, unrounded")
    if task != "ctr":
        parts.append(f"equal scores in the order of a hash of item ids (seed {protocol['tie_seed']})")
    return "; ".join(parts) + "."


def _retrieval(config: Mapping[str, Any]) -> list[str]:
    protocol = config["protocol"]
    hidden = "train" if protocol["exclude"] == ["train"] else "train and validation (at validation: of train)"
    cold = {"drop": "left out", "keep": "kept"}[protocol["cold_users"]]
    return [
        f"for each user all items are ranked but the user's items of {hidden}",
        f"held-out rows of users without a training row are {cold}",
    ]


def _ranking(config: Mapping[str, Any]) -> list[str]:
    options, candidates = config["protocol"]["options"], config["inputs"].get("candidates")
    what = "given lists" if candidates is None else f"{candidates['n']} candidates of a first stage"
    told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in options.items() if value is not None)
    return [f"{what} are put in order and judged by their labels ({told})"]


def _ctr(config: Mapping[str, Any]) -> list[str]:
    recipe = config["dataset"]["impressions"]
    made = ", ".join(f"{key} {value}" for key, value in recipe.items() if key != "name" and value is not None)
    return [
        f"probabilities of single impressions, made by the recipe {recipe['name']}{f' ({made})' if made else ''}",
        "no history holds a click of the part that is judged",
    ]


def _interactive(config: Mapping[str, Any]) -> list[str]:
    protocol = config["protocol"]
    rule = protocol["candidates"]
    table = "all items" if rule["name"] == "full" else f"{rule['n']} sampled candidates"
    last = ", and the best item once more after the last" if protocol["last_guess"] else ""
    return [
        f"{protocol['sessions_per_user']} session(s) of each simulated user ({protocol['user']['name']}) over {table}, "
        f"{protocol['slots']} slot(s) a round{last}",
        f"a failure counts {protocol['penalty']:g} rounds more",
    ]
