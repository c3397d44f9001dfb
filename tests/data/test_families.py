"""Families of cards: every category is a valid card, unknown ones are refused with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmrec_bench import resources
from mmrec_bench.data import families
from mmrec_bench.data.cards import card_names, load_card
from mmrec_bench.data.downloads import Download
from mmrec_bench.data.families import family_names, load_family
from mmrec_bench.errors import ConfigError

NUMBERS = {"amazon-2014": 24, "amazon-2018": 29, "amazon-2023": 34}
"""Categories of each edition, as its page lists them."""


@pytest.mark.parametrize("family", family_names())
def test_every_category_is_a_card_of_its_own(family: str) -> None:
    categories = load_family(family).categories
    assert len(categories) == len(set(categories)) == NUMBERS[family]
    cards = [load_card(f"{family}:{category}") for category in categories]
    assert len({card.name for card in cards}) == len(cards)
    for category, card in zip(categories, cards, strict=True):
        assert "{category" not in card.model_dump_json(), "nothing is left to fill in"
        assert category.replace("_", " ") in card.title
        assert all(category in url for download in card.downloads for url in download.urls)
        assert set(card.encoders) == set(card.modalities)
        assert card.is_built
        assert card.citation
        assert card.licence != "not stated"


@pytest.mark.parametrize("name", [name for name in card_names() if load_card(name).is_built])
def test_what_is_built_is_fetched(name: str) -> None:
    card = load_card(name)
    fetched = {download.file for download in card.downloads}
    assert {file.split("/")[0] for file in card.build.raw_files} == fetched  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("amazon-baby-2014", "Baby"),
        ("amazon-sports-2014", "Sports_and_Outdoors"),
        ("amazon-clothing-2014", "Clothing_Shoes_and_Jewelry"),
        ("amazon-electronics-2014", "Electronics"),
    ],
)
def test_named_cards_are_those_of_the_family_with_published_counts(name: str, category: str) -> None:
    apart = {"name", "title", "counts", "notes"}
    assert load_card(name).model_dump(exclude=apart) == load_card(f"amazon-2014:{category}").model_dump(exclude=apart)
    assert load_card(name).counts == load_card(name.removesuffix("-2014")).counts


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("amazon-2023:All_Beuty", "unknown category of amazon-2023 'All_Beuty'; did you mean 'All_Beauty'"),
        ("amazon-2018:Baby", "unknown category of amazon-2018 'Baby'"),
        ("amazon-2023:", "unknown category of amazon-2023 ''"),
        ("amazon-2023:../Books", "unknown category"),
        ("amazon-2022:Books", "unknown family of dataset cards 'amazon-2022'; did you mean 'amazon-2023'"),
        (":Books", "family of dataset cards"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest_name(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_card(name)
    assert message in str(error.value)


def test_categories_are_in_no_list_of_cards() -> None:
    assert not any(":" in name or name.startswith("families") for name in card_names())


def test_a_family_is_strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "schema_version: 1\ntitle: Shops\ncategories: [mugs]\n"
        "card: {schema_version: 1, format: mmrec, interactions: '{category}.inter'}\n"
    )
    folder = tmp_path / "datasets" / "families"
    folder.mkdir(parents=True)
    monkeypatch.setattr(resources, "bundled", lambda kind: tmp_path / kind)
    (folder / "shops.yaml").write_text(text)
    card = load_card("shops:mugs")
    assert (card.name, card.main_file) == ("shops-mugs", "mugs.inter")
    (folder / "shops.yaml").write_text(text.replace("title: Shops", "titel: Shops"))
    with pytest.raises(ConfigError, match="did you mean 'title'"):
        load_card("shops:mugs")
    (folder / "shops.yaml").write_text(text.replace("interactions", "interaction"))
    with pytest.raises(ConfigError, match=r"shops:mugs.*\n.*interactions"):
        load_card("shops:mugs")
    (folder / "shops.yaml").write_text(text.replace("[mugs]", "[m/ugs]"))
    with pytest.raises(ConfigError, match="categories"):
        families.load_family("shops")


def test_addresses_are_of_known_publishers() -> None:
    hosts = {
        url.split("/")[2]
        for name in (*card_names(), "amazon-2014:Baby", "amazon-2018:All_Beauty", "amazon-2023:All_Beauty")
        for download in load_card(name).downloads
        for url in download.urls
    }
    assert hosts == {
        "datarepo.eng.ucsd.edu", "files.grouplens.org", "jmcauley.ucsd.edu", "mcauleylab.ucsd.edu",
        "recbole.s3-accelerate.amazonaws.com", "recsys.westlake.edu.cn", "snap.stanford.edu",
    }  # fmt: skip
    assert Download.model_fields["sha256"].default is None
