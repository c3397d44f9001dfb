"""Extracted features: made of texts and pictures, kept whole or not at all, found by the experiments that name them."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mmrec_bench.cli.app import app
from mmrec_bench.data.dataset import Dataset
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.items import ItemTable
from mmrec_bench.errors import ArtefactError, ConfigError, DataError, MMRecBenchError, ResourceError
from mmrec_bench.experiments.features import contents, shards
from mmrec_bench.experiments.features.contents import picture_places, wanted_pictures
from mmrec_bench.experiments.features.extract import extract
from mmrec_bench.experiments.features.extract_config import ExtractConfig, PicturesConfig, load_extraction
from mmrec_bench.experiments.features.extracted import ExtractedFeatures
from mmrec_bench.experiments.knockout import KnockoutConfig
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.prepared import run_key
from mmrec_bench.experiments.schema.experiment import Experiment, load_experiment
from mmrec_bench.experiments.variants import variants_of
from mmrec_bench.extraction.base import CONTENT_ENCODERS, ContentEncoder, ContentEncoderConfig
from mmrec_bench.extraction.svd import TfidfSvdConfig
from mmrec_bench.types import FloatArray
from tests.data.fetching.server import Answer, running

from .shop import N, write_shop

CPU = torch.device("cpu")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_shop(tmp_path)
    monkeypatch.setenv("MMREC_BENCH_FEATURES", str(tmp_path / "features"))
    return tmp_path


def dataset(world: Path) -> Dataset[Any]:
    return Preparer(None).dataset(str(world / "shop.yaml"), ())


def made(world: Path, *overrides: str, observer: Any = None) -> ExtractedFeatures:
    config = load_extraction(str(world / "texts.yaml"), overrides=overrides)
    return extract(config, dataset(world), None, world / "features", CPU, observer)


def test_the_feature_card_tells_what_was_made(world: Path) -> None:
    features = made(world)
    facts = features.manifest
    assert features.folder.is_relative_to(world / "features/shop/text-tfidf-svd")
    assert facts["items"] == {"catalogue": N, "missing": 1, "missing_share": 1 / N}
    assert facts["missing"] == {"no text": 1}
    assert facts["examples"] == {"no text": ["i39"]}
    assert (facts["dim"], facts["dtype"]) == (3, "float16")
    assert facts["contents"]["fields"] == ["title"]
    assert facts["encoder"] == {"name": "tfidf-svd", "dim": 3, "min_items": 2}
    assert facts["command"].startswith(f"mmrec-bench features extract {world / 'shop.yaml'} --modality text --encoder")
    table = features.table("text")
    assert np.load(features.folder / "vectors.npy").dtype == np.float16
    assert not table.present[N - 1]
    assert table.n_missing == 1
    near = table.values[:8] @ table.values[:8].T
    assert near[0, 4] > 0.9
    assert near[0, 1] < 0.5


def test_what_is_there_is_not_made_again_and_what_differs_is(world: Path) -> None:
    first = made(world)
    written = (first.folder / "manifest.json").stat().st_mtime_ns
    assert made(world).folder == first.folder
    assert (first.folder / "manifest.json").stat().st_mtime_ns == written
    others = {
        made(world, change).folder
        for change in ("encoder.dim=2", "texts.fields=[title, about]", "dtype=float32", "texts.max_chars=5")
    }
    assert len(others | {first.folder}) == 5
    text = (world / "items.json").read_text().replace("style 1", "style 9")
    (world / "items.json").write_text(text)
    assert made(world).folder not in others | {first.folder}, "other texts"


def test_vectors_of_an_older_version_are_not_reused(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(world).folder
    monkeypatch.setattr(TfidfSvdConfig, "version", 2)
    assert made(world).folder != first


def test_long_texts_are_cut_and_counted(world: Path) -> None:
    items = json.loads((world / "items.json").read_text())
    items["i00"]["title"] += " apple" * 2_000_000
    (world / "items.json").write_text(json.dumps(items))
    facts = made(world).manifest
    assert facts["counts"] == {"cut at 20000 characters": 1}
    assert facts["items"]["missing"] == 1


class Lengths(ContentEncoder[str]):
    """The vector of a text is its length; the end comes after so many batches."""

    batches_left = 10**9
    encoded = 0

    def encode(self, contents: Any) -> FloatArray:
        if Lengths.batches_left == 0:
            raise KeyboardInterrupt
        Lengths.batches_left -= 1
        Lengths.encoded += len(contents)
        self.counts["seen"] += len(contents)
        lengths = np.array([[len(text), 1.0] for text in contents], np.float32)
        lengths[lengths[:, 0] == 20] = 0  # bolts, hoses and lamps
        return lengths


class LengthsConfig(ContentEncoderConfig):
    """Settings of `Lengths`."""

    modality = "text"
    name: str = "lengths"

    def build(self, device: torch.device) -> ContentEncoder[str]:
        return Lengths()


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTENT_ENCODERS._entries, "lengths", LengthsConfig)
    monkeypatch.setattr(shards, "SHARD_ITEMS", 7)
    monkeypatch.setattr(Lengths, "batches_left", 10**9)
    monkeypatch.setattr(Lengths, "encoded", 0)


@pytest.mark.usefixtures("lengths")
def test_a_killed_extraction_goes_on(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(world, "encoder=lengths", "texts.fields=[about, title]")
    Lengths.batches_left, Lengths.encoded = 3, 0
    with pytest.raises(KeyboardInterrupt):
        made(world, "encoder=lengths", "texts.fields=[title, about]")
    assert not [path for path in (world / "features/shop/text-lengths").iterdir() if path != whole.folder]
    assert Lengths.encoded == 21
    # A shard that was cut short is none.
    torn = next((world / "features/.partial").rglob("shard-000001.npy"))
    torn.write_bytes(torn.read_bytes()[:50])
    Lengths.batches_left = 10**9
    told: list[tuple[int, int]] = []
    resumed = made(world, "encoder=lengths", "texts.fields=[title, about]", observer=lambda *at: told.append(at))
    assert Lengths.encoded == 21 + 7 + (N - 21), "two of three shards were kept"
    assert told[-1] == (N, N)
    assert resumed.manifest["counts"] == {"seen": N}
    assert resumed.manifest["missing"] == whole.manifest["missing"]
    np.testing.assert_array_equal(resumed.table("t").present, whole.table("t").present)
    assert not list((world / "features/.partial").rglob("shard-*"))


@pytest.mark.usefixtures("lengths")
def test_a_vector_of_zeros_is_missing(world: Path) -> None:
    features = made(world, "encoder=lengths")
    zeros = features.manifest["missing"]["vector of zeros"]
    assert zeros > 0
    assert features.table("text").n_missing == zeros + 1
    assert np.isnan(np.load(features.folder / "vectors.npy")[~features.table("text").present]).all()


@pytest.mark.usefixtures("lengths")
def test_values_beyond_float16_are_refused(world: Path) -> None:
    with pytest.raises(DataError, match="too large for float16; set dtype: float32"):
        items = json.loads((world / "items.json").read_text())
        items["i00"]["title"] = "a" * 70_000
        (world / "items.json").write_text(json.dumps(items))
        made(world, "encoder=lengths", "texts.max_chars=100000")


def test_a_full_disk_leaves_nothing_half_made(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards.np, "save", full)
    with pytest.raises(ResourceError, match="the disk is full"):
        made(world)
    assert not (world / "features/shop").exists()


def test_damaged_features_are_refused_and_made_again(world: Path) -> None:
    features = made(world)
    with (features.folder / "vectors.npy").open("r+b") as file:
        file.seek(-2, 2)
        file.write(b"\0\0")
    with pytest.raises(ArtefactError, match="was changed or cut short"):
        prepared(world)
    again = made(world)
    assert again.folder == features.folder
    assert len(list((world / "features/.stale").iterdir())) == 1


def experiment(world: Path, *overrides: str) -> Experiment:
    return load_experiment(world / "run.yaml", overrides)


def prepared(world: Path, *overrides: str) -> Any:
    return Preparer(None)(experiment(world, *overrides))


def test_experiments_read_the_table_and_their_fingerprint_covers_it(world: Path) -> None:
    with pytest.raises(DataError, match=r"have not been extracted: .* Extract them: mmrec-bench features extract"):
        prepared(world)
    features = made(world)
    ready = prepared(world)
    np.testing.assert_array_equal(ready.dataset.features["text"].values, features.table("text").values)
    assert ready.dataset.report.missing == {"text": 1}
    assert "tfidf-svd" in ready.dataset.features["text"].source
    key = run_key(experiment(world), ready, 0)
    made(world, "encoder.dim=2")
    other = experiment(world, "dataset.features.text.encoder.dim=2")
    assert run_key(other, Preparer(None)(other), 0).fingerprint != key.fingerprint
    by_folder = experiment(world, f"dataset.features.text={features.folder}")
    assert run_key(by_folder, Preparer(None)(by_folder), 0).fingerprint == key.fingerprint


def test_the_command_of_the_message_makes_what_is_missing(world: Path) -> None:
    changes = ("dataset.features.text.texts.fields=[about, title]", "dataset.features.text.dtype=float32")
    with pytest.raises(DataError) as missing:
        prepared(world, *changes)
    command = shlex.split(str(missing.value).partition("Extract them: ")[2])
    done = CliRunner().invoke(app, [*command[1:], "--device", "cpu", "--threads", "1"])
    assert done.exit_code == 0, done.output
    assert "39 of 40" in done.output or "40 of 40" in done.output
    assert prepared(world, *changes).dataset.features["text"].dim == 3


def test_a_suite_goes_from_raw_texts_to_its_table(world: Path) -> None:
    (world / "suite.yaml").write_text(
        "schema_version: 1\ntitle: Shop\ndescription: From raw texts.\nseeds: [0, 1]\nknockout: {kinds: [shuffled]}\n"
        "experiments:\n  - {config: run.yaml, knockout: true}\n"
        "  - {config: run.yaml, label: titles and more, set: ['dataset.features.text.texts.fields=[title, about]']}\n"
    )
    folders = [word for name in ("out", "report-dir") for word in (f"--{name}", str(world / name))]
    done = CliRunner().invoke(app, ["bench", str(world / "suite.yaml"), "--device", "cpu", "--threads", "1", *folders])
    assert done.exit_code == 0, done.output
    assert len(list((world / "features/shop/text-tfidf-svd").iterdir())) == 2
    report = (world / "report-dir/suite/report.md").read_text()
    assert "titles and more" in report
    assert "text shuffled" in report


def test_what_cannot_be_extracted_fails_alone(world: Path) -> None:
    absent = "dataset.features.text.encoder={name: sentence-transformers, model: package:no_such_weights/model}"
    (world / "suite.yaml").write_text(
        "schema_version: 1\ntitle: Shop\ndescription: One fails.\nseeds: [0]\nexperiments:\n  - {config: run.yaml}\n"
        f"  - {{config: run.yaml, label: absent, set: ['{absent}']}}\n"
    )
    folders = [word for name in ("out", "report-dir") for word in (f"--{name}", str(world / name))]
    done = CliRunner().invoke(app, ["bench", str(world / "suite.yaml"), "--device", "cpu", "--threads", "1", *folders])
    assert done.exit_code == 1, done.output
    assert "not extracted: encoder.model 'package:no_such_weights/model': the package 'no_such_weights'" in done.output
    assert "absent" in (world / "report-dir/suite/report.md").read_text()
    assert len(list((world / "out/shop/itemknn-content").iterdir())) == 1


def test_texts_can_be_knocked_out(world: Path) -> None:
    made(world)
    found = variants_of([experiment(world)], KnockoutConfig(kinds=("shuffled",)))
    altered = [item for item in found if item.config.dataset.alter]
    assert [item.config.dataset.alter[0].modality for item in altered] == ["text"]
    assert altered[0].config.dataset.features == experiment(world).config.dataset.features
    real, shuffled = (Preparer(None)(item).dataset.features["text"] for item in (experiment(world), altered[0]))
    assert sorted(map(tuple, real.values[:-1])) == sorted(map(tuple, shuffled.values[:-1]))
    assert not np.array_equal(real.values[:-1], shuffled.values[:-1])


def test_features_of_other_items_are_refused(world: Path) -> None:
    folder = made(world).folder
    users = json.loads((world / "users.json").read_text())
    users["u99"] = ["i00", "new"]
    (world / "users.json").write_text(json.dumps(users))
    with pytest.raises(ArtefactError, match="are of other items of 'shop'"):
        prepared(world, f"dataset.features.text={folder}")
    with pytest.raises(ArtefactError, match="no such folder of extracted features"):
        prepared(world, "dataset.features.text=nowhere")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("encoder.name=tfidf-svdd",), "unknown feature encoder 'tfidf-svdd'; did you mean 'tfidf-svd'"),
        (("encoder.dimm=3",), "unknown key; did you mean 'dim'"),
        (("modality=image",), "encoder 'tfidf-svd' reads text, and modality is image; encoders of image: colour-edges"),
        (("pictures.folder=here",), "the section 'pictures' is of modality image"),
        (("encoder={name: sentence-transformers, model: a/b}",), "needs 'revision'"),
        (("dataset.card=shopp",), "unknown dataset card"),
        (("dtype=float8",), "dtype"),
    ],
)
def test_what_makes_no_sense_is_refused(world: Path, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_extraction(str(world / "texts.yaml"), overrides=overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("texts.fields=[titel]",), "unknown text field 'titel'; did you mean 'title'"),
        (("texts.fields=[title, sold]",), "'sold' is made of what users did"),
        (("encoder.dim=100",), "Lower encoder.dim"),
        (("modality=image", "encoder=colour-edges", "texts=null"), "names no pictures of items"),
        (("modality=image", "encoder=colour-edges", "texts=null", "pictures.folder=nowhere"), "no such folder"),
    ],
)
def test_what_the_data_does_not_give_is_refused(world: Path, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(MMRecBenchError, match=message):
        made(world, *overrides)


def test_fields_of_after_the_fact_are_refused_undeclared(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "AFTER_THE_FACT", ("title",))
    with pytest.raises(MMRecBenchError, match="the field 'title' tells what users did"):
        made(world)


def test_a_name_of_a_data_set_is_enough() -> None:
    config = load_extraction("amazon-scientific")
    assert (config.modality, config.encoder.name) == ("text", "tfidf-svd")
    config = load_extraction("amazon-baby", "image")
    assert (config.modality, config.encoder.name) == ("image", "colour-edges")
    assert load_extraction("amazon-baby", encoder="colour-edges").modality == "image"
    with pytest.raises(ConfigError, match="unknown dataset card 'amazon-scientifik'"):
        load_extraction("amazon-scientifik")


def test_other_features_in_an_experiment_are_refused(world: Path) -> None:
    with pytest.raises(ConfigError, match="are of data set 'shop', the experiment is on 'synthetic'"):
        experiment(world, "dataset.card=synthetic", "dataset.features.text.dataset.card=" + str(world / "shop.yaml"))
    with pytest.raises(ConfigError, match="no such file"):
        experiment(world, "dataset.features.text=missing.yaml")


def test_pictures_are_fetched_and_extracted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    monkeypatch.setenv("MMREC_BENCH_FEATURES", str(tmp_path / "features"))
    (tmp_path / "shop.yaml").write_text(
        "schema_version: 1\nname: shop\nformat: mmrec\ninteractions: shop.inter\nitem_ids: ids.csv\nimages: urls.csv\n"
    )
    (tmp_path / "shop.inter").write_text("userID\titemID\n" + "".join(f"{u}\t{i}\n" for u in (0, 1) for i in range(6)))
    (tmp_path / "ids.csv").write_text("itemID,asin\n" + "".join(f"{i},a/{i}\n" for i in range(6)))
    image.new("RGB", (8, 8), "red").save(tmp_path / "local.png")
    image.new("RGB", (8, 8), "lime").save(content := io.BytesIO(), "PNG")
    card, runner = str(tmp_path / "shop.yaml"), CliRunner()
    with running() as server:
        urls = [
            server.at("/0", Answer(content.getvalue())), server.at("/1", Answer(content.getvalue()[:45])),
            server.at("/2", Answer(status=404)), "local.png", "../secret.png", "",
        ]  # fmt: skip
        (tmp_path / "urls.csv").write_text("itemID,imUrl\n" + "".join(f"{i},{url}\n" for i, url in enumerate(urls)))
        extraction = ["features", "extract", card, "--modality", "image", "--device", "cpu", "--threads", "1"]
        place = ["--features-dir", str(tmp_path / "elsewhere")]
        polite = ["--rate", "1000", "--per-host", "1", "--contact", "shop@example.org"]
        done = runner.invoke(app, ["features", "images", card, *polite, *place])
        assert done.exit_code == 0, done.output
        assert "2 fetched; 1 failed (answers 404 Not Found: 1)" in done.output
        assert server.busiest == 1
        assert all("shop@example.org" in headers["User-Agent"] for _, headers in server.asked)
    done = runner.invoke(app, [*extraction, *place])
    assert done.exit_code == 0, done.output
    (found,) = (tmp_path / "elsewhere/shop/image-colour-edges").iterdir()
    features = ExtractedFeatures.load(found)
    assert features.table("image").present.tolist() == [True, False, False, True, False, False]
    assert features.manifest["missing"] == {
        "broken picture": 1,
        "no picture": 1,
        "not fetched: answers 404 Not Found": 1,
        "outside the folder of the data": 1,
    }
    assert features.manifest["examples"]["no picture"] == ["a/5"]


def test_pictures_have_to_be_fetched_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Fetch them first: mmrec-bench features images shop"):
        picture_places(PicturesConfig(), of_addresses("https://shop/1.jpg"), tmp_path, tmp_path)
    with pytest.raises(DataError, match="names no addresses of pictures"):
        wanted_pictures(of_addresses("1.jpg"))


def of_addresses(*images: str) -> Dataset[Any]:
    interactions = Interactions(np.zeros(1, np.int64), np.zeros(1, np.int64), n_users=1, n_items=len(images))
    items = ItemTable(images=np.array(images))
    return Dataset("shop", interactions, {}, items, np.array(["u"]), np.array([str(i) for i in range(len(images))]))


def test_pictures_of_a_folder(world: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (world / "pictures").mkdir()
    for i in range(N - 5):
        colour = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)][i % 4]
        image.new("RGB", (20, 20), colour).save(world / f"pictures/i{i:02d}.png")
    whole = (world / "pictures/i00.png").read_bytes()
    (world / "pictures/i00.png").write_bytes(whole[:60])
    (world / "pictures/i01.png").write_bytes(b"<html>")
    config = ExtractConfig.model_validate(
        {"schema_version": 1, "dataset": {"card": str(world / "shop.yaml")}, "modality": "image",
         "encoder": "colour-edges", "pictures": {"folder": str(world / "pictures")}}
    )  # fmt: skip
    features = extract(config, dataset(world), None, world / "features", CPU)
    assert features.manifest["missing"] == {"broken picture": 1, "unknown kind of file": 1, "no picture": 5}
    table = features.table("image")
    assert table.n_missing == 7
    near = table.values[2:6] @ table.values[2:6].T
    assert near[0, 3] < 0.9 < float(table.values[2] @ table.values[6])
    # The same pictures under another path are the same features.
    (world / "pictures").rename(world / "moved")
    moved = config.model_copy(update={"pictures": config.pictures.model_copy(update={"folder": str(world / "moved")})})  # type: ignore[union-attr]
    assert extract(moved, dataset(world), None, world / "features", CPU).folder == features.folder


@pytest.mark.data
def test_texts_of_real_items_say_what_they_are(data_dir: Path, tmp_path: Path) -> None:
    config = load_extraction("configs/features/amazon-scientific-text.yaml", overrides=("encoder.dim=32",))
    items = Preparer(data_dir).dataset("amazon-scientific", ())
    made = extract(config, items, data_dir, tmp_path, CPU)
    assert made.manifest["items"] == {"catalogue": 4344, "missing": 0, "missing_share": 0.0}
    assert made.manifest["contents"]["fields"] == ["title", "brand", "categories", "description"]
    vectors = made.table("text").unit()
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    categories = [set(text.split(", ")) - {"Industrial & Scientific"} for text in items.items.texts("categories")]
    alike = [len(own & categories[near]) > 0 for own, near in zip(categories, cosines.argmax(axis=1), strict=True)]
    chance = [len(own & other) > 0 for own, other in zip(categories, categories[::-1], strict=True)]
    assert np.mean(alike) > 0.85 > 0.5 > np.mean(chance)
