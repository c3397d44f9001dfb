"""Result cards as files: writing, reading, and checking them against run folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.differences import flatten
from mmrec_bench.reports.cards.build import card_of
from mmrec_bench.reports.cards.page import markdown, page
from mmrec_bench.reports.cards.schema import ResultCard
from mmrec_bench.reports.collect import Row, collect
from mmrec_bench.reports.files import write_all
from mmrec_bench.settings import Document


def write_cards(folder: Path, cards: Sequence[ResultCard]) -> list[Path]:
    """Write each card as JSON, Markdown and HTML, and return the paths of the JSON files.

    Raises:
        ResourceError: The folder cannot be written.
    """
    for card in cards:
        texts = {".json": card.text(), ".md": markdown(card), ".html": page(card)}
        write_all(folder, {card.name + suffix: text for suffix, text in texts.items()})
    return [folder / f"{card.name}.json" for card in cards]


def read_card(path: Path) -> ResultCard:
    """Read a card.

    Raises:
        ArtefactError: It cannot be read, or was changed since it was made.
        ConfigError: It is not of the form of a card.
    """
    card = json_document(path).parse(ResultCard)
    if not card.intact:
        raise ArtefactError(
            f"{path}: was changed since it was made: its digest is {card.digest}, that of its content "
            f"{card.sealed().digest}. Make it again with `mmrec-bench card`"
        )
    return card


def json_document(path: Path) -> Document:
    """Read a JSON object as a document.

    Raises:
        ArtefactError: It cannot be read, or is no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(f"{path}: cannot be read: {error}. Make it again with `mmrec-bench`") from None
    if not isinstance(content, dict):
        raise ArtefactError(f"{path}: must hold a JSON object; got {type(content).__name__}")
    return Document(str(path), content)


def schema_text() -> str:
    """Return the JSON schema of cards."""
    return json.dumps(ResultCard.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def check_card(card: ResultCard, runs: Sequence[RunArtefact]) -> list[tuple[str, str, str]]:
    """Make a card again from run folders and return ``(what, card, runs)`` for all in which it differs.

    The protocol's words are not compared: they follow from its id, and may be put better one day.

    Raises:
        ArtefactError: Runs of the card, or of a baseline of it, are not there.
    """
    baselines = [_row(one.experiment, one.baseline, one.seeds, runs) for one in card.comparisons]
    made = card_of(_row(card.fingerprints.experiment, card.label, card.seeds, runs), baselines)
    made = made.model_copy(
        update={"protocol": made.protocol.model_copy(update={"words": card.protocol.words})}
    ).sealed()
    told, found = flatten(card.model_dump(mode="json")), flatten(made.model_dump(mode="json"))
    keys = dict.fromkeys((*told, *found))
    return [(key, str(told.get(key, "-")), str(found.get(key, "-"))) for key in keys if told.get(key) != found.get(key)]


def _row(experiment: str, label: str, seeds: Sequence[int], runs: Sequence[RunArtefact]) -> Row:
    mine = [
        (label, run)
        for run in runs
        if run.manifest["fingerprints"]["config"] == experiment and run.manifest["seed"] in seeds
    ]
    rows = [row for table in collect(mine).values() for row in table]
    if len(rows) != 1 or rows[0].seeds != tuple(seeds):
        there = rows[0].seeds if rows else "none"
        raise ArtefactError(
            f"the card of '{label}' is of experiment {experiment}, seeds {', '.join(map(str, seeds))}; of these runs "
            f"there are seeds {there}. Name the folders that hold them"
        )
    return rows[0]
