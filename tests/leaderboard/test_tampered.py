"""Submissions that somebody has spoiled, by accident or not: every one is refused, with the file and the reason."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mmrec_bench.leaderboard import verify
from mmrec_bench.leaderboard.folder import SubmissionFolder, write_record
from tests.leaderboard.packed import (
    Board,
    edit_card,
    edit_config,
    edit_json,
    edit_lists,
    make_board,
    repack,
    small_world,
)
from tests.leaderboard.spoils import (
    LISTS,
    Evil,
    Spoil,
    as_folder,
    beyond_dictionary,
    bomb,
    carded,
    carded_anyhow,
    cell,
    column,
    configured,
    copied,
    flip,
    keyed,
    linked,
    long_text,
    parquet,
    raise_claim,
    raise_consistently,
    reasons,
    rows,
    said,
    set_to,
    swapped,
    tied,
    tuned,
    unknown_codec,
    with_nan,
    written,
    zipped,
)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("tampered")
    with small_world(folder):
        made = make_board(folder)
        for name in ("retrieval", "ranking", "ctr", "interactive"):
            assert not made.verification(made.root / name / name).refused
        yield made


ALTERED = "alter: [{name: shuffled, modality: text}]"
RETRIEVAL: dict[str, tuple[Spoil, str, str]] = {
    # what lies in the folder
    "lists-edited-after-packing": (flip(LISTS), LISTS, "was changed since it was packed"),
    "card-edited-after-packing": (flip("card.json"), "card.json", "was changed since it was packed"),
    "config-edited-after-packing": (flip("config.yaml"), "config.yaml", "was changed since it was packed"),
    "lists-cut-short": (lambda f: os.truncate(f / LISTS, 100), LISTS, "has 100 bytes"),
    "lists-missing": (lambda f: (f / LISTS).unlink(), LISTS, "No such file"),
    "card-missing": (lambda f: (f / "card.json").unlink(), "card.json", "No such file"),
    "config-missing": (lambda f: (f / "config.yaml").unlink(), "config.yaml", "No such file"),
    "submission-missing": (lambda f: (f / "submission.json").unlink(), "submission.json", "No such file"),
    "extra-file": (lambda f: (f / "model.py").write_text("import os"), "model.py", "is no file of this submission"),
    "hidden-file": (lambda f: (f / ".git").write_text("x"), ".git", "is no file of this submission"),
    "extra-lists": (lambda f: shutil.copy(f / LISTS, f / "lists/seed-9.parquet"), "seed-9", "is no file of this"),
    "folder-in-folder": (lambda f: (f / "lists" / "more").mkdir(), "lists/more", "is neither a file"),
    "markup-in-file-name": (lambda f: (f / "<img src=x>").write_text("x"), "<img src=x>", "is no file of this"),
    "too-many-files": (
        lambda f: [(f / f"x{n}").write_text("") for n in range(1001)], "'.'", "holds more than 1,000 files"
    ),
    "linked-lists": (linked(LISTS), LISTS, "is a link"),
    "linked-card": (linked("card.json"), "card.json", "is a link"),
    "linked-folder-of-lists": (linked("lists"), "lists", "is a link"),
    "linked-submission": (linked("submission.json"), "submission.json", "is a link"),
    "link-to-system-file": (lambda f: (f / "x").symlink_to("/etc/passwd"), "x", "is a link"),
    "pipe": (lambda f: ((f / "card.json").unlink(), os.mkfifo(f / "card.json")), "card.json", "regular file"),
    "folder-as-submission": (as_folder("submission.json"), "submission.json", "is no regular file"),
    "folder-as-card": (as_folder("card.json"), "card.json", "is no regular file"),
    "folder-as-config": (as_folder("config.yaml"), "config.yaml", "is no regular file"),
    "folder-as-lists": (as_folder(LISTS), LISTS, "is no regular file"),
    "folder-as-record": (as_folder("verification.json"), "verification.json", "is neither a file"),
    "file-as-folder-of-lists": (
        lambda f: (shutil.rmtree(f / "lists"), (f / "lists").write_text("x")), LISTS, "its folder lists cannot be read"
    ),
    # submission.json
    "huge-json": (lambda f: (f / "submission.json").write_text(" " * (2 << 20)), "submission.json", "are read"),
    "deep-json": (lambda f: (f / "submission.json").write_text('{"a":' * 9999), "submission.json", "nested deeper"),
    "no-json": (lambda f: (f / "submission.json").write_text("{"), "submission.json", "is no JSON"),
    "json-list": (lambda f: (f / "submission.json").write_text("[]"), "submission.json", "must hold a JSON object"),
    "json-bytes": (lambda f: (f / "submission.json").write_bytes(b"\xff\xfe"), "submission.json", "is no JSON"),
    "json-key-twice": (
        lambda f: (f / "submission.json").write_text('{"track": "a", "track": "b"}'), "submission.json", "twice"
    ),
    "json-nan": (
        lambda f: (f / "submission.json").write_text('{"seeds": NaN}'), "submission.json", "no number of JSON"
    ),
    "json-endless-number": (keyed("submission.json", '"x": 1e999, "y"'), "submission.json", "is too great to be read"),
    "json-half-of-a-character": (
        keyed("submission.json", r'"\ud800"'), "submission.json", r"holds '\ud800', which is half of a character"
    ),
    "json-control-characters": (
        keyed("submission.json", r'"x\n::error::\u001b[2J\u202e"'),
        "submission.json", r"x\n::error::\x1b[2J\u202e: unknown key",
    ),
    "json-byte-order-mark": (
        lambda f: (f / "submission.json").write_bytes(b"\xef\xbb\xbf{}"), "submission.json", "a byte order mark"
    ),
    "author-twice": (set_to(authors=["A. Author", "A. Author"]), "submission.json", "authors: names one twice"),
    "address-without-a-host": (
        set_to(code={"url": "https:///x", "commit": "0123abc"}), "submission.json", "and a public host"
    ),
    "address-of-one-machine": (
        set_to(code={"url": "https://127.0.0.1/x", "commit": "0123abc"}), "submission.json", "and a public host"
    ),
    "address-of-lists-in-git": (
        said(lambda c: c["lists"].update(url="https://example.org/lists")),
        "submission.json", "lists that lie beside the entry have no other address",
    ),
    "interval-that-the-lists-do-not-give": (
        carded(lambda c: c["metrics"]["test"]["recall@10"].update(low=0.9)), "card.json", "has the interval [0.9, "
    ),
    "half-an-interval": (
        carded(lambda c: c["metrics"]["test"]["recall@10"].update(low=None)), "card.json", "has the interval [None, "
    ),
    "column-as-metric": (
        carded(lambda c: c["metrics"]["test"].update(user_id={**c["metrics"]["test"]["recall@10"], "low": 0.1})),
        "card.json", "'user_id' has the interval [0.1, "
    ),
    "digest-of-another-config": (carded(lambda c: c.update(config_digest="0" * 32)), "card.json", "config_digest is"),
    "chosen-by-another-metric": (
        carded(lambda c: c["protocol"].update(select_by="ndcg@5")), "card.json", "protocol.select_by is 'ndcg@5'"
    ),
    "commit-that-is-none": (
        carded_anyhow(lambda c: c["makings"][0].update(git={"commit": "0123abc"})), "card.json", "makings[0].git"
    ),
    "audit-of-no-check": (
        carded_anyhow(lambda c: c.update(audit={"verdict": "WARN", "checks": {}, "messages": {"x": "y"}})),
        "card.json", "'x' is none of the checks",
    ),
    "no-number-of-parameters": (carded(lambda c: c.update(parameters={})), "card.json", "parameters lack their total"),
    "seed-that-was-left-out": (
        carded(lambda c: c["vault"].append({**c["vault"][0], "seed": 99})), "card.json",
        "vault tells of seed 99, which is not handed in",
    ),
    "making-that-was-left-out": (
        carded(lambda c: c["makings"].append({**c["makings"][0], "seeds": [7]})), "card.json", "makings tell of seed 7"
    ),
    "no-character-in-title": (set_to(title="best\uffff"), "submission.json", "title"),
    "card-of-a-run-that-is-not-handed-in": (
        carded(lambda c: c["runs"].append({**c["runs"][0], "seed": 9})), "card.json", "runs are of seeds"
    ),
    "card-of-no-runs": (carded(lambda c: c.update(runs=[])), "card.json", "runs are of seeds ()"),
    "time-that-is-none": (
        carded_anyhow(lambda c: c["vault"][0].update(time="9999-99-99")), "card.json", "needs a time such as"
    ),
    "verdict-better-than-its-checks": (
        carded_anyhow(lambda c: c.update(audit={"verdict": "pass", "checks": {"x": "warn"}, "messages": {}})),
        "card.json", "the worst of the checks is 'warn'; got 'pass'",
    ),
    "no-hardware": (carded(lambda c: c.update(makings=[])), "card.json", "makings tell no hardware of seed 0"),
    "schema-version": (set_to(schema_version=2), "submission.json", "schema_version"),
    "other-kind": (set_to(kind="verification"), "submission.json", "kind"),
    "unknown-key": (set_to(score=1.0), "submission.json", "unknown key"),
    "many-unknown-keys": (
        said(lambda c: c.update({f"x{n}": 1 for n in range(5000)})), "submission.json: and 4,995 more", "more"
    ),
    "many-unknown-files": (
        lambda f: [(f / f"x{n}").write_text("") for n in range(500)], "and 495 more files", "are none of this"
    ),
    "json-with-long-key": (
        keyed("submission.json", f'"{"k" * 201}"'), "submission.json", f"holds the key '{'k' * 40}'..., of 201 letters"
    ),
    "json-with-long-places": (
        keyed("submission.json", f'"{"k" * 200}": {[0] * 45_000}, "x"'), "submission.json", "have more than 8,388,608"
    ),
    "unknown-track": (set_to(track="nothing"), "submission.json", "there is no track nothing"),
    "other-track": (set_to(track="ctr"), "config.yaml", "is not of track ctr"),
    "track-with-path": (set_to(track="../ctr"), "submission.json", "track"),
    "other-entry": (set_to(entry="other"), "submission.json", "entry is other"),
    "entry-with-path": (set_to(entry="../../etc"), "submission.json", "entry"),
    "path-traversal": (
        said(lambda c: c["files"].update({"../../../etc/passwd": c["files"]["card.json"]})),
        "submission.json", "../../../etc/passwd",
    ),
    "absolute-name": (
        said(lambda c: c["files"].update({"/etc/passwd": c["files"]["card.json"]})), "submission.json", "/etc/passwd"
    ),
    "backslashes": (
        said(lambda c: c["files"].update({"..\\x": c["files"]["card.json"]})), "submission.json", "is no file of a"
    ),
    "lists-not-named": (said(lambda c: c["files"].pop(LISTS)), "submission.json", "files: lacks"),
    "html-in-title": (set_to(title="<b>best</b>"), "submission.json", "title"),
    "script-in-authors": (set_to(authors=["<script>alert(1)</script>"]), "submission.json", "authors"),
    "turned-text": (set_to(title="txt.\u202eexe"), "submission.json", "RIGHT-TO-LEFT OVERRIDE"),
    "escape-codes": (set_to(title="\x1b[2J"), "submission.json", "control characters"),
    "script-address": (
        set_to(code={"url": "javascript:alert(1)", "commit": "0123abc"}), "submission.json", "code.url"
    ),
    "blank-title": (set_to(title="\u2800\u3164"), "submission.json", "BRAILLE PATTERN BLANK"),
    "title-of-signs": (set_to(title="| -- |"), "submission.json", "must hold a letter or a digit"),
    "title-like-another": (set_to(title="ease\ufe0f"), "submission.json", "VARIATION SELECTOR-16"),
    "title-with-wide-blanks": (set_to(title="mf\u2003rank 1"), "submission.json", "title: needs words with one plain"),
    "title-under-many-marks": (set_to(title="m" + "\u0489" * 95), "submission.json", "title: may hold 2 marks"),
    "entry-like-a-page": (set_to(entry="index.html"), "submission.json", "entry: ends in '.' or '.html', or is"),
    "command-of-two-lines": (
        said(lambda c: c["lists"].update(command="true\nrm -rf .")), "submission.json", "command: must be one line"
    ),
    "endless-command": (said(lambda c: c["lists"].update(command="x" * 201)), "submission.json", "lists.command"),
    "password-in-address": (
        set_to(code={"url": "https://me:secret@example.org/x", "commit": "0123abc"}),
        "submission.json", "leave out all before '@'",
    ),
    "user-in-address-of-lists": (
        said(lambda c: c["lists"].update(url="https://token@example.org")), "submission.json", "lists.url: names a user"
    ),
    "long-title": (set_to(title="x" * 201), "submission.json", "title"),
    "wrong-digest": (
        said(lambda c: c["files"][LISTS].update(digest="0" * 32)), LISTS, "was changed since it was packed"
    ),
    "wrong-size": (said(lambda c: c["files"][LISTS].update(bytes=7)), LISTS, "submission.json says 7"),
    "repeated-seeds": (set_to(seeds=[0, 0]), "submission.json", "seeds must not repeat"),
    "more-seeds-than-lists": (set_to(seeds=[0, 1]), "submission.json", "files: lacks lists/seed-1.parquet"),
    "closed-with-external-data": (set_to(external_data=["all the web"]), "submission.json", "declare tier open"),
    "not-deterministic": (set_to(deterministic=False), "submission.json", "no seed moves"),
    # numbers
    "claim-raised": (said(raise_claim), "submission.json", "the lists give"),
    "claim-raised-in-card-too": (raise_consistently, "submission.json", "test recall@10 is claimed as"),
    "claim-of-spread": (
        said(lambda c: c["claimed"]["test"]["recall@10"].update(sd=0.0)), "submission.json", "sd 0.0"
    ),
    "claim-of-seeds": (said(lambda c: c["claimed"]["test"]["recall@10"].update(n=5)), "submission.json", "n 5"),
    "claim-of-another-metric": (
        said(lambda c: c["claimed"]["test"].update({"luck@10": {"mean": 1.0, "sd": None, "n": 1}})),
        "submission.json", "is no metric of the track",
    ),
    "claim-beyond-all-bounds": (
        said(lambda c: c["claimed"]["test"]["recall@10"].update(mean=1e308)), "submission.json", "mean: input should be"
    ),
    "claim-of-negative-spread": (
        said(lambda c: c["claimed"]["test"]["recall@10"].update(sd=-1.0)), "submission.json", "sd: input should be"
    ),
    "size-beyond-all-bounds": (
        said(lambda c: c["files"][LISTS].update(bytes=10**400)), "submission.json", "bytes: input should be less than"
    ),
    "claims-of-one-part": (said(lambda c: c["claimed"].pop("valid")), "submission.json", "claimed"),
    "claims-of-nothing": (
        said(lambda c: c["claimed"]["valid"].clear()), "submission.json", "claimed: needs the numbers of both parts"
    ),
    "lists-kept-elsewhere": (
        said(lambda c: c["lists"].update(stored="outside")), "submission.json", "lists of retrieval lie beside the"
    ),
    # card and config
    "card-not-sealed": (
        lambda f: edit_card(f, lambda c: c.update(label="Best"), seal=False), "card.json", "changed since it was made"
    ),
    "card-with-markup": (carded(lambda c: c.update(label="<i>x</i>")), "card.json", "label"),
    "card-with-number-too-great": (keyed("card.json", '"x": 1e999, "y"'), "card.json", "is too great to be read"),
    "card-with-half-of-a-character": (keyed("card.json", r'"\udfff"'), "card.json", r"holds '\udfff', which is half"),
    "card-with-long-key": (keyed("card.json", f'"{"." * 201}"'), "card.json", "of 201 letters; at most 200"),
    "card-with-long-places": (
        carded_anyhow(lambda c: c["config"].update({"." * 200: [[]] * 45_000})), "card.json", "have more than 8,388,608"
    ),
    "card-with-many-unknown-keys": (
        carded_anyhow(lambda c: c.update({f"x{n}": 1 for n in range(90)})), "card.json: and 85 more", "more"
    ),
    "leak-in-key-of-several-words": (
        carded(lambda c: c["config"].update({"split.leak[0]": "window"})), "card.json", "behind the cut"
    ),
    "card-with-control-characters": (
        carded(lambda c: c["makings"][0]["device"].update(name="a\n\x1b[2J")), "card.json", "name: must be one line"
    ),
    "card-with-control-characters-in-keys": (
        carded(lambda c: c["fingerprints"]["inputs"].update({"\u202e": "0"})), "card.json", "inputs: must be one line"
    ),
    "card-with-markup-in-words": (
        carded(lambda c: c["protocol"].update(words="<b>best</b>")), "card.json", "protocol.words: must be plain text"
    ),
    "card-with-long-words": (
        carded(lambda c: c.update(deviations=["x" * 2001])), "card.json", "deviations[0]: has 2,001 letters"
    ),
    "card-with-long-name-of-device": (
        carded_anyhow(lambda c: c["makings"][0]["device"].update(name="x" * 201)), "card.json", "device.name"
    ),
    "card-of-negative-size": (
        carded_anyhow(lambda c: c["parameters"].update(total=-5)), "card.json", "parameters.total: input should be"
    ),
    "card-beyond-all-bounds": (
        carded_anyhow(lambda c: c["parameters"].update(total=10**400)), "card.json", "parameters.total: input should be"
    ),
    "card-of-endless-seconds": (
        carded_anyhow(lambda c: c["cost"]["seconds"]["train"].update(mean=1e308)), "card.json", "seconds.train.mean"
    ),
    "card-of-no-time-at-all": (
        carded_anyhow(lambda c: c["cost"]["seconds"]["train"].update(mean=5e-324)),
        "card.json", "seconds.train.mean: must be 0, or at least 1e-12; got 5e-324",
    ),
    "card-of-negative-seconds": (
        carded_anyhow(lambda c: c["cost"]["seconds"]["train"].update(mean=-3.0)), "card.json", "seconds.train.mean"
    ),
    "card-of-negative-memory": (
        carded_anyhow(lambda c: c["cost"]["peak_memory_mib"].update(mean=-1.0)), "card.json", "peak_memory_mib.mean"
    ),
    "card-over-no-seeds": (
        carded_anyhow(lambda c: c["cost"]["seconds"]["train"].update(n=0)), "card.json", "seconds.train.n"
    ),
    "card-of-other-features": (
        carded(lambda c: c["fingerprints"]["features"].update(text="0")),
        "card.json", "features 'text' are '0'; the track has 3fd68d29a5ffafe6",
    ),
    "card-of-features-of-nobody": (
        carded(lambda c: c["fingerprints"]["features"].update(clip="0")),
        "card.json", "features 'clip' are '0'; the track has none of that name. A closed system",
    ),
    "card-without-features": (
        carded(lambda c: c["fingerprints"].update(features={})),
        "card.json", "tells no digest of the features 'text', which are those of the track",
    ),
    "card-of-other-protocol": (carded(lambda c: c["protocol"].update(id="other")), "card.json", "protocol.id"),
    "card-of-other-data": (carded(lambda c: c["fingerprints"].update(data="0")), "card.json", "on another data"),
    "card-of-other-split": (carded(lambda c: c["fingerprints"].update(split="0")), "card.json", "another split"),
    "card-of-other-seeds": (carded(lambda c: c.update(seeds=[1])), "card.json", "is of seeds"),
    "card-of-other-config": (
        carded(lambda c: c["config"]["model"].update(name="mf")), "card.json", "its config is not config.yaml"
    ),
    "vault-opened-twice": (carded(lambda c: c["vault"].append(c["vault"][0])), "card.json", "opened the test part"),
    "vault-not-opened": (carded(lambda c: c.update(vault=[])), "card.json", "opened the test part 0 times"),
    "vault-opened-to-choose": (
        carded(lambda c: c["vault"].append({**c["vault"][0], "purpose": "choose the best weights"})),
        "card.json", "seed 0 opened the test part for another purpose: 'choose the best weights'",
    ),
    "leak-in-card": (
        lambda f: edit_card(f, lambda c: c.update(leak={"name": "window"}), seal=False), "card.json", "behind the cut"
    ),
    "leak-in-config": (
        lambda f: edit_config(f, "schema_version: 1", "schema_version: 1\nleak: window"), "config.yaml", "the cut"
    ),
    "tuned-too-long": (
        carded(tuned),
        "card.json", "999 trials",
    ),
    "tuned-longer-than-was-allowed": (
        carded(lambda c: (tuned(c), c["tuning"].update(budget={"trials": 1}, spent={"trials": 9999}))),
        "card.json", "its study had 9999 trials",
    ),
    "tuned-by-more-trials-in-its-seconds": (
        carded(
            lambda c: (
                tuned(c), c["tuning"].update(budget={"trials": None, "seconds": 600.0}, spent={"trials": 9999})
            )
        ),
        "card.json", "its study had 9999 trials",
    ),
    "tuned-by-trials-that-are-none": (
        carded(lambda c: (tuned(c), c["tuning"]["budget"].update(trials=True))), "card.json", "could have True trials"
    ),
    "deep-card": (written("card.json", b'{"a":' * 9999), "card.json", "nested deeper"),
    "config-of-other-split": (configured("seed: 0\n  sel", "seed: 1\n  sel"), "config.yaml", "is not of track"),
    "config-of-other-data": (configured("card: small", "card: other"), "config.yaml", "is not of track"),
    "config-of-altered-features": (
        lambda f: edit_config(f, "alter: []", ALTERED), "config.yaml", "altered features stand on no board"
    ),
    "config-and-card-of-altered-features": (
        lambda f: (
            edit_config(f, "alter: []", ALTERED),
            edit_card(f, lambda c: c["config"]["dataset"].update(alter=[{"name": "shuffled", "modality": "text"}])),
        ),
        "config.yaml", "altered features stand on no board",
    ),
    "config-of-other-seeds": (lambda f: edit_config(f, "seeds:\n- 0", "seeds:\n- 1"), "config.yaml", "says otherwise"),
    "card-of-another-task": (carded(lambda c: c.update(task="ranking")), "card.json", "ranking"),
    "card-of-another-data-set": (carded(lambda c: c.update(dataset="other")), "card.json", "other"),
    "config-with-path": (
        lambda f: edit_config(f, "name: popularity", "name: popularity\n  file: /etc/passwd"), "config.yaml", "a path"
    ),
    "config-with-long-key": (
        configured("inputs:", f"? {'k' * 201}\n: 1\ninputs:"), "config.yaml", "of 201 letters; at most 200"
    ),
    "config-with-long-places": (
        configured("inputs:", "x: " + f"{{{'k' * 200}: " * 15 + str([0] * 3000) + "}" * 15 + "\ninputs:"),
        "config.yaml", "have more than 8,388,608",
    ),
    "config-that-is-long": (
        configured("inputs:", f"x: {[0] * 30_000}\ninputs:"), "config.yaml", "bytes; at most 65,536 are read"
    ),
    "config-with-key-twice": (
        written("config.yaml", b"a: 1\na: 2"), "config.yaml: document: the key 'a' is given twice (line 2)", "twice"
    ),
    "config-with-many-paths": (
        configured("inputs:", f"x: [{', '.join(['/etc'] * 90)}]\ninputs:"), "config.yaml: and 85 more", "more"
    ),
    "config-with-control-characters": (
        configured("inputs:", '"x\\n::error::\\e[2J": /etc/passwd\ninputs:'),
        "config.yaml", r"x\n::error::\x1b[2J names a path, '/etc/passwd'",
    ),
    "config-of-simulated-clicks": (
        configured("clicks: null", "clicks: {model: {name: pbm, severity: 0.0}}"),
        "config.yaml", "dataset.clicks simulates clicks; a closed system has those of the track",
    ),
    "config-that-extracts-features": (
        configured("features: {}\n  alter", "features: {text: {encoder: {name: tfidf-svd}}}\n  alter"),
        "config.yaml", "dataset.features.text extracts features. A closed system has the features of the track",
    ),
    "config-that-extracts-features-of-features": (
        configured("inputs:\n  features: {}", "inputs:\n  features: {a: {dataset: {features: {text: {seed: 0}}}}}"),
        "config.yaml", "inputs.features.a.dataset.features.text extracts features",
    ),
    "config-with-folder-of-extracted-features": (
        configured("features: {}\n  alter", "features: {text: mine}\n  alter"),
        "config.yaml", "dataset.features.text names a folder of features",
    ),
    "config-with-folder-of-pictures": (
        configured("features: {}\n  alter", "features: {image: {pictures: {folder: mine}}}\n  alter"),
        "config.yaml", "dataset.features.image.pictures.folder names a folder of pictures",
    ),
    "config-with-folder-of-weights": (
        configured("features: {}\n  alter", "features: {image: {encoder: {model: mine}}}\n  alter"),
        "config.yaml", "dataset.features.image.encoder.model names a folder of weights",
    ),
    "config-without-model": (
        configured("model:\n  name: popularity\n  preset: clean", "model: [1]"), "config.yaml", "model names none"
    ),
    "config-with-run": (
        lambda f: edit_config(f, "base: null", "base: {run: runs}"), "config.yaml", "names a folder of runs"
    ),
    "config-with-tag": (
        written("config.yaml", b"a: !!python/object/apply:os.system ['touch executed-by-yaml']"),
        "config.yaml", "tag",
    ),
    "config-with-aliases": (written("config.yaml", b"a: &a [x]\nb: [*a, *a]"), "config.yaml", "anchors and aliases"),
    "config-with-unknown-key": (
        lambda f: edit_config(f, "name: popularity", "name: popularity\n  luck: 1"), "config.yaml", "unknown key"
    ),
    # lists
    "many-rows-in-few-bytes": (parquet(bomb()), LISTS, "has 3,000,000 rows"),
    "long-text-in-few-bytes": (long_text, LISTS, "bytes of texts"),
    "other-compression": (
        lambda f: parquet(pq.read_table(f / LISTS), compression="gzip")(f), LISTS, "is compressed by GZIP"
    ),
    "unknown-compression": (unknown_codec, LISTS, "is compressed by codec 23"),
    "indices-beyond-dictionary": (beyond_dictionary, LISTS, "out of bounds"),
    "users-nested": (column("user_id", lambda t: [[one] for one in t["user_id"]]), LISTS, "column user_id needs text"),
    "no-parquet": (written(LISTS, b"PAR1" + b"\0" * 100 + b"PAR1"), LISTS, "is no parquet file"),
    "pickle": (written(LISTS, pickle.dumps(Evil())), LISTS, "is no parquet file"),
    "zip": (zipped, LISTS, "is no parquet file"),
    "column-missing": (rows(lambda t: t.drop(columns="score")), LISTS, "needs the columns"),
    "metric-values": (column("recall@10", lambda t: 1.0), LISTS, "needs the columns"),
    "columns-in-other-order": (rows(lambda t: t[t.columns[::-1]]), LISTS, "needs the columns"),
    "scores-as-text": (column("score", lambda t: t["score"].astype(str)), LISTS, "column score needs float"),
    "scores-nested": (column("score", lambda t: [[1.0]] * len(t)), LISTS, "column score needs float"),
    "scores-as-objects": (column("score", lambda t: [{"a": 1}] * len(t)), LISTS, "column score needs float"),
    "scores-missing": (cell("score", 3, None), LISTS, "lacks 1 values"),
    "ids-missing": (column("item_id", lambda t: [None, *t["item_id"].iloc[1:]]), LISTS, "lacks 1 values"),
    "nan": (with_nan("score"), LISTS, "no finite numbers"),
    "infinite": (cell("score", 0, np.inf), LISTS, "no finite numbers"),
    "beyond-32-bits": (
        column("score", lambda t: 1e300 - t["rank"] * 1e298), LISTS, "no finite numbers of 32 bits"
    ),
    "order-hidden-beyond-32-bits": (column("score", lambda t: 1 - t["rank"] * 1e-15), LISTS, "canonical order"),
    "ascending": (column("score", lambda t: t["rank"].astype(np.float32)), LISTS, "have rising scores"),
    "order-hidden-in-ties": (rows(tied), LISTS, "canonical order"),
    "rows-twice": (rows(lambda t: pd.concat([t, t.iloc[:10]])), LISTS, "rows; the track has"),
    "user-twice": (
        column("user_id", lambda t: t["user_id"].where(t["user_id"] != t["user_id"].iloc[0], t["user_id"].iloc[20])),
        LISTS, "have no list",
    ),
    "users-missing": (rows(lambda t: t[t["user_id"] != t["user_id"].iloc[0]]), LISTS, "rows; the track has"),
    "users-swapped": (rows(swapped), LISTS, "the user is known to have"),
    "unknown-user": (cell("user_id", 0, "nobody"), LISTS, "unknown user ids, such as 'nobody'"),
    "markup-as-user": (cell("user_id", 0, "<script>"), LISTS, "unknown user ids"),
    "unknown-item": (cell("item_id", 0, "nothing"), LISTS, "unknown item ids, such as 'nothing'"),
    "item-twice": (
        rows(lambda t: t.assign(item_id=[t["item_id"].iloc[1], *t["item_id"].iloc[1:]])), LISTS, "hold an item twice"
    ),
    "rank-zero": (column("rank", lambda t: t["rank"] - 1), LISTS, "are not in 1..10"),
    "rank-beyond": (column("rank", lambda t: t["rank"] + 1), LISTS, "are not in 1..10"),
    "rank-twice": (cell("rank", 1, 1), LISTS, "have a rank twice"),
    "part-of-training": (column("part", lambda t: t["part"].replace("valid", "train")), LISTS, "needs the parts"),
    "one-part": (column("part", lambda t: "test"), LISTS, "needs the parts"),
}  # fmt: skip


def _train_item(board: Board, folder: Path) -> None:
    """Put an item that a user is known to have at the top of the user's list."""
    data = board.verification.judge_of(board.tracks["retrieval"])
    assert not isinstance(data, str)
    truth = data[0]

    def change(table: pd.DataFrame) -> pd.DataFrame:
        user = truth.users.get_loc(table["user_id"].iloc[0])
        item = truth.items[truth.train.items[truth.train.users == user][0]]
        return table.assign(item_id=[item, *table["item_id"].iloc[1:]])

    edit_lists(folder, change)


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """What was opened, or written anywhere, since `start` was called: the places where links and folders lead."""
    seen: list[str] = []
    real = os.open

    def told(path: Any, flags: int, *args: Any, **options: Any) -> int:
        descriptor = real(path, flags, *args, **options)
        if options.get("dir_fd") is not None:  # the hook is told of the name alone
            seen.append(f"read {os.readlink(f'/proc/self/fd/{descriptor}')}")
        return descriptor

    monkeypatch.setattr(os, "open", told)
    _WATCH.append(seen)
    yield lambda: seen
    _WATCH.remove(seen)


_WATCH: list[list[str]] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _WATCH:
        return
    if event == "open":
        path, _, flags = args
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        place = path if isinstance(path, int) else _place(os.fspath(path), flags)
        for seen in _WATCH:
            seen.append(f"{'write' if writes else 'read'} {place}")
    elif event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "pickle.find_class", "os.rename"):
        for seen in _WATCH:
            seen.append(f"do {event} {args}")


def _place(path: Any, flags: Any) -> Any:
    """Return where a path leads, through all links that are followed."""
    if not (isinstance(flags, int) and flags & os.O_NOFOLLOW):
        return os.path.realpath(path)
    parent, name = os.path.split(path)
    return os.path.join(os.path.realpath(parent), name)


sys.addaudithook(_hook)


@pytest.mark.parametrize("name", list(RETRIEVAL))
def test_tampered_lists_of_items_are_refused(
    board: Board, tmp_path: Path, name: str, opened: Callable[[], list[str]]
) -> None:
    spoil, file, reason = RETRIEVAL[name]
    folder = copied(board, tmp_path, "retrieval")
    spoil(folder)
    opened().clear()
    verified = board.verification(folder)
    events = list(opened())
    assert reason in reasons(verified, file)
    touched = [event for event in events if str(tmp_path) in event and f"read {folder}/" not in f"{event}/"]
    assert touched == []  # nothing beside the folder was looked at, whatever links say
    assert [event for event in events if event.startswith(("do ", "write "))] == []
    assert not list(tmp_path.rglob("executed-by-*"))
    assert not list(Path().glob("executed-by-*"))


def test_items_that_a_user_is_known_to_have_are_refused(board: Board, tmp_path: Path) -> None:
    folder = copied(board, tmp_path, "retrieval")
    _train_item(board, folder)
    assert "the user is known to have" in reasons(board.verification(folder), LISTS)


def test_one_run_handed_in_as_three_is_refused(board: Board, tmp_path: Path) -> None:
    folder = copied(board, tmp_path, "retrieval", "trained")
    for seed in (1, 2):
        shutil.copy(folder / LISTS, folder / "lists" / f"seed-{seed}.parquet")
    repack(folder)
    assert "holds the very lists of seed 0" in reasons(board.verification(folder), "lists/seed-1.parquet")


def test_one_run_handed_in_as_three_with_a_swap_each_is_flagged(board: Board, tmp_path: Path) -> None:
    folder = copied(board, tmp_path, "retrieval", "trained")

    def swapped(table: pd.DataFrame, at: int) -> pd.DataFrame:
        items = table["item_id"].tolist()
        items[at], items[at + 1] = items[at + 1], items[at]
        return table.assign(item_id=items)

    for seed in (1, 2):
        shutil.copy(folder / LISTS, folder / "lists" / f"seed-{seed}.parquet")
        edit_lists(folder, partial(swapped, at=-2 * seed), seed)
    flags = [check for check in board.verification(folder).checks if check.verdict == "flag" and check.name == "seeds"]
    assert [f"as seed {check.message.split('as seed ')[1][0]} does" for check in flags] == [
        "as seed 0 does",
        "as seed 0 does",
        "as seed 1 does",
    ]


@pytest.mark.parametrize(
    ("changes", "reason"), [({"deterministic": True}, "a deterministic system has one"), ({"seeds": [0, 1]}, "seeds")]
)
def test_seeds_cannot_be_explained_away(board: Board, tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    folder = copied(board, tmp_path, "retrieval", "trained")
    set_to(**changes)(folder)
    assert reason in reasons(board.verification(folder), "submission.json")


def test_a_trained_system_is_not_deterministic(board: Board, tmp_path: Path) -> None:
    folder = copied(board, tmp_path, "retrieval", "trained")

    def alone(content: Any) -> None:
        content.update(deterministic=True, seeds=[0])
        for seed in (1, 2):
            del content["files"][f"lists/seed-{seed}.parquet"]
            (folder / "lists" / f"seed-{seed}.parquet").unlink()

    edit_json(folder / "submission.json", alone)
    edit_config(folder, "- 0\n- 1\n- 2", "- 0")
    assert "seeds move" in reasons(board.verification(folder), "submission.json")


def test_a_link_to_a_submission_is_refused(board: Board, tmp_path: Path) -> None:
    link = tmp_path / "retrieval"
    link.symlink_to(board.root / "retrieval" / "retrieval")
    assert "is no folder, or a link to one" in reasons(board.verification(link), "retrieval")


def test_an_error_that_nobody_has_thought_of_refuses_one_entry_alone(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, other = copied(board, tmp_path, "retrieval"), copied(board, tmp_path, "retrieval", "trained")
    check = verify.check_declared

    def broken(opened: SubmissionFolder, *others: Any) -> Any:
        if opened.path == folder:
            raise KeyError("\x1b[2J")
        return check(opened, *others)

    monkeypatch.setattr(verify, "check_declared", broken)
    told = reasons(board.verification(folder), "retrieval")
    assert "could not be checked, by KeyError in test_tampered.py" in told
    assert "report it, with the submission" in told
    assert "\x1b" not in told
    assert not board.verification(other).refused


def test_lists_that_take_more_memory_than_there_is_are_refused(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(verify, "read_lists", greedy)
    folder = copied(board, tmp_path, "retrieval")
    assert "takes more memory than there is here" in reasons(board.verification(folder), LISTS)


def test_an_entry_whose_record_could_not_be_read_again_is_refused(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "MAX_BYTES", 5000)
    folder = copied(board, tmp_path, "retrieval", "trained")
    verified = board.verification(folder)
    assert "has 3 seeds; their record would have" in reasons(verified, "submission.json")
    assert verified.record is None


def test_open_systems_may_have_other_features(board: Board, tmp_path: Path) -> None:
    folder = copied(board, tmp_path, "retrieval")
    set_to(tier="open", external_data=["a model of pictures"])(folder)
    edit_card(folder, lambda card: card["fingerprints"]["features"].update(image="0", clip="0"))
    assert not board.verification(folder).refused
    set_to(external_data=[])(folder)
    flags = [check.message for check in board.verification(folder).checks if check.name == "tier"]
    assert flags == ["submission.json: is open and declares no external_data; look what makes it so"]


def test_a_link_beside_a_submission_leads_nowhere(board: Board, tmp_path: Path) -> None:
    earlier = copied(board, tmp_path / "elsewhere", "retrieval", "trained")
    folder = copied(board, tmp_path, "retrieval")
    (folder.parent / "trained").symlink_to(earlier)
    set_to(replaces="trained")(folder)
    assert "there is no such submission" in reasons(board.verification(folder), "submission.json")


def test_lists_under_the_numbers_of_other_seeds_are_copies(board: Board, tmp_path: Path) -> None:
    mine, copy = copied(board, tmp_path, "retrieval", "trained"), tmp_path / "retrieval" / "copy"
    shutil.copytree(mine, copy)
    write_record(mine, board.verification(mine).accepted("").text())
    lists = [copy / "lists" / f"seed-{seed}.parquet" for seed in range(3)]
    contents = [path.read_bytes() for path in lists]
    for path, content in zip(lists, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)
    repack(copy)
    set_to(entry="copy")(copy)
    flags = [check.message for check in board.verification(copy).checks if check.verdict == "flag"]
    assert [flag for flag in flags if "100.0% of looked-at places are those of entry trained" in flag]
