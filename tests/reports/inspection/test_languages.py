"""Languages of titles: known ones are found again, in their shares."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.reports.inspection import languages as module
from mmrec_bench.reports.inspection.languages import languages, with_shares

WORDS = {
    "en": (
        ["Stainless steel", "Wooden", "Small black", "Waterproof", "Portable electric"],
        ["kitchen knife", "desk lamp", "garden chair", "travel bag", "water bottle"],
        ["with leather handle", "for children and adults", "set of four pieces", "in a gift box"],
    ),
    "de": (
        ["Rostfreies", "Hölzernes", "Kleines schwarzes", "Wasserdichtes", "Tragbares elektrisches"],
        ["Küchenmesser", "Schreibtischlicht", "Gartenmöbel", "Reisegepäck", "Werkzeug"],
        ["mit Griff aus Leder", "für Kinder und Erwachsene", "im Set zu vier Stück", "in einer Geschenkschachtel"],
    ),
    "fr": (
        ["Couteau de cuisine", "Lampe de bureau", "Chaise de jardin", "Sac de voyage", "Bouteille d'eau"],
        ["en acier inoxydable", "en bois", "petit et noir", "imperméable", "électrique et portable"],
        ["avec poignée en cuir", "pour enfants et adultes", "lot de quatre pièces", "dans une boîte cadeau"],
    ),
    "ru": (
        ["Стальной", "Деревянный", "Маленький чёрный", "Складной", "Электрический"],
        ["кухонный нож", "настольный светильник", "садовый стул", "дорожный набор", "чайник"],
        ["для походов", "для детей и взрослых", "из четырёх предметов", "в подарочной коробке"],
    ),
    "zh": (
        ["不锈钢", "木制", "黑色小型", "防水", "便携式电动"],
        ["厨房刀具", "书桌台灯", "花园椅子", "旅行背包", "保温水壶"],
        ["配有皮革手柄", "适合儿童和成人", "四件套装", "附赠礼品盒"],
    ),
}


def titles(language: str, n: int) -> list[str]:
    rng = np.random.default_rng(0)
    gap = "" if language == "zh" else " "
    return [gap.join(str(rng.choice(words)) for words in WORDS[language]) for _ in range(n)]


def test_known_languages_are_found_in_their_shares() -> None:
    pytest.importorskip("py3langid")
    sizes = {"en": 300, "de": 120, "fr": 60, "ru": 30, "zh": 30}
    found = languages([*(title for name, n in sizes.items() for title in titles(name, n)), *(["Mug 3"] * 60)])
    assert found is not None
    assert found.too_short == 60
    assert found.n_titles == 600
    assert found.unsure <= 30
    assert list(found.counts)[:3] == ["en", "de", "fr"]
    assert set(found.counts) == set(sizes)
    assert all(abs(found.counts[name] - n) <= 0.1 * n for name, n in sizes.items()), found.counts


def test_many_titles_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("py3langid")
    monkeypatch.setattr(module, "N_SAMPLE", 200)
    many = [*titles("en", 3000), *titles("ru", 1000)]
    found = languages(many)
    assert found is not None
    assert found.n_titles == 200
    assert abs(found.counts["ru"] - 50) < 3 * (200 * 0.25 * 0.75) ** 0.5
    assert found == languages(many), "drawn by a seed"


def test_shares_decide_what_one_guess_cannot() -> None:
    """Three classes: most rows are clear; one that leans to a class nothing else is of follows the others."""
    rows = np.array([[0.9, 0.05, 0.05]] * 30 + [[0.05, 0.9, 0.05]] * 10 + [[0.3, 0.3, 0.4]])
    adjusted = with_shares(rows)
    assert np.allclose(adjusted.sum(axis=1), 1)
    assert adjusted[-1].argmax() == 0
    shares = adjusted.mean(axis=0)
    again = rows * shares
    again /= again.sum(axis=1, keepdims=True)
    assert np.abs(again.mean(axis=0) - shares).max() < 1e-5, "the shares are those of the rows judged by them"
    assert shares[0] > shares[1] > shares[2]
