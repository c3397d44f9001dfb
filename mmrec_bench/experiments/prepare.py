"""From an experiment's YAML to data in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from mmrec_bench.data.alterations import Alteration, alter_dataset, modalities_left
from mmrec_bench.data.arrays import digest
from mmrec_bench.data.cards import load_card, load_dataset, load_lists
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.formats.base import PayloadKind
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lexicon import Lexicon
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.points import Points
from mmrec_bench.data.recipes import ImpressionRecipe
from mmrec_bench.data.split import Split
from mmrec_bench.data.splitting import make_list_split, make_point_split, make_split
from mmrec_bench.errors import ArtefactError, ModelError, ProtocolError
from mmrec_bench.evaluation.interactive_protocol import InteractiveProtocol
from mmrec_bench.evaluation.protocol import ProtocolConfig, RetrievalProtocol
from mmrec_bench.experiments.artefact import WEIGHTS, RunArtefact, RunKey
from mmrec_bench.experiments.audit import Auditor
from mmrec_bench.experiments.features.extract_config import ExtractedTables
from mmrec_bench.experiments.features.tables import with_extracted
from mmrec_bench.experiments.inputs import plan_features
from mmrec_bench.experiments.lexicons import lexicon_of
from mmrec_bench.experiments.prepared import FirstStage, Prepared, Start, run_key, unaltered_fingerprint
from mmrec_bench.experiments.schema.experiment import Experiment, ExperimentConfig
from mmrec_bench.experiments.schema.parts import DatasetRef
from mmrec_bench.experiments.stations.list_checks import check_lists
from mmrec_bench.models.needs import models_for
from mmrec_bench.retrieval.base import tie_ranks

__all__ = ["FirstStage", "Prepared", "Preparer", "Start", "run_key", "unaltered_fingerprint"]


class Preparer:
    """Prepares experiments, loading each data set and making each split once.

    Args:
        data_dir: Where data folders lie.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._data_dir = data_dir
        self._datasets: dict[str, Dataset[Interactions]] = {}
        self._lists: dict[str, Dataset[Lists]] = {}
        self._of_points: dict[str, Dataset[Points]] = {}
        self._extracted: dict[str, Dataset[Any]] = {}
        self._lexicons: dict[str, Lexicon] = {}
        self._prepared: dict[str, Prepared] = {}
        self._alter = lru_cache(maxsize=1)(alter_dataset)

    def __call__(self, experiment: Experiment) -> Prepared:
        """Load and split the data of an experiment.

        Raises:
            DataError: The data is missing or broken.
            ProtocolError: The split cannot be made.
            ModelError: The model needs what the data does not have.
        """
        config = experiment.config
        dataset = self._read(config.dataset, config.kind, config.protocol, str(experiment.source))
        left = (*modalities_left(tuple(dataset.features), config.dataset.alter), *config.inputs.features)
        if lacking := config.needs.lacking(left):
            gives = ", ".join(sorted(left)) or "none"
            raise ModelError(
                f"model '{config.label}' needs {', '.join(lacking)}; data set '{dataset.name}' gives {gives}. "
                f"Models that do without: {', '.join(models_for(config.entry.task, left))}. "
                "Choose one, or add the features to the card"
            )
        parted = self._parted(dataset, config.protocol, config.dataset.card)
        prepared = self._altered(parted, dataset, config.dataset.alter)
        prepared = self._with_inputs(prepared, dataset, config)
        if config.entry.task == "ranking" and config.kind == "lists":
            check_lists(config, prepared.split, prepared.ties)
        prepared = self._with_lexicon(_with_clicks(prepared, config), config.dataset.card, config.protocol)
        return self._with_start(self._with_first_stage(prepared, experiment), experiment)

    def without_model(self, ref: DatasetRef, kind: PayloadKind, protocol: ProtocolConfig, source: str) -> Prepared:
        """Load and split data to judge lists that some system has made.

        Args:
            ref: Which data.
            kind: What is read of them: ``lists`` where these are given, else what `DatasetRef.impressions` reads, or
                ``interactions``.
            protocol: Its split is made.
            source: Where it was read, for messages.

        Raises:
            DataError: The data is missing or broken.
            ProtocolError: The split cannot be made.
        """
        prepared = self._parted(self._read(ref, kind, protocol, source), protocol, ref.card)
        return self._with_lexicon(prepared, ref.card, protocol)

    def _read(self, ref: DatasetRef, kind: PayloadKind, protocol: ProtocolConfig, source: str) -> Dataset[Any]:
        dataset = self.tables(ref, kind)
        if ref.impressions is not None:
            dataset = self._points(dataset, ref.impressions)
        protocol.check_catalogue(dataset.payload.n_items, source)
        return dataset

    def _parted(self, dataset: Dataset[Any], protocol: ProtocolConfig, card: str) -> Prepared:
        """Return the data set with its split, made once."""
        key = f"{id(dataset)}/{protocol.model_dump_json(include={'split', 'cold_users', 'tie_seed'})}"
        if key not in self._prepared:
            split: Split[Any]
            if isinstance(dataset.payload, Lists):
                split = make_list_split(dataset.payload, protocol.split)
            elif isinstance(dataset.payload, Points):
                split = make_point_split(dataset.payload, protocol.split)
            else:
                cold_users = protocol.cold_users if isinstance(protocol, RetrievalProtocol) else "drop"
                split = make_split(dataset.payload, protocol.split, cold_users)
            fingerprints = {"data": dataset.fingerprint(), "split": split.fingerprint(), **_of_features(dataset)}
            ties = tie_ranks(dataset.item_ids, protocol.tie_seed)
            auditor = Auditor(dataset, split, protocol.split, load_card(card))
            self._prepared[key] = Prepared(lambda: dataset, split, ties, auditor, fingerprints, fingerprints)
        return self._prepared[key]

    def _with_extracted(self, dataset: Dataset[Any], ref: ExtractedTables) -> Dataset[Any]:
        """Return the data set with extracted feature tables, read once; a new object would be split again."""
        key = f"{id(dataset)}/{ref.model_dump_json(include={'features'})}"
        if key not in self._extracted:
            self._extracted[key] = with_extracted(dataset, ref.features, self._data_dir)
        return self._extracted[key]

    def _points(self, dataset: Dataset[Any], recipe: ImpressionRecipe) -> Dataset[Points]:
        """Return the data set as impressions, made once; a new object would be split again."""
        key = f"{id(dataset)}/{recipe.text}"
        if key not in self._of_points:
            self._of_points[key] = replace(dataset, payload=recipe.points(dataset.payload))
        return self._of_points[key]

    def _altered(self, prepared: Prepared, dataset: Dataset[Any], alterations: tuple[Alteration, ...]) -> Prepared:
        if not alterations:
            return prepared
        load = partial(self._alter, dataset, alterations)
        parts = {name: prepared.fingerprints[name] for name in ("data", "split")}
        return replace(prepared, load=load, fingerprints=parts | _of_features(load()))

    def dataset(self, card: str, modalities: Sequence[str] | None = None) -> Dataset[Interactions]:
        """Return the data set of a card with these feature tables, all by default; read once.

        Raises:
            DataError: The data is missing or broken.
        """
        found = load_card(card)
        key = f"{found.folder}/{found.model_dump_json()}/{modalities}"
        if key not in self._datasets:
            self._datasets[key] = load_dataset(found, self._data_dir, modalities)
        return self._datasets[key]

    def lists(self, card: str, modalities: Sequence[str] | None = None) -> Dataset[Lists]:
        """Return the lists of a card with these feature tables, all by default; read once.

        Raises:
            DataError: The data is missing or broken, or the card gives no lists.
        """
        found = load_card(card)
        key = f"{found.folder}/{found.model_dump_json()}/{modalities}"
        if key not in self._lists:
            self._lists[key] = load_lists(found, self._data_dir, modalities)
        return self._lists[key]

    def tables(self, ref: ExtractedTables, kind: PayloadKind | None = None) -> Dataset[Any]:
        """Return a data set with its feature tables, extracted ones among them; read once.

        Args:
            ref: Which data, with which tables.
            kind: What is read besides; what the card gives by default.

        Raises:
            DataError: The data is missing or broken, or a table has not been extracted.
        """
        dataset = self._of_card(ref.card, ref.read, kind)
        return self._with_extracted(dataset, ref) if ref.features else dataset

    def items(self, card: str) -> Dataset[Any]:
        """Return the data set of a card for its items, without feature tables; read once.

        Raises:
            DataError: The data is missing or broken.
        """
        return self._of_card(card, (), None)

    def _of_card(self, card: str, modalities: Sequence[str] | None, kind: PayloadKind | None) -> Dataset[Any]:
        if kind is None:
            kind = "interactions" if "interactions" in load_card(card).payloads else "lists"
        read = self.lists if kind == "lists" else self.dataset
        return read(card, modalities)

    def _with_inputs(self, prepared: Prepared, dataset: Dataset[Any], config: ExperimentConfig) -> Prepared:
        inputs = tuple(
            plan_features(name, source, dataset, config.dataset.card, self.tables, config.dataset.alter)
            for name, source in sorted(config.inputs.features.items())
        )
        return replace(
            prepared,
            fingerprints=prepared.fingerprints | {f"features/{item.name}": item.fingerprint for item in inputs},
            unaltered=prepared.unaltered | {f"features/{item.name}": item.unaltered for item in inputs},
            inputs=inputs,
        )

    def _with_first_stage(self, prepared: Prepared, experiment: Experiment) -> Prepared:
        config = experiment.config
        candidates, base = config.inputs.candidates, config.inputs.base
        if (found := config.first_stage) is None:
            return prepared
        n_items = prepared.dataset.payload.n_items
        if candidates is not None and candidates.n > n_items:
            raise ProtocolError(
                f"inputs.candidates.n is {candidates.n}, and there are {n_items} items. Lower it in {experiment.source}"
            )
        if base is not None and (cutoff := int(base.select_by.partition("@")[2])) > n_items:
            raise ProtocolError(
                f"inputs.base.select_by: the base is judged at {cutoff}, and there are {n_items} items. Set a "
                f"lower one, such as recall@{max(n_items // 2, 1)}, in {experiment.source}"
            )
        stage = Experiment(found, experiment.source, f"{experiment.label}, first stage {found.label}")
        ready, seed = self(stage), found.seeds[0]
        key = run_key(stage, ready, seed)
        if base is not None:
            told = {"seed": seed}
            folder = None if base.run is None else _checked(Path(base.run), key)
            text = str(seed)
        else:
            assert candidates is not None
            told, folder = candidates.model_dump(mode="json", exclude={"first_stage"}), None
            text = candidates.model_dump_json(exclude={"first_stage"})
        kind: Literal["candidates", "base"] = "candidates" if base is None else "base"
        return replace(
            prepared,
            fingerprints=prepared.fingerprints | {kind: digest(key.fingerprint, text)},
            unaltered=prepared.unaltered | {kind: digest(unaltered_fingerprint(stage, ready), text)},
            first_stage=FirstStage(kind, told, stage, ready, key, folder),
        )

    def _with_lexicon(self, prepared: Prepared, card: str, protocol: ProtocolConfig) -> Prepared:
        if not isinstance(protocol, InteractiveProtocol):
            return prepared
        key = f"{id(prepared.split)}/{protocol.queries.model_dump_json()}"
        if key not in self._lexicons:
            items = prepared.dataset.items
            self._lexicons[key] = lexicon_of(protocol.queries, items, load_card(card), self._data_dir)
        lexicon = self._lexicons[key]
        told = {"lexicon": lexicon.fingerprint()}
        return replace(
            prepared, lexicon=lexicon, fingerprints=prepared.fingerprints | told, unaltered=prepared.unaltered | told
        )

    def _with_start(self, prepared: Prepared, experiment: Experiment) -> Prepared:
        config = experiment.config
        if (told := config.inputs.start) is None:
            return prepared
        if (found := config.start) is not None:
            first = Experiment(found, experiment.source, f"{experiment.label}, started from {found.label}")
            ready = self(first)
            start = Start(run_key(first, ready, 0).fingerprint, experiment=first, prepared=ready)
            unaltered = unaltered_fingerprint(first, ready)
        else:
            assert told.run is not None
            start = _from_folder(Path(told.run), prepared)
            unaltered = start.fingerprint
        return replace(
            prepared,
            fingerprints=prepared.fingerprints | {"start": start.fingerprint},
            unaltered=prepared.unaltered | {"start": unaltered},
            start=start,
        )


def _from_folder(folder: Path, prepared: Prepared) -> Start:
    """Return the weights of a finished run, which must have seen no other rows.

    Raises:
        ArtefactError: It is no whole run, or of other data or another split, whose past may be this one's future.
    """
    artefact = RunArtefact.load(folder)
    prints = artefact.manifest["fingerprints"]
    for what in ("data", "split"):
        if prints.get(what) != prepared.fingerprints[what]:
            raise ArtefactError(
                f"inputs.start: {folder} was trained on another {what} ({prints.get(what)}, here "
                f"{prepared.fingerprints[what]}), and may have seen what is held out here. Name a run of the same data "
                "and protocol.split"
            )
    return Start(digest(prints["config"], str(artefact.manifest["seed"]), artefact.manifest["files"][WEIGHTS]), folder)


def _checked(folder: Path, key: RunKey) -> Path:
    """Return the folder of a run, which must be the run of this key.

    Raises:
        ArtefactError: It is another one, such as a run on other data.
    """
    facts = RunArtefact.load(folder).manifest
    if (found := facts["fingerprints"]["config"]) != key.fingerprint or facts["seed"] != key.seed:
        raise ArtefactError(
            f"{folder}: its fingerprint is {found}, and with today's data and code's rules it would be "
            f"{key.fingerprint}. Run it again, or name its YAML under inputs.base"
        )
    return folder


def _with_clicks(prepared: Prepared, config: ExperimentConfig) -> Prepared:
    if (clicks := config.dataset.clicks) is None:
        return prepared
    log = {"clicks": digest(clicks.model_dump_json())}
    return replace(prepared, fingerprints=prepared.fingerprints | log, unaltered=prepared.unaltered | log)


def _of_features(dataset: Dataset[Any]) -> dict[str, str]:
    return {f"features/{name}": value for name, value in dataset.feature_fingerprints().items()}
