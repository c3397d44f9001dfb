"""What travels to a machine that shares no disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from mmrec_bench.data.cards import load_card, load_dataset
from mmrec_bench.data.fetching.policy import Policy
from mmrec_bench.experiments.executors.luggage import luggage_of
from mmrec_bench.experiments.obtaining import obtain
from tests.data.fetching.server import Server
from tests.experiments.test_obtaining import raw_files, serve, write_suite


def test_prepared_data_travels_whole_and_without_its_raw_files(server: Server, tmp_path: Path) -> None:
    serve(server, "/2014", raw_files())
    write_suite(tmp_path, f"{server.url}/2014")
    text = str(tmp_path / "card.yaml")
    obtain(load_card(text), None, policy=Policy(attempts=1))
    found = luggage_of({"dataset": {"card": text}}, None)
    names = {name.rpartition("/")[2] for name in found.files}
    assert names == {"card.yaml", "interactions.parquet", "items.parquet", "image.npy"}
    for name, path in found.files.items():
        (tmp_path / "there" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, tmp_path / "there" / name)
    there = load_card(tmp_path / "there" / found.places[text])
    assert load_dataset(there).fingerprint() == load_dataset(load_card(text)).fingerprint()
