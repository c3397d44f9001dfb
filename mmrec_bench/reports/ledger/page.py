"""The page of a ledger: a pure function of its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from mmrec_bench.models.base import MODELS
from mmrec_bench.reports.cards.schema import ResultCard, Score
from mmrec_bench.reports.ledger.schema import CARDS, Ledger
from mmrec_bench.reports.legacy_file import LegacyLine
from mmrec_bench.reports.table import ABSENT, Table
from mmrec_bench.statistics.contrast import LEVEL

Meaning: TypeAlias = tuple[str, str, str, str]
"""Data set, protocol id, digests of data and split: numbers of two meanings never share a table."""

METRICS = ("recall@20", "ndcg@20")
"""What the tables show."""


def ledger_page(ledger: Ledger, link: str, command: str) -> str:
    """Return the page in Markdown.

    Args:
        ledger: The facts.
        link: Path of their folder, relative to the page.
        command: The command that makes the page.
    """
    parts = [ledger.introduction.strip() + "\n", f"Made by `{command}`.\n"]
    for dataset in _datasets(ledger):
        parts.append(f"## {dataset}\n")
        for meaning in _meanings(ledger, dataset):
            parts += [_side_by_side(ledger, dataset, meaning, metric).markdown() for metric in METRICS]
        parts += [table.markdown() for table in (*_legacy(ledger, dataset), *_peers(ledger, dataset))]
        parts += [table.markdown() for table in _printed(ledger, dataset)]
    parts += ["## What was run here\n", _cards(ledger, link).markdown(), "## Settings and protocols\n"]
    words = {name: text.strip() for name, text in ledger.published.settings.items()}
    words |= {f"`{card.protocol.id}`": card.protocol.words for card in ledger.cards.values()}
    parts.append("".join(f"- {name}: {text.rstrip('.')}.\n" for name, text in words.items()))
    return "\n".join(parts)


def _datasets(ledger: Ledger) -> list[str]:
    """Return all data sets, those with results here first."""
    own = (card.dataset for card in ledger.cards.values())
    return list(dict.fromkeys([*own, ledger.peers.dataset, *(value.dataset for value in ledger.published.values)]))


def _meaning_of(card: ResultCard) -> Meaning:
    return card.dataset, card.protocol.id, card.fingerprints.data, card.fingerprints.split


def _meanings(ledger: Ledger, dataset: str) -> list[Meaning | None]:
    """Return what numbers on a data set mean; None where nothing was measured on it, here or on the same files."""
    peers = ledger.peers
    of_peers = peers.dataset, peers.protocol_id, peers.data, peers.split
    found = dict.fromkeys([of_peers, *map(_meaning_of, ledger.cards.values())])
    return [meaning for meaning in found if meaning[0] == dataset] or [None]


def _side_by_side(ledger: Ledger, dataset: str, meaning: Meaning | None, metric: str) -> Table:
    cards = [card for card in ledger.cards.values() if _meaning_of(card) == meaning]
    told = ledger.peers
    peers = told.values if (told.dataset, told.protocol_id, told.data, told.split) == meaning else ()
    of_peers = {value.model: value.test.get(metric) for value in peers}
    names = [card.label for card in cards]
    names += [value.model for value in ledger.published.values if value.dataset == dataset] + list(of_peers)

    def lines() -> Iterator[tuple[str, ...]]:
        for name in dict.fromkeys(names):
            printed = _range(
                value.metrics[metric]
                for value in ledger.published.values
                if (value.model, value.dataset) == (name, dataset)
                and metric in value.metrics
                and ledger.published.sources[value.source].verified
            )
            peer = of_peers.get(name)
            own: list[ResultCard | None] = [card for card in cards if card.label == name]
            for card in own or [None]:
                score = None if card is None else card.metrics["test"].get(metric)
                yield (
                    name, printed, _value(peer), *_score(score), _where(peer, score), _settings(card),
                    _chosen_on_test(ledger, card, metric),
                )  # fmt: skip

    level = f"{LEVEL:.0%}"
    same = "" if meaning is None else f"Protocol `{meaning[1]}`, data `{meaning[2]}`, split `{meaning[3]}`. "
    note = (
        f"Test {metric}. {same}Printed: the range of all sources whose table was at hand. Released code: on the same "
        f"files, n = {ledger.peers.n}. Here: mean ± unbiased standard deviation over n seeds, and its {level} interval "
        "over users, and over seeds where n is two or more; whether the value of the released code lies in it. Last: "
        "the test score of the trial that validation chose in the study of these settings, and of the one that is best "
        "on test, which would have been published; both of the seed of the study (n = 1), which is none of the seeds "
        "here."
    )
    header = (
        "model", "printed", "released code", "here", "n", f"{level} interval", "released code is", "settings",
        "study: chosen / best on test",
    )  # fmt: skip
    rows = sorted(lines(), key=lambda row: row[3], reverse=True)
    return Table(f"{dataset}: test {metric}", note, header, tuple(rows))


def _legacy(ledger: Ledger, dataset: str) -> list[Table]:
    found = [] if ledger.legacy is None else [line for line in ledger.legacy.lines if line.dataset == dataset]
    if not found:
        return []

    def cells(line: LegacyLine) -> tuple[str, ...]:
        ends = ABSENT if line.bias_low is None else f"[{line.bias_low:+.4f}, {line.bias_high:+.4f}]"
        relative = f"{line.bias / abs(line.chosen_test):+.1%}" if line.chosen_test else ABSENT
        return (
            line.model, str(line.n_trials), f"{line.chosen_valid:.4f}", f"{line.chosen_test:.4f}",
            f"{line.best_valid:.4f}", f"{line.best_test:.4f}", f"{line.bias:+.4f}", relative, ends,
        )  # fmt: skip

    metrics = ", ".join(dict.fromkeys(line.metric for line in found))
    biases = [line.bias / abs(line.chosen_test) for line in found if line.chosen_test]
    mean = f"{sum(biases) / len(biases):+.1%}" if biases else ABSENT
    note = (
        f"{metrics}, n = 1 training a trial, complete trials of each study. Left what validation chose, right what is "
        f"best on test; their difference on test, which is the bias, with a {LEVEL:.0%} interval over users, paired, "
        f"for these two trials. Mean of the relative biases over {len(biases)} studies: {mean}. Shown, never used: "
        "nothing else on this page stands on these numbers but its last column."
    )
    header = (
        "model", "trials", "by validation: valid", "its test", "best on test: valid", "its test ", "bias", "relative",
        f"{LEVEL:.0%} interval",
    )  # fmt: skip
    return [Table(f"{dataset}: chosen on validation, and chosen on test", note, header, tuple(map(cells, found)))]


def _peers(ledger: Ledger, dataset: str) -> list[Table]:
    peers = ledger.peers
    if peers.dataset != dataset:
        return []
    names = list(dict.fromkeys(name for value in peers.values for name in value.test))
    rows = tuple(
        (
            value.model,
            value.settings,
            str(value.epochs),
            _value(value.valid.get("recall@20")),
            *(_value(value.test.get(name)) for name in names),
        )
        for value in peers.values
    )
    header = ("model", "settings", "epochs", "valid recall@20", *(f"test {name}" for name in names))
    return [Table(f"{dataset}: released code on the same files", f"{peers.note.strip()}.", header, rows)]


def _printed(ledger: Ledger, dataset: str) -> list[Table]:
    found = [value for value in ledger.published.values if value.dataset == dataset]
    if not found:
        return []
    names = list(dict.fromkeys(name for value in found for name in value.metrics))
    rows = []
    for value in found:
        source = ledger.published.sources[value.source]
        title = source.title if source.verified else f"{source.title} (unverified; not in the tables above)"
        rows.append((value.model, title, source.setting, *(_value(value.metrics.get(name)) for name in names)))
    note = "As printed; n is not told. What the settings are stands at the end of this page."
    return [Table(f"{dataset}: printed values", note, ("model", "source", "setting", *names), tuple(rows))]


def _cards(ledger: Ledger, link: str) -> Table:
    def cells(name: str, card: ResultCard) -> tuple[str, ...]:
        return (
            f"[{card.label}]({link}/{CARDS}/{name})",
            card.dataset,
            ", ".join(map(str, card.seeds)),
            f"`{card.digest}`",
            ", ".join(dict.fromkeys(making.code for making in card.makings)),
            f"{card.parameters['total']:,}",
            f"{sum(phase.mean for phase in card.cost.seconds.values()):.0f}",
            _studied(card),
        )

    note = (
        "One card a row: its seeds, digest, code, parameters, seconds of a run by the clock, what chose the settings."
    )
    header = ("row", "data set", "seeds", "digest", "code", "parameters", "seconds", "settings")
    return Table("Result cards", note, header, tuple(cells(name, card) for name, card in ledger.cards.items()))


def _studied(card: ResultCard) -> str:
    if card.tuning is None:
        return "by hand"
    budget = " or ".join(f"{value:g} {name}" for name, value in card.tuning.budget.items() if value is not None)
    spent = card.tuning.spent
    return f"study {card.tuning.study}, {budget}; spent {spent['trials']} trials, {spent['seconds']:.0f} s"


def _settings(card: ResultCard | None) -> str:
    """Return who chose the settings, in which form of the model, and how long trainings may last."""
    if card is None:
        return ABSENT
    parts = ["by hand" if card.tuning is None else "tuned"]
    model = card.config.get("model", {})
    if model.get("preset") == "released":
        other = _overridden(model)
        parts.append("released switches" + (f" but {', '.join(other)}" if other else ""))
    trainer = card.config.get("trainer") or {}
    return ", ".join([*parts, *([f"{trainer['max_epochs']} epochs at most"] if "max_epochs" in trainer else [])])


def _overridden(model: Mapping[str, Any]) -> list[str]:
    """Return what the preset of released code would have set otherwise, with its value here."""
    name = str(model.get("name"))
    released = MODELS[name].config.RELEASED if name in MODELS else {}
    return [
        f"{key} {model[key]:g}" if isinstance(model[key], float) else f"{key} {model[key]}"
        for key, value in released.items()
        if key in model and model[key] != value
    ]


def _chosen_on_test(ledger: Ledger, card: ResultCard | None, metric: str) -> str:
    if ledger.legacy is None or card is None or card.tuning is None:
        return ABSENT
    lines: Sequence[LegacyLine] = ledger.legacy.lines
    study = card.tuning.study
    found = (
        f"{one.chosen_test:.4f} / {one.best_test:.4f}" for one in lines if (one.study, one.metric) == (study, metric)
    )
    return next(found, ABSENT)


def _range(values: Iterable[float]) -> str:
    found = sorted(values)
    if not found:
        return ABSENT
    return _value(found[0]) if found[0] == found[-1] else f"{found[0]:.4f} to {found[-1]:.4f}"


def _value(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.4f}"


def _score(score: Score | None) -> tuple[str, str, str]:
    if score is None:
        return ABSENT, ABSENT, ABSENT
    mean = f"{score.mean:.4f}" + ("" if score.sd is None else f" ± {score.sd:.4f}")
    ends = ABSENT if score.low is None else f"[{score.low:.4f}, {score.high:.4f}]"
    return mean, str(score.n), ends


def _where(value: float | None, score: Score | None) -> str:
    if value is None or score is None or score.low is None or score.high is None:
        return ABSENT
    return "below" if value < score.low else "above" if value > score.high else "in it"
