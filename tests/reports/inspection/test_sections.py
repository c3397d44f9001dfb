"""Numbers of the quality report against planted truths and slow counts."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest

from mmrec_bench.data.cards import load_card, parse_card
from mmrec_bench.data.dataset import DataReport
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable, Words
from mmrec_bench.reports.inspection.base import Rows, percent, quantiles
from mmrec_bench.reports.inspection.degrees import at_least, degrees, gini, top_share
from mmrec_bench.reports.inspection.sizes import sizes, values
from mmrec_bench.reports.inspection.texts import n_markup, scripts, texts
from mmrec_bench.reports.inspection.times import shared_moments, times
from mmrec_bench.reports.inspection.vectors import alike, vectors
from mmrec_bench.settings import Document

RNG = np.random.default_rng(0)
IDS = np.array([f"item-{row}" for row in range(50)])


def interactions(n_users: int = 30, n_items: int = 50, n: int = 300, **columns: object) -> Interactions:
    keys = np.sort(RNG.choice(n_users * n_items, n, replace=False))
    return Interactions(keys // n_items, keys % n_items, n_users, n_items, **columns)  # type: ignore[arg-type]


def table(vectors: np.ndarray, present: np.ndarray | None = None) -> FeatureTable:
    present = np.ones(len(vectors), np.bool_) if present is None else present
    return FeatureTable("image", vectors.astype(np.float32), present, "made up")


def test_gini_is_that_of_its_definition() -> None:
    counts = RNG.integers(0, 20, 40)
    pairs = np.abs(counts[:, None] - counts[None, :]).sum() / (2 * len(counts) ** 2 * counts.mean())
    assert gini(counts) == pytest.approx(pairs)
    assert gini(np.full(9, 4)) == pytest.approx(0.0)
    assert gini(np.array([0, 0, 0, 7])) == pytest.approx(0.75)
    assert gini(np.zeros(3, np.int64)) == 0.0


def test_the_line_of_degrees_tells_how_many_have_at_least_so_many() -> None:
    counts = RNG.zipf(1.7, 5000)
    counts[:100] = 0
    kinds, shares = at_least(counts)
    assert len(kinds) <= 201
    assert kinds[0] == 1
    assert kinds[-1] == counts.max()
    assert shares == pytest.approx([(counts >= kind).mean() for kind in kinds])


def test_top_shares_and_quantiles_are_counted_by_hand() -> None:
    assert top_share(np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 11]), 0.1) == pytest.approx(11 / 20)
    assert quantiles(np.arange(1, 101))["median"] == 50
    assert (percent(0, 5), percent(1, 1000), percent(1, 3), percent(1, 0)) == ("0.0%", "0.10%", "33.3%", "0.0%")


def card_of(**counts: int) -> object:
    data = {"schema_version": 1, "name": "shop", "format": "mmrec", "interactions": "a.inter", "counts": counts}
    return parse_card(Document("card.yaml", data))


def test_counts_that_differ_are_warned_of_and_shown() -> None:
    found = sizes(card_of(n_users=30, n_items=51), interactions(), DataReport(n_duplicates=3))  # type: ignore[arg-type]
    assert [fact for fact in found.facts if fact.startswith("Careful")] == ["Careful: items: 50 found, 51 published."]
    assert any("3 rows repeated a pair" in fact for fact in found.facts)
    assert {row[0]: row[3] for row in found.tables[0].rows} == {
        "users": "0",
        "items": "-1",
        "interactions": "-",
    }


def test_users_and_items_without_rows_are_told() -> None:
    payload = Interactions(np.array([0, 0]), np.array([0, 1]), 3, 4)
    facts = sizes(card_of(), payload, DataReport()).facts  # type: ignore[arg-type]
    assert "2 users (66.7%) have no row at all." in facts
    assert "2 items (50.0%) have no row at all." in facts


def test_editions_stand_beside_the_parts() -> None:
    labels = np.array([0] * 200 + [1] * 60 + [2] * 40, np.int8)
    found = sizes(load_card("amazon-baby"), interactions(labels=labels), DataReport())
    parts = found.tables[1]
    assert parts.header == ("part", "found", "share", "diffmm", "mmrec")
    assert [row[1] for row in parts.rows] == ["200", "60", "40"]
    assert parts.rows[0][3] == "118,551"


def test_ratings_are_counted() -> None:
    found = values(interactions(values=np.repeat(np.float32([1, 5, 4]), [10, 90, 200])))
    assert found is not None
    assert found.data == {"rating": {"1.0": 10, "4.0": 200, "5.0": 90}}
    assert values(interactions()) is None


def test_shared_moments_are_those_of_a_slow_count() -> None:
    payload = interactions(timestamps=RNG.integers(0, 8, 300))
    rows = Rows.of(payload)
    moments = Counter(zip(payload.users.tolist(), payload.timestamps.tolist(), strict=True))  # type: ignore[union-attr]
    assert shared_moments(rows) == sum(n for n in moments.values() if n > 1)


def test_times_are_told_and_strange_ones_warned_of() -> None:
    stamps = np.linspace(1_600_000_000, 1_650_000_000, 300).astype(np.int64)
    found = times("shop", Rows.of(interactions(timestamps=stamps)), ordered=False)
    assert "From 2020-09-13 to 2022-04-15 (UTC)" in found.facts[0]
    assert len(found.plots) == 1
    odd = times("shop", Rows.of(interactions(timestamps=stamps * 1000)), ordered=False)
    assert any("Careful: 300 rows (100.0%) are of before 1990 or after 2034" in fact for fact in odd.facts)
    unknown = times("shop", Rows.of(interactions()), ordered=True)
    assert unknown.facts == ("Times of rows are not known, but the order of each user's rows is.",)


def test_planted_duplicates_are_found_and_no_others() -> None:
    vectors_ = RNG.standard_normal((50, 16))
    vectors_[7] = 3 * vectors_[3] + 1e-4 * RNG.standard_normal(16)  # near, of another length
    vectors_[20:32] = vectors_[20]  # a stand-in
    present = np.ones(50, np.bool_)
    present[40:] = False
    found = alike(table(vectors_, present))
    assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == [(3, 7)]
    assert found.cosine[0] > 0.999
    assert found.sizes().tolist() == [12]
    assert (found.group[40:] == -1).all()
    assert found.distinct == found.searched == 40 - 11
    section = vectors({"image": table(vectors_, present)}, Rows.of(interactions()), IDS, None)
    assert "Careful: image: 10 of 50 items (20.0%) have no vector; " in " ".join(section.facts)
    assert "Careful: image: 12 items (24.0%) have the very vector of another item." in section.facts
    assert any("Careful: image: 12 items share one vector, such as item-20" in fact for fact in section.facts)
    assert section.data["image"]["near_duplicates"] == 2
    assert section.tables[1].rows[0][:3] == ("item-3", "item-7", "image")


def test_beyond_its_budget_the_search_is_of_a_sample_and_says_so() -> None:
    vectors_ = RNG.standard_normal((50, 16))
    vectors_[25:] = 2 * vectors_[:25]
    all_of_them, some = alike(table(vectors_)), alike(table(vectors_), budget=20 * 50 * 16)
    assert (len(all_of_them.left), all_of_them.searched) == (25, 50)
    assert some.searched == 20
    assert 0 < len(some.left) <= 20
    known = {frozenset(pair) for pair in zip(all_of_them.left.tolist(), all_of_them.right.tolist(), strict=True)}
    found = [frozenset(pair) for pair in zip(some.left.tolist(), some.right.tolist(), strict=True)]
    assert set(found) <= known
    assert len(set(found)) == len(found), "no pair is told twice"


def test_missing_modalities_are_counted_by_items_and_by_rows() -> None:
    payload = Interactions(np.array([0, 1, 2, 2]), np.array([0, 0, 0, 1]), 3, 50)
    present = np.ones(50, np.bool_)
    present[0] = False
    found = vectors({"image": table(RNG.standard_normal((50, 4)), present)}, Rows.of(payload), IDS, None)
    assert "image: 1 of 50 items (2.0%) have no vector; 75.0% of all rows are of them." in found.facts


def test_constant_columns_are_told() -> None:
    vectors_ = RNG.standard_normal((50, 4))
    vectors_[:, 2] = 7
    found = vectors({"image": table(vectors_)}, Rows.of(interactions()), IDS, None)
    assert "image: 1 of 4 columns hold one number for all items." in found.facts


def test_one_column_has_no_direction() -> None:
    found = alike(table(np.arange(1, 51)[:, None]))
    assert (len(found.left), found.searched) == (0, 0)


def test_scripts_are_those_of_most_letters() -> None:
    titles = ["Mug 3000", "カメラ Z", "相机", "Кружка mug", "قهوة", "12345 !", "Ω mega", "naïve café"]
    assert scripts(titles * 2000) == {
        name: 2000 * n
        for name, n in {"Latin": 3, "Katakana": 1, "Han": 1, "Cyrillic": 1, "Arabic": 1, "none": 1}.items()
    }


def test_titles_are_measured_and_repeated_ones_told() -> None:
    titles = np.array(["A mug", "a  MUG ", "pan <b>x</b>", "P &amp; Q", "", "broken \ufffd"])
    ids = IDS[:6]
    words = Words.of([[("brand", "Acme")], [("brand", "Acme"), ("colour", "red")], [], [], [], []])
    found = texts(ItemTable(titles, words=words), ids)
    assert "Careful: 5 of 6 items (83.3%) have a title." in found.facts
    assert any("Careful: 2 items (33.3%) share their title" in fact for fact in found.facts)
    assert any("2 titles (40.0%) hold marks or entities of HTML" in fact for fact in found.facts)
    assert any("U+FFFD" in fact for fact in found.facts)
    by_title = {shown.title: shown for shown in found.tables}
    assert by_title["Repeated titles"].rows == (("a mug", "2", "item-0, item-1"),)
    assert [row[:4] for row in by_title["Words"].rows] == [
        ("brand", "2", "33.3%", "1"),
        ("colour", "1", "16.7%", "1"),
    ]
    assert texts(ItemTable(), ids).facts == ("Items have no titles.",)
    assert texts(ItemTable(np.array(["", ""])), ids[:2]).tables == ()


@pytest.mark.parametrize("titles", [["A mug"] * 40, ["A large mug for coffee or tea"] * 3])
def test_few_or_short_titles_tell_no_language(titles: list[str]) -> None:
    pytest.importorskip("py3langid")
    found = texts(ItemTable(np.array(titles)), np.arange(len(titles)).astype(np.str_))
    assert "Languages of titles" not in {shown.title for shown in found.tables}
    assert "Too few titles are long enough to tell their languages." in found.facts


def test_languages_stand_in_table_and_data() -> None:
    pytest.importorskip("py3langid")
    titles = [f"Stainless steel kitchen knife number {n} with a wooden handle" for n in range(40)] + ["Mug"] * 10
    found = texts(ItemTable(np.array(titles)), np.arange(50).astype(np.str_))
    (shown,) = (shown for shown in found.tables if shown.title == "Languages of titles")
    assert shown.rows == (("en", "40", "80.0%"), ("too short to tell", "10", "20.0%"))
    assert found.data["languages"] == {"sample": 50, "counts": {"en": 40}, "unsure": 0, "too_short": 10}


def test_without_the_guesser_the_report_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    found = texts(ItemTable(np.array(["A mug"])), np.array(["0"]))
    assert any("pip install 'mmrec-bench[languages]'" in fact for fact in found.facts)
    assert "languages" not in found.data


def test_signs_that_are_no_markup_are_left_alone() -> None:
    assert n_markup(["a < b > c", "Black & Decker", "5 <3 6", "AT&T; x"]) == 0
    assert n_markup(["<i>", "</p>", "&#39;", "&quot;", "Industrial />"]) == 5


def test_degrees_draw_users_and_items() -> None:
    found = degrees("shop", Rows.of(interactions()))
    (plot,) = found.plots
    assert plot.name == "shop-degrees"
    assert found.data["users"]["mean"] == pytest.approx(10.0)
    assert found.data["items"]["mean"] == pytest.approx(6.0)
