"""Cards: where data is looked for, what is checked, and what is said when something is wrong."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from mmrec_bench.data.cards import DATA_VARIABLE, FORMATS, card_names, find_data, load_card, load_dataset
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.data.formats.log_columns import LogColumn
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.rules import Random811, XLabel
from mmrec_bench.data.splitting import make_split
from mmrec_bench.errors import ConfigError, DataError

INTER = "userID\titemID\tx_label\n0\t0\t0\n0\t1\t1\n1\t2\t2\n1\t1\t0\n"
CARD = "schema_version: 1\nname: mine\nformat: mmrec\ninteractions: mine.inter\n"


def write(folder: Path, card: str = CARD, inter: str | None = INTER) -> DatasetCard:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.yaml").write_text(card)
    if inter is not None:
        (folder / "mine.inter").write_text(inter)
    return load_card(folder / "card.yaml")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if not request.node.get_closest_marker("data"):
        monkeypatch.delenv(DATA_VARIABLE, raising=False)


def test_every_bundled_card_is_valid_and_tells_its_source() -> None:
    assert {"amazon-baby", "amazon-sports", "amazon-clothing", "amazon-electronics", "tiktok", "movielens-100k"} <= {
        *card_names()
    }
    for name in card_names():
        card = load_card(name)
        assert card.name == name
        assert card.format in FORMATS
        assert card.title
        if not card.embedded:
            assert card.sources, name
            assert card.citation, name
            assert card.licence != "not stated", name
            assert card.counts is not None
            # a document may stand in lists of several queries in some copies of LETOR, so n_items is not always known
            known = {
                "interactions": {"n_users", "n_items", "n_interactions"},
                "lists": {"n_users", "n_lists", "n_rows"},
            }
            not_published = {"movielens-32m": {"n_items"}}.get(name, set())
            for kind in card.payloads:
                assert known[kind] - not_published <= set(card.counts.of(kind)), name
            assert set(card.encoders) == set(card.modalities), name
            for edition in card.editions.values():
                assert edition.train + edition.valid + edition.test == card.counts.n_interactions, name


def test_a_card_round_trips() -> None:
    for name in card_names():
        card = load_card(name)
        assert type(card).model_validate(card.model_dump()) == card
        assert type(card).model_validate_json(card.model_dump_json()) == card


def test_the_cards_of_the_documentation_are_valid(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "data.md"
    cards = re.findall(r"```yaml\n(schema_version.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for text in cards:
        (tmp_path / "card.yaml").write_text(text)
        assert load_card(tmp_path / "card.yaml").format in text
    assert len(cards) == 3


def test_the_documentation_names_every_format_and_column() -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    for name in (*FORMATS, *get_args(LogColumn)):
        assert f"| `{name}` |" in text, name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CARD.replace("mmrec", "mmrek"), r"format: unknown data format 'mmrek'; did you mean 'mmrec'\?.*\(line 3\)"),
        (
            CARD.replace("format: mmrec\n", ""),
            "format: required, but missing; known: click-log, lattice, letor, mmrec, prepared, recbole, sequences, syn",
        ),
        (CARD.replace("format: mmrec", "format: [mmrec]"), "format: unknown data format"),
        (CARD + "interaction: x\n", "unknown key; did you mean 'interactions'"),
        (CARD.replace("name: mine", "name: ../mine"), "name: .*got '../mine'"),
        (CARD.replace("name: mine", "name: Mine"), "name: "),
        (CARD.replace("interactions: mine.inter\n", ""), "interactions: required, but missing"),
        (CARD + "counts: {n_users: 0}\n", "counts.n_users: .*got 0"),
        (CARD + "counts: {users: 1}\n", r"counts.users: unknown key"),
        (CARD + "editions: {a: {train: 1, valid: 1}}\n", "editions.a.test: required"),
        (CARD + "sha256: {mine.inter: abc}\n", "sha256.mine.inter: "),
        (CARD + "features: {image: [a, b]}\n", "features.image: "),
        (CARD.replace("schema_version: 1", "schema_version: 2"), "schema_version: .*got 2"),
    ],
)
def test_broken_cards_are_explained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        write(tmp_path, text)


def test_all_errors_of_a_card_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        write(tmp_path, CARD + "counts: {n_users: x}\nseparator: '::'\ntitel: x\n")
    assert len(caught.value.issues) == 3


def test_data_is_found_beside_the_card_then_below_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = write(tmp_path / "cards", CARD + "folders: [first, second]\n", inter=None)
    assert find_data(card) is None
    places = []
    for folder in ("data", "data/second", "data/first", "cards/second", "cards/first", "cards"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "mine.inter").write_text(INTER)
        places.append(find_data(card, tmp_path / "data"))
        assert places[-1] == tmp_path / folder, "a better place has come"
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    elsewhere = write(tmp_path / "elsewhere", CARD, inter=None)
    assert find_data(elsewhere) == tmp_path / "data"
    assert find_data(elsewhere, tmp_path / "nowhere") is None, "the argument comes before the variable"
    assert load_dataset(elsewhere).payload.n_items == 3


def test_data_that_is_not_found_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(load_card("amazon-baby"), tmp_path)
    message = str(caught.value)
    for part in (
        "data set 'amazon-baby': baby.inter was not found",
        f"{tmp_path / 'baby'} (no such folder)",
        "--data-dir",
        "MMREC_BENCH_DATA",
        "https://github.com/enoche/MMRec",
    ):
        assert part in message
    with pytest.raises(DataError, match="Looked in:\n  nowhere, for no data directory is given"):
        load_dataset(load_card("amazon-baby"))


def test_names_the_file_system_refuses_are_not_found(tmp_path: Path) -> None:
    card = write(tmp_path, CARD.replace("mine.inter", "x" * 1000), inter=None)
    assert find_data(card, tmp_path) is None


def test_counts_are_checked(tmp_path: Path) -> None:
    load_dataset(write(tmp_path, CARD + "counts: {n_users: 2, n_items: 3, n_interactions: 4}\n"))
    load_dataset(write(tmp_path, CARD + "counts: {n_items: 3}\n"))
    with pytest.raises(DataError, match="n_users is 2, the card says 3, n_interactions is 4, the card says 5"):
        load_dataset(write(tmp_path, CARD + "counts: {n_users: 3, n_items: 3, n_interactions: 5}\n"))
    with pytest.raises(DataError, match=r"n_interactions is 4, the card says 5 \(1 repeated pairs were merged\)"):
        load_dataset(write(tmp_path, CARD + "counts: {n_interactions: 5}\n", INTER + "0\t0\t0\n"))


EDITIONS = "editions:\n  ours: {train: 2, valid: 1, test: 1}\n  theirs: {train: 1, valid: 1, test: 2}\n"


def test_an_edition_is_recognised_or_both_are_named(tmp_path: Path) -> None:
    assert load_dataset(write(tmp_path, CARD + EDITIONS)).report.edition == "ours"
    other = INTER.replace("0\t0\t0", "0\t0\t2")
    assert load_dataset(write(tmp_path, CARD + EDITIONS, other)).report.edition == "theirs"
    neither = INTER.replace("0\t0\t0", "0\t0\t1")
    with pytest.raises(
        DataError, match=r"has 1 / 2 / 1 rows for train.*Known editions: ours: 2 / 1 / 1; theirs: 1 / 1 / 2"
    ):
        load_dataset(write(tmp_path, CARD + EDITIONS, neither))
    without_labels = "userID\titemID\n0\t0\n"
    assert load_dataset(write(tmp_path, CARD + EDITIONS, without_labels)).report.edition is None


def test_another_draw_with_the_same_counts_is_noted(tmp_path: Path) -> None:
    fingerprint = load_dataset(write(tmp_path)).payload.fingerprint()
    card = CARD + f"editions:\n  ours: {{train: 2, valid: 1, test: 1, fingerprint: {fingerprint}}}\n"
    assert load_dataset(write(tmp_path, card)).report.notes == ()
    swapped = INTER.replace("0\t1\t1", "0\t1\t0").replace("1\t1\t0", "1\t1\t1")
    report = load_dataset(write(tmp_path, card, swapped)).report
    assert report.edition == "ours"
    assert "another content" in report.notes[0]


def test_digests_are_checked(tmp_path: Path) -> None:
    digest = hashlib.sha256(INTER.encode()).hexdigest()
    load_dataset(write(tmp_path, CARD + f"sha256: {{mine.inter: {digest}}}\n"))
    with pytest.raises(DataError, match=f"is not the file of card 'mine': sha256 .*, the card says {'a' * 64}"):
        load_dataset(write(tmp_path, CARD + f"sha256: {{mine.inter: {'a' * 64}}}\n"))
    with pytest.raises(DataError, match="its sha256 cannot be checked"):
        load_dataset(write(tmp_path, CARD + f"sha256: {{other: {digest}}}\n"))


def test_a_synthetic_card_needs_no_file(tmp_path: Path) -> None:
    text = (
        "schema_version: 1\nname: world\nformat: synthetic\nworld: {n_users: 50, n_items: 40, max_interactions: 30}\n"
    )
    card = write(tmp_path, text, inter=None)
    assert card.embedded
    assert find_data(card, tmp_path) is None
    data = load_dataset(card)
    assert (data.name, data.payload.n_users, data.payload.n_items) == ("world", 50, 40)
    assert set(data.features) == set(card.modalities)
    only = load_dataset(card, modalities=["text"])
    assert list(only.features) == ["text"]
    assert list(only.report.missing) == ["text"]
    assert only.fingerprint() == data.fingerprint()
    with pytest.raises(DataError, match="unknown modality 'audio'"):
        load_dataset(card, modalities=["audio"])


def real(name: str, data_dir: Path) -> Dataset[Interactions]:
    card = load_card(name)
    if find_data(card, data_dir) is None:
        pytest.skip(f"real data: {name} is not in {data_dir}")
    return load_dataset(card, data_dir)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "edition", "missing", "cold_items"),
    [
        ("amazon-baby", "diffmm", {"image": 13, "text": 0}, 2),
        ("amazon-sports", "lattice", {}, 13),
        ("tiktok", "diffmm", {"image": 0, "audio": 0}, 465),
    ],
)
def test_real_data_with_delivered_splits(
    data_dir: Path, name: str, edition: str, missing: dict[str, int], cold_items: int
) -> None:
    data = real(name, data_dir)
    assert data.report.edition == edition
    assert data.report.missing == missing
    assert data.report.n_duplicates == 0
    assert not any("another content" in note for note in data.report.notes)
    report = make_split(data.payload, XLabel(), "keep").report
    known = load_card(name).editions[edition]
    assert report.counts == {"train": known.train, "valid": known.valid, "test": known.test}
    trained = make_split(data.payload, XLabel()).train.item_counts()
    assert int((trained == 0).sum()) == cold_items
    for modality, table in data.features.items():
        assert np.isfinite(table.values[table.present]).all(), modality
        assert (table.values[table.present] != 0).any(axis=1).all(), modality


@pytest.mark.data
def test_tiktok_has_users_without_training_rows(data_dir: Path) -> None:
    data = real("tiktok", data_dir)
    kept = make_split(data.payload, XLabel(), "keep").report
    dropped = make_split(data.payload, XLabel(), "drop").report
    assert kept.users["train"] == data.payload.n_users - 10
    assert kept.cold_users == dropped.cold_users
    assert sum(kept.cold_users.values()) == 10
    assert dropped.cold_users_dropped == {part: kept.counts[part] - dropped.counts[part] for part in ("valid", "test")}


@pytest.mark.data
@pytest.mark.parametrize("name", ["amazon-baby", "amazon-sports"])
def test_random_811_has_the_published_counts(data_dir: Path, name: str) -> None:
    """How many rows a user gives is a matter of arithmetic, so any draw has the counts that MMRec publishes."""
    known = load_card(name).editions["mmrec"]
    for seed in (0, 1):
        report = make_split(real(name, data_dir).payload, Random811(seed=seed)).report
        assert report.counts == {"train": known.train, "valid": known.valid, "test": known.test}


@pytest.mark.data
def test_movielens(data_dir: Path) -> None:
    data = real("movielens-100k", data_dir)
    assert data.item_ids[:3].tolist() == ["1", "2", "3"]
    assert data.items.titles is not None
    assert data.items.titles[0] == "Toy Story"
    assert data.items.words is not None
    assert ("class", "Animation") in data.items.words.of_item(0)
    assert ("release_year", "1995") in data.items.words.of_item(0)
    assert data.payload.timestamps is not None
    assert data.payload.timestamps.min() == 874724710
    assert data.payload.values is not None
    assert np.bincount(data.payload.values.astype(int)).tolist() == [0, 6110, 11370, 27145, 34174, 21201]
