"""What happens on a node of a cluster, without a cluster: nothing of the first machine's disk is read."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mmrec_bench.errors import ArtefactError, DataError
from mmrec_bench.experiments.executors.luggage import luggage_of
from mmrec_bench.experiments.executors.node import CACHE_VARIABLE, make_here, receive
from mmrec_bench.experiments.executors.packing import pack, unpack
from mmrec_bench.experiments.executors.ray import order_of
from mmrec_bench.experiments.executors.schedule import Schedule
from mmrec_bench.experiments.executors.task import Task
from mmrec_bench.experiments.prepare import Preparer
from mmrec_bench.experiments.run import RunSettings
from mmrec_bench.experiments.schema.experiment import load_experiment
from mmrec_bench.experiments.suite import plan

from ..conftest import write_config
from .suites import Diary, execute, same, write_models, write_suite


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("node")
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder


def task_of(path: Path, settings: RunSettings) -> Task:
    planned, failures = plan([load_experiment(path)], Preparer(None), settings.out)
    assert not failures
    return list(Schedule(planned, settings, Diary(), False).waiting.values())[-1]


def test_a_run_made_elsewhere_is_the_run_made_here(world: Path, settings: RunSettings, cache: Path) -> None:
    """The data folder is taken away before the node starts, so that whatever it reads has travelled."""
    write_models(world)
    suite = write_suite(world, "mf", seeds="[0]")
    here = execute(suite, replace(settings, out=world / "alone"), None, Diary())
    shorter = load_experiment(world / "mf.yaml", ("trainer.max_epochs=2",))
    planned, _ = plan([shorter], Preparer(None), settings.out)
    (task,) = Schedule(planned, settings, Diary(), False).waiting.values()
    order, luggage = order_of(task, settings, None, None)
    parcels = {order["luggage"]["parcel"]: pack(luggage.files)}
    away = world.with_name("away")
    world.rename(away)
    answer, packed = make_here(json.loads(json.dumps(order)), parcels.__getitem__)
    assert answer == {"done": True}
    assert not list((cache / "runs").rglob("manifest.json")), "a node keeps no finished run"
    away.rename(world)
    receive(packed, task.key, settings.out)
    receive(packed, task.key, settings.out)
    assert not (settings.out / ".stale").exists(), "counted once"
    assert same(here, execute(write_suite(world, "mf", seeds="[0]"), settings, None, Diary()))


def test_what_comes_back_is_checked(world: Path, settings: RunSettings, cache: Path) -> None:
    task = task_of(write_config(world, "popularity", trainer=""), settings)
    other = task_of(write_config(world, "mf", trainer="{max_epochs: 1}"), settings)
    order, luggage = order_of(task, settings, None, None)
    _, packed = make_here(order, lambda name: pack(luggage.files))
    with pytest.raises(ArtefactError, match="another run"):
        receive(packed, other.key, settings.out)
    unpack(packed, world / "spoilt")
    (world / "spoilt" / "metrics.json").write_text("{}")
    spoilt = pack({path.name: path for path in (world / "spoilt").iterdir()})
    with pytest.raises(ArtefactError, match="was changed or cut short"):
        receive(spoilt, task.key, settings.out)
    assert not list((settings.out / "tiny").rglob("manifest.json"))


def test_luggage_that_changed_on_the_way_or_code_that_differs_is_refused(
    world: Path, settings: RunSettings, cache: Path
) -> None:
    task = task_of(write_config(world, "popularity", trainer=""), settings)
    order, luggage = order_of(task, settings, None, None)
    (world / "tiny.inter").write_text((world / "tiny.inter").read_text().replace("\t0\n", "\t1\n", 1))
    answer, packed = make_here(order, lambda name: pack(luggage.files))
    assert "another content than it has where the suite was started" in answer["error"]
    assert not packed
    order, luggage = order_of(task, settings, None, None)
    assert "was planned as" in make_here(order, lambda name: pack(luggage.files))[0]["error"], (
        "data as sent, not as planned"
    )
    answer, _ = make_here(order | {"code": "0" * 16}, lambda name: pack(luggage.files))
    assert "Install the same version everywhere" in answer["error"]


def test_data_may_come_from_a_url(world: Path, settings: RunSettings, cache: Path, tmp_path: Path) -> None:
    """Of bundled cards; a card of the user's own travels with its files."""
    pytest.importorskip("fsspec")
    task = task_of(write_config(world, "popularity", trainer=""), settings)
    order, luggage = order_of(task, settings, None, f"file://{tmp_path / 'bucket'}")
    assert order["luggage"]["parcel"] is not None
    assert all(name.startswith("cards/0/") for name in luggage.files)
    told = order["luggage"]
    named = {name.replace("cards/0/", "data/tiny/"): digest for name, digest in told["digests"].items()}
    places = {path: place.replace("cards/0/", "data/tiny/") for path, place in told["places"].items()}
    remote = told | {
        "digests": named,
        "places": places,
        "parcel": None,
        "fingerprint": "by-url",
        "fetched": list(named),
    }
    assert "cannot be read (FileNotFoundError" in make_here(order | {"luggage": remote}, {}.__getitem__)[0]["error"]
    shutil.copytree(world, tmp_path / "bucket" / "tiny")
    answer, packed = make_here(order | {"luggage": remote}, {}.__getitem__)
    assert answer == {"done": True}
    receive(packed, task.key, settings.out)


def test_files_outside_of_their_folder_are_not_sent(world: Path, settings: RunSettings) -> None:
    (world / "inner").mkdir()
    card = (world / "tiny.yaml").read_text().replace("tiny.inter", "../tiny.inter")
    (world / "inner" / "tiny.yaml").write_text(card.replace("image_feat.npy", "../image_feat.npy"))
    with pytest.raises(DataError, match="outside of its folder"):
        luggage_of({"dataset": {"card": str(world / "inner" / "tiny.yaml")}}, None)


def test_an_embedded_data_set_needs_no_luggage() -> None:
    assert not luggage_of({"dataset": {"card": "synthetic"}}, None).files
