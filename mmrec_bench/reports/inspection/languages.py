"""Languages of titles, guessed of a sample: which, in which shares, and how many titles do not tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.extras import import_py3langid
from mmrec_bench.reports.inspection.base import share
from mmrec_bench.reports.table import Table, number
from mmrec_bench.seeding import Seeds

N_SAMPLE = 2000
"""Titles that are looked at; a share of them is off by 1.1 points at most (one standard error)."""
MIN_BYTES = 20
"""Letters of a title that tells its language, as bytes of UTF-8: 20 of Latin script, 7 of Han."""
MIN_TITLES = 30
"""Titles that long from which on shares are told."""
SURE = 0.8
"""Probability from which on a title counts for a language."""
MAX_CHARS = 300
"""What is looked at of a title."""
N_STEPS = 200
"""Steps in which the shares of languages are estimated at most."""


@dataclass(frozen=True, slots=True)
class Languages:
    """Languages of a sample of titles.

    Attributes:
        counts: Number of titles by language, as codes of ISO 639.
        unsure: Titles that could be of several languages.
        too_short: Titles that are too short to tell.
        drawn: Whether the sample was drawn; otherwise it is every title.
    """

    counts: Mapping[str, int]
    unsure: int
    too_short: int
    drawn: bool

    @property
    def n_titles(self) -> int:
        """Size of the sample."""
        return sum(self.counts.values()) + self.unsure + self.too_short

    def json(self) -> dict[str, Any]:
        """Return the numbers as plain data."""
        return {
            "sample": self.n_titles, "counts": dict(self.counts), "unsure": self.unsure, "too_short": self.too_short,
        }  # fmt: skip

    def table(self) -> Table:
        """Return the shares, the most frequent language first."""
        rest = {"unsure": self.unsure, "too short to tell": self.too_short}
        rows = tuple(
            (name, number(n, ",d"), share(n, self.n_titles)) for name, n in (*self.counts.items(), *rest.items()) if n
        )
        note = (
            f"Of {self.n_titles:,} titles{' drawn by a seed' if self.drawn else ''}, as codes of ISO 639. "
            "Guessed by py3langid, and judged with the shares that fit all of them best; unsure: no language has a "
            f"probability of {SURE:g}; too short: fewer than {MIN_BYTES} letters (7 of Han)."
        )
        return Table("Languages of titles", note, ("language", "titles", "share"), rows)


def languages(titles: Sequence[str]) -> Languages | None:
    """Guess the languages of titles, or of a sample of them.

    A guess of one title of a few nouns is often wrong. So the shares of languages are estimated of all titles together,
    and each title is judged with them as its prior (Saerens, Latinne & Decaestecker, "Adjusting the Outputs of a
    Classifier to New a Priori Probabilities: A Simple Procedure", Neural Computation 2002).

    Returns:
        The languages, or None where fewer than `MIN_TITLES` titles are long enough.

    Raises:
        MissingExtraError: The guesser is not installed.
    """
    guesser = import_py3langid()
    if drawn := len(titles) > N_SAMPLE:
        rows = Seeds(0).numpy("titles-of-languages").choice(len(titles), N_SAMPLE, replace=False)
        titles = [titles[row] for row in np.sort(rows).tolist()]
    long = [title[:MAX_CHARS] for title in titles if _letters(title) >= MIN_BYTES]
    if len(long) < MIN_TITLES:
        return None
    identifier = guesser.LanguageIdentifier.from_model_file(guesser.MODEL_FILE, norm_probs=True)
    known = identifier.labels
    guessed = [dict(identifier.rank(title)) for title in long]
    posterior = with_shares(np.array([[guess[name] for name in known] for guess in guessed]))
    sure = posterior.max(axis=1) >= SURE
    found = Counter(known[place] for place in posterior.argmax(axis=1)[sure].tolist())
    return Languages(dict(found.most_common()), int((~sure).sum()), len(titles) - len(long), drawn)


def with_shares(posterior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return posteriors under equal priors ``[n, classes]`` as those under the shares of classes that fit them best."""
    shares = np.full(posterior.shape[1], 1 / posterior.shape[1])
    adjusted = posterior
    for _ in range(N_STEPS):
        weighed = posterior * shares
        adjusted = weighed / weighed.sum(axis=1, keepdims=True)
        before, shares = shares, adjusted.mean(axis=0)
        if np.abs(shares - before).max() < 1e-6:
            break
    return adjusted


def _letters(title: str) -> int:
    return len("".join(filter(str.isalpha, title)).encode("utf-8", "replace"))
