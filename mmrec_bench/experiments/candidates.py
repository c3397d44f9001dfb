"""Two stages: what a retrieval model finds becomes the lists that a ranker puts in order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from safetensors.torch import load_file

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Histories, Lists
from mmrec_bench.errors import ArtefactError, ModelError
from mmrec_bench.evaluation.retrieval import exclusions_of
from mmrec_bench.experiments.artefact import WEIGHTS, RunArtefact
from mmrec_bench.experiments.prepare import FirstStage, Prepared
from mmrec_bench.experiments.stations.retrieval import build_model
from mmrec_bench.models.base import ClosedForm, Recommender
from mmrec_bench.models.ranking.base import Teaching
from mmrec_bench.retrieval.base import Scoring
from mmrec_bench.retrieval.config import RetrieverConfig, build_retriever
from mmrec_bench.types import IntArray


class RetrievedCandidates:
    """Lists of what a trained first stage retrieves.

    A training list holds what is retrieved for a user of the fold by a model that has not seen the fold. Rows in the
    fold have label 1, and are the clicks of those who learn from clicks, at the places the first stage gave them. A
    held-out list leaves out all training items of its user, the fold too. Row features are the score, standardised
    over all training rows, and the logarithm of the place; histories are the user's known items, by time where it is
    known, else by item. To those who learn from clicks a place is how a row was shown, a bias that relevance must not
    hang on, and no feature.

    Args:
        n: Candidates of each user.
        teaching: What the ranker learns from; None where it learns nothing.
        prepared: Data and split of the second stage, and the finished run of the first.
        device: Where to retrieve.
    """

    def __init__(self, n: int, teaching: Teaching | None, prepared: Prepared, device: torch.device) -> None:
        stage, artefact = prepared.first_stage, prepared.first_run
        assert stage is not None
        assert artefact is not None  # it is run before
        model = restored(stage, artefact, device)
        self._n, self._n_features = n, 1 if teaching == "clicks" else 2
        self._scoring: Scoring = model.export()
        self._retriever = build_retriever(stage.experiment.config.retriever or RetrieverConfig(), device)
        self._ties = prepared.ties
        whole: Interactions = prepared.split.train
        seen: Interactions = stage.prepared.split.train
        in_fold = ~np.isin(whole.keys(), seen.keys())
        lists = self._lists(whole.select(in_fold), seen)
        found = np.bincount(lists.list_of, _labels(lists) > 0, lists.n_lists)
        if not found.any():
            raise ModelError(
                f"the first stage finds no item of the fold among {self._n} candidates, so there is nothing to learn. "
                "Raise inputs.candidates.n or inputs.candidates.share, or choose a better first stage"
            )
        self._known = whole
        lists = lists.select(np.flatnonzero(found))
        assert lists.features is not None
        self._mean, self._deviation = lists.features[:, 0].mean(), max(float(lists.features[:, 0].std()), 1e-8)
        self.train = replace(self._scaled(lists), clicks=_labels(lists) > 0)
        """Lists to learn from: those with a row in the fold."""

    def held_out(self, truth: Interactions) -> Lists:
        """Return the lists of the users of a held-out part; rows in it have label 1."""
        return self._scaled(self._lists(truth, self._known))

    def _lists(self, truth: Interactions, known: Interactions) -> Lists:
        users = np.unique(truth.users)
        rankings = self._retriever.top_k(self._scoring, users, self._n, exclusions_of([known]), self._ties)
        of, place = (rankings.items >= 0).nonzero()
        items = rankings.items[of, place]
        positive = np.isin(users[of] * np.int64(truth.n_items) + items, truth.keys())
        n_truth = truth.user_counts()[users]
        scores = rankings.scores[of, place].astype(np.float32)
        return Lists(
            list_of=of,
            items=items,
            n_items=truth.n_items,
            users=users,
            n_users=truth.n_users,
            features=np.stack([scores, np.log2(place + 2.0).astype(np.float32)][: self._n_features], axis=1),
            positions=place + 1,
            labels=positive.astype(np.int64),
            histories=histories_of(known, users),
            missed=n_truth - np.bincount(of, positive, len(users)).astype(np.int64),
        )

    def _scaled(self, lists: Lists) -> Lists:
        assert lists.features is not None
        features = lists.features.copy()
        features[:, 0] = (features[:, 0] - self._mean) / self._deviation
        return replace(lists, features=features)


def histories_of(known: Interactions, users: IntArray) -> Histories:
    """Return the items of users, oldest first where time is known, else by item."""
    clock = known.clock()
    keys = (known.items, known.users) if clock is None else (known.items, clock, known.users)
    order = np.lexsort(keys)
    offsets = np.concatenate([[0], np.cumsum(known.user_counts())]).astype(np.int64)
    return Histories(offsets, known.items[order]).select(users)


def restored(stage: FirstStage, artefact: RunArtefact, device: torch.device) -> Recommender:
    """Return the trained model of a run, in evaluation mode.

    Raises:
        ArtefactError: Its weights do not fit the model.
    """
    model, context = build_model(stage.experiment, stage.prepared, stage.key.seed, device)
    if isinstance(model, ClosedForm):
        model.fit(context)  # the same facts give the same model, and its weights may have any shape
    else:
        try:
            model.load_state_dict(load_file(artefact.folder / WEIGHTS))
        except (RuntimeError, OSError, ValueError) as error:
            raise ArtefactError(f"{artefact.folder / WEIGHTS}: does not fit the model: {error}") from None
    model.to(device)
    model.eval()
    return model


def _labels(lists: Lists) -> IntArray:
    assert lists.labels is not None
    return lists.labels
