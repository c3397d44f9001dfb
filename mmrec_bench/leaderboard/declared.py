"""What a submission declares: its card and config say the same as its ``submission.json`` and its track."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from mmrec_bench.errors import ArtefactError, ConfigError, MMRecBenchError
from mmrec_bench.experiments.audit import PURPOSE as AUDIT_PURPOSE
from mmrec_bench.experiments.differences import flatten
from mmrec_bench.experiments.schema.experiment import ExperimentConfig
from mmrec_bench.experiments.stations.base import VAULT_PURPOSE
from mmrec_bench.extraction.weights import pinned
from mmrec_bench.leaderboard.documents import check_places, parse_object
from mmrec_bench.leaderboard.findings import MAX_TOLD, Findings, shown
from mmrec_bench.leaderboard.folder import SubmissionFolder
from mmrec_bench.leaderboard.submission import CARD, CONFIG, N_PROVISIONAL, SUBMISSION, Submission
from mmrec_bench.leaderboard.track import Track
from mmrec_bench.leaderboard.versions import changed_metrics, metric_versions
from mmrec_bench.leaderboard.words import one_line, plain
from mmrec_bench.models.base import MODELS
from mmrec_bench.reports.cards.schema import ResultCard, digest_of_json
from mmrec_bench.settings import Document, dotted, parse_yaml
from mmrec_bench.strict_yaml import Location

MAX_TEXT = 2000
"""Letters of a text of a card."""
LEAKS = frozenset({"leak", "leaks", "leaked"})
"""Keys of data from behind the cut."""
OPEN = "A closed system has the features of the track; declare tier open"
"""What to do about other features."""
CLICKS: Location = ("dataset", "clicks")
"""Keys, one in the other, of a log of clicks that is simulated."""
EXTRACTED: Location = ("dataset", "features")
"""Keys, one in the other, of features that an encoder extracts of texts and pictures."""
FOLDERS: Mapping[Location, str] = {
    ("base", "run"): "of runs; name an experiment",
    ("start", "run"): "of runs; name an experiment",
    ("pictures", "folder"): "of pictures; leave it out, for those that the data set names",
    ("encoder", "model"): "of weights; name some of the hub, with their revision, or an encoder without",
}
"""Keys, one in the other, under which a folder would be named, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What could be read of card and config.

    Attributes:
        card: The result card.
        config: The experiment; None where its model is not installed here.
    """

    card: ResultCard
    config: ExperimentConfig | None

    @property
    def modalities(self) -> tuple[str, ...] | None:
        """Names of the modalities that it reads, as its config says; None for all."""
        dataset = self.card.config.get("dataset")
        told = dataset.get("modalities") if isinstance(dataset, dict) else None
        return tuple(map(str, told)) if isinstance(told, list) else None

    @property
    def made(self) -> tuple[str, ...]:
        """Names of the features that it makes of others, as its config says."""
        inputs = self.card.config.get("inputs")
        features = inputs.get("features") if isinstance(inputs, dict) else None
        return tuple(features) if isinstance(features, dict) else ()


def check_declared(folder: SubmissionFolder, track: Track, findings: Findings) -> Declared | None:
    """Check card and config against each other, the submission and the track.

    Returns:
        Both, or None where one of them could not be read.
    """
    raw_card, raw_config = _card(folder, findings), _config(folder, findings)
    for name, raw in ((CARD, raw_card), (CONFIG, raw_config)):
        if raw is not None and (places := [place for place, value in _walk(raw) if _leaks(place, value)]):
            findings.fail("leak", name, f"names data from behind the cut: {shown(dotted(places[0]))}")
    findings.passed("leak", "no mark of leaked data")
    card = None if raw_card is None else _typed_card(raw_card, findings)
    config = None
    if raw_config is not None:
        _check_track(raw_config, folder.submission, track, findings)
        config = _typed_config(raw_config, folder.submission, findings)
        if folder.submission.tier == "closed":
            _check_teaching(raw_config.get("model") if config is None else config.model, track, findings)
    _check_versions(folder.submission, track, findings)
    _check_seeds(folder.submission, findings)
    if card is None or raw_config is None:
        return None
    _check_card(card, raw_config, folder.submission, track, findings)
    return Declared(card, config)


def _card(folder: SubmissionFolder, findings: Findings) -> dict[str, Any] | None:
    if (content := folder.read(CARD, findings)) is None:
        return None
    try:
        return parse_object(content, Path(CARD))
    except MMRecBenchError as error:
        findings.fail("card", CARD, str(error).removeprefix(f"{CARD}: "))
        return None


def _config(folder: SubmissionFolder, findings: Findings) -> dict[str, Any] | None:
    if (content := folder.read(CONFIG, findings)) is None:
        return None
    try:
        found = parse_yaml(content.decode("utf-8"), CONFIG).data
        check_places(found, Path(CONFIG))
    except ConfigError as error:
        findings.fail_each("config", CONFIG, map(str, error.issues))
        return None
    except (ArtefactError, UnicodeDecodeError) as error:
        findings.fail("config", CONFIG, str(error).removeprefix(f"{CONFIG}: "))
        return None
    return found


def _nodes(node: Any, place: Location = ()) -> Iterator[tuple[Location, Any]]:
    """Yield everything that a document holds with its place, what holds others before these."""
    yield place, node
    held: Iterable[tuple[str | int, Any]] = ()
    if isinstance(node, Mapping):
        held = ((str(key), value) for key, value in node.items())
    elif isinstance(node, (list, tuple)):
        held = enumerate(node)
    for key, value in held:
        yield from _nodes(value, (*place, key))


def _walk(node: Any) -> Iterator[tuple[Location, Any]]:
    """Yield the values of a document that hold no others."""
    return ((place, value) for place, value in _nodes(node) if not isinstance(value, (Mapping, list, tuple)))


def _leaks(place: Location, value: Any) -> bool:
    keys = (key for key in place if isinstance(key, str))  # one may be of several, such as "leak.window"
    return bool(value) and any(word in LEAKS for key in keys for word in key.replace("[", ".").split("."))


def _typed_card(raw: dict[str, Any], findings: Findings) -> ResultCard | None:
    try:
        card = Document(CARD, raw).parse(ResultCard)
    except ConfigError as error:
        findings.fail_each("card", CARD, map(str, error.issues))
        return None
    if not card.intact:
        findings.fail("card", CARD, "was changed since it was made: its digest is not that of its content")
    _check_texts(raw, findings)
    return card


def _check_texts(raw: Mapping[str, Any], findings: Findings) -> None:
    """Check that all texts that people read of a card are lines of plain text; settings are read by the package."""
    read = _texts({key: value for key, value in raw.items() if key != "config"})
    wrong = (f"{dotted(place)}: {why}" for place, text in read if (why := _unfit(text, place == ("label",))))
    findings.fail_each("card", CARD, wrong)


def _unfit(text: str, is_name: bool) -> str | None:
    """Return why a text is not to be shown; None where nothing is wrong with it."""
    try:
        (plain if is_name else one_line)(text)
    except PydanticCustomError as error:
        return error.message()
    return None if len(text) <= MAX_TEXT else f"has {len(text):,} letters; at most {MAX_TEXT:,} are shown"


def _texts(document: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Yield all texts with their places, and all keys with the place in which they stand."""
    for place, value in _nodes(document):
        if place and isinstance(place[-1], str):
            yield place[:-1], place[-1]
        if isinstance(value, str):
            yield place, value


def named_paths(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield where a config names what lies elsewhere: a path, or a word in a place where any is that of a folder.

    An id of the Hugging Face hub with its revision is none: it means the same everywhere.
    """
    leaves = dict(_walk(raw))
    for place, value in leaves.items():
        if place[-2:] == ("encoder", "model") and pinned(value, leaves.get((*place[:-1], "revision"))):
            continue
        folder = next((FOLDERS[pair] for pair in pairwise(place) if pair in FOLDERS), None)
        if isinstance(value, str) and place[-2:-1] == ("features",) and isinstance(place[-1], str):
            folder = "of features; give what makes them"
        if folder is not None and value is not None:
            yield f"{dotted(place)} names a folder {folder}"
        elif isinstance(value, str) and (set("/\\") & set(value) or value.endswith((".yaml", ".yml")) or ".." in value):
            yield f"{dotted(place)} names a path, {shown(value)}; a submission names none"


def _check_track(raw: dict[str, Any], submission: Submission, track: Track, findings: Findings) -> None:
    """Check that data and protocol are those of the track, and that no path is named."""
    findings.fail_each("config", CONFIG, named_paths(raw))
    if submission.tier == "closed":
        _check_closed(raw, findings)
    told = raw.get("dataset") if isinstance(raw.get("dataset"), dict) else {}
    assert isinstance(told, dict)
    wanted = track.settings
    mine = {
        "dataset": {"card": told.get("card"), "impressions": told.get("impressions")},
        "protocol": raw.get("protocol"),
    }
    if changed_metrics(submission.metric_versions, track):  # the same lists, judged by metrics of today
        wanted, mine = _without_metrics(wanted), _without_metrics(mine)
    if differs := differences(wanted, mine):
        findings.fail("protocol", CONFIG, f"is not of track {track.name}: {differs}")
    if told.get("alter"):
        findings.fail("protocol", CONFIG, "dataset.alter changes features; altered features stand on no board")
    if raw.get("seeds") != list(submission.seeds):
        findings.fail("seeds", CONFIG, f"seeds are {shown(str(raw.get('seeds')))}; {SUBMISSION} says otherwise")
    findings.passed("protocol", track.protocol.id)


def _check_closed(raw: Mapping[str, Any], findings: Findings) -> None:
    """Check that a closed system has the data of the track: it simulates no clicks, and extracts no features.

    What it makes of the features of the track are its own.
    """
    leaves = list(_walk(raw))
    if any(place[:2] == CLICKS and value is not None for place, value in leaves):
        findings.fail("tier", CONFIG, "dataset.clicks simulates clicks; a closed system has those of the track")
    places = (place for place, _ in leaves)
    named = dict.fromkeys(
        dotted(place[: at + 3]) for place in places for at, pair in enumerate(pairwise(place[:-1])) if pair == EXTRACTED
    )
    findings.fail_each("tier", CONFIG, (f"{name} extracts features. {OPEN}" for name in named))
    weights = (dotted(place) for place, value in leaves if place[-2:] == ("encoder", "model") and value is not None)
    findings.fail_each(
        "tier", CONFIG, (f"{name} names weights that were learned elsewhere. {OPEN}" for name in weights)
    )


def _check_teaching(model: Any, track: Track, findings: Findings) -> None:
    """Check that a closed system learns from what the track gives to learn from, also where only its YAML is known."""
    told = model.get("learns_from") if isinstance(model, Mapping) else getattr(model, "learns_from", None)
    told = track.learns_from if told is None else told
    if track.learns_from not in (None, told):
        learned = f"model.learns_from is {shown(str(told))}"
        findings.fail("tier", CONFIG, f"{learned}; closed systems of the track learn from {track.learns_from}")


def _without_metrics(settings: Mapping[str, Any]) -> dict[str, Any]:
    protocol = settings["protocol"]
    if not isinstance(protocol, dict):
        return dict(settings)
    kept = {key: value for key, value in protocol.items() if key not in ("metrics", "simulated")}
    return {**settings, "protocol": kept}


def _check_versions(submission: Submission, track: Track, findings: Findings) -> None:
    today = metric_versions(track)
    for name, version in submission.metric_versions.items():
        if version > today.get(name, version):
            told = f"metric_versions: {name} is of version {version}, which comes after {today[name]}"
            findings.fail("claims", SUBMISSION, told)


def differences(wanted: Mapping[Any, Any], found: Mapping[Any, Any]) -> str:
    """Return in what two documents differ, the first few of it."""
    left, right = flatten(wanted), flatten(found)
    keys = [key for key in dict.fromkeys((*left, *right)) if left.get(key) != right.get(key)]
    told = [f"{key} is {_value(right, key)}, not {_value(left, key)}" for key in keys[:MAX_TOLD]]
    return "; ".join(told) + (f"; and {len(keys) - MAX_TOLD} more" if len(keys) > MAX_TOLD else "")


def _value(flat: Mapping[str, Any], key: str) -> str:
    return shown(str(flat[key])) if key in flat else "absent"


def _typed_config(raw: dict[str, Any], submission: Submission, findings: Findings) -> ExperimentConfig | None:
    """Return the experiment, where nothing was found that would make reading it unsafe."""
    if any(check.name in ("config", "protocol") and check.verdict == "fail" for check in findings.checks):
        return None  # nothing is looked up by names that were refused
    model = raw.get("model")
    name = model.get("name") if isinstance(model, dict) else model
    if not isinstance(name, str):
        findings.fail(
            "config", CONFIG, f"model names none; give a name, or a mapping with one; got {shown(str(model))}"
        )
        return None
    if name not in MODELS:
        findings.flag("model", CONFIG, f"the model {shown(name)} is not installed here: no rerun, and no check")
        return None
    try:
        config = Document(CONFIG, raw).parse(ExperimentConfig)
    except ConfigError as error:
        findings.fail_each("config", CONFIG, map(str, error.issues))
        return None
    if config.entry.deterministic != submission.deterministic:
        moved = "no seed moves" if config.entry.deterministic else "seeds move"
        findings.fail("seeds", SUBMISSION, f"deterministic is {submission.deterministic}, and {moved} '{name}'")
    findings.passed("config", "loads as an experiment of this version, names no path")
    return config


def _check_card(
    card: ResultCard, raw: dict[str, Any], submission: Submission, track: Track, findings: Findings
) -> None:
    renamed = bool(changed_metrics(submission.metric_versions, track))  # versions are part of the id
    for what, mine, wanted in (
        ("task", card.task, track.task),
        ("dataset", card.dataset, track.dataset.card),
        ("protocol.id", card.protocol.id, track.protocol.id),
        ("protocol.select_by", card.protocol.select_by, track.protocol.select_by),
    ):
        if mine != wanted and not (renamed and what == "protocol.id"):
            findings.fail("protocol", CARD, f"{what} is {shown(mine)}; track {track.name} has {wanted}")
    if card.seeds != tuple(sorted(submission.seeds)):
        findings.fail("seeds", CARD, f"is of seeds {card.seeds}; {SUBMISSION} says {submission.seeds}")
    config = {key: value for key, value in raw.items() if key != "seeds"}
    if differs := differences(config, card.config):
        findings.fail("card", CARD, f"its config is not {CONFIG}: {differs}")
    if card.config_digest != (found := digest_of_json(card.config)):
        findings.fail("card", CARD, f"config_digest is {shown(card.config_digest)}; that of its config is {found}")
    made, seeds = {seed for making in card.makings for seed in making.seeds}, set(submission.seeds)
    if unmade := seeds - made:
        findings.fail("card", CARD, f"makings tell no hardware of seed {min(unmade)}; pack it from its runs")
    for what, named in (("makings tell", made), ("vault tells", {one.seed for one in card.vault})):
        if more := named - seeds:
            left_out = f"{what} of seed {min(more)}, which is not handed in"
            findings.fail(
                "seeds", CARD, f"{left_out}; hand in all seeds that were run, or pack it from those runs alone"
            )
    if (of_runs := tuple(sorted(run.seed for run in card.runs))) != card.seeds:
        wrong = f"runs are of seeds {ascii(of_runs)[:80]}; its seeds are {card.seeds}"
        findings.fail("seeds", CARD, f"{wrong}. Pack it from its runs")
    if "total" not in card.parameters:
        findings.fail("card", CARD, "parameters lack their total; pack it from its runs")
    claimed = {
        part: {name: claim.model_dump() for name, claim in found.items()} for part, found in submission.claimed.items()
    }
    told = {
        part: {name: score.model_dump(include={"mean", "sd", "n"}) for name, score in found.items()}
        for part, found in card.metrics.items()
    }
    if differs := differences(claimed, told):
        findings.fail("claims", CARD, f"its numbers are not those of {SUBMISSION}: {differs}")
    for seed in submission.seeds:
        openings = [one for one in card.vault if one.seed == seed and one.purpose == VAULT_PURPOSE]
        if len(openings) != 1:
            findings.fail(
                "vault", CARD, f"seed {seed} opened the test part {len(openings)} times to be judged, not once"
            )
    others = (
        f"seed {one.seed} opened the test part for another purpose: {shown(one.purpose)}"
        for one in card.vault
        if one.purpose not in (VAULT_PURPOSE, AUDIT_PURPOSE)
    )
    findings.fail_each("vault", CARD, others)
    findings.passed("vault", "each seed opened the test part once to be judged")
    if submission.tier == "closed" and card.tuning is not None:
        budget, spent = card.tuning.budget, card.tuning.spent
        for what, study in (("could have", budget), ("had", spent)):
            trials = study.get("trials")
            if study is budget and trials is None and budget.get("seconds") is not None:
                continue  # a budget of seconds alone is judged by what it came to
            if type(trials) is not int or not 0 < trials <= track.tuning_trials:
                had = f"its study {what} {ascii(trials)[:40]} trials"
                findings.fail("tier", CARD, f"{had}; a closed system has at most {track.tuning_trials}")
    if submission.tier == "open" and not submission.external_data:
        findings.flag("tier", SUBMISSION, "is open and declares no external_data; look what makes it so")
    findings.passed("tier", submission.tier)
    findings.passed("card", f"is whole, digest {card.digest}")


def _check_seeds(submission: Submission, findings: Findings) -> None:
    if not submission.deterministic and len(submission.seeds) < N_PROVISIONAL:
        findings.fail("seeds", SUBMISSION, f"has {len(submission.seeds)} seeds; at least {N_PROVISIONAL} are needed")
    findings.passed("seeds", f"{len(submission.seeds)}{', provisional' if submission.provisional else ''}")
