"""Lines of plain, packed, damaged and hostile files."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from mmrec_bench.data.raw import files, lines
from mmrec_bench.data.raw.files import RawFile
from mmrec_bench.data.raw.lines import Lines
from mmrec_bench.data.raw.problems import Problems
from mmrec_bench.errors import DataError


def read(file: RawFile, *, cut_short: bool = False) -> tuple[dict[int, str], dict[str, tuple[int, int]]]:
    """Return lines by number without their ends, and problems with count and first line."""
    problems = Problems()
    found = {}
    for batch in Lines(file, problems, cut_short).batches():
        found |= dict(zip(batch["line"].to_pylist(), batch["text"].to_pylist(), strict=True))
    told = {problem.kind: (problem.count, problem.first) for problem in problems}
    return {number: text.rstrip("\r\n") for number, text in found.items()}, told


def written(folder: Path, content: bytes, name: str = "a.txt") -> RawFile:
    (folder / name).write_bytes(content)
    return RawFile.find(folder, name)


@pytest.mark.parametrize("batch", [1, 7, 1 << 24])
@pytest.mark.parametrize("block", [1, 5, 1 << 20])
def test_blocks_and_batches_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, block: int
) -> None:
    monkeypatch.setattr(lines, "BATCH", batch)
    monkeypatch.setattr(files, "BLOCK", block)
    content = "\ufeffone\ntwo\r\n\nfour: äß\n" + "x" * 40 + "\nlast"
    expected = {1: "one", 2: "two", 3: "", 4: "four: äß", 5: "x" * 40, 6: "last"}
    if block > 3:  # a byte order mark is looked for in the first block
        assert read(written(tmp_path, content.encode())) == (expected, {})
    packed = written(tmp_path, gzip.compress(content[1:9].encode()) + gzip.compress(content[9:].encode()), "b.gz")
    assert read(packed) == (expected, {}), "members one after another"


def test_lines_that_are_too_long_or_no_text_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 10)
    content = b"good\n\xff\xfe\n" + b"y" * 11 + b"\nfine\n" + b"z" * 500 + b"\n\xc3\nend\n" + b"w" * 100
    for batch in (1, 64, 1 << 20):
        monkeypatch.setattr(lines, "BATCH", batch)
        for block in (3, 16, 1 << 20):
            monkeypatch.setattr(files, "BLOCK", block)
            found, told = read(written(tmp_path, content))
            assert found == {1: "good", 4: "fine", 7: "end"}
            assert told == {"not-utf8": (2, 2), "too-long": (3, 3)}


def test_a_file_that_is_cut_short_is_refused_or_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    content = b"".join(b"line %d of many\n" % n for n in range(5000))
    packed = gzip.compress(content)
    file = written(tmp_path, packed[: len(packed) // 2], "a.gz")
    with pytest.raises(DataError, match=r"a\.gz: the packed data is damaged or cut short .*allow_cut_short: true"):
        read(file)
    found, told = read(file, cut_short=True)
    assert told == {"cut-short": (1, 0)}
    assert 100 < len(found) < 5000
    assert all(text == f"line {number - 1} of many" for number, text in found.items()), "half a line is none"
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    with pytest.raises(DataError, match="damaged"):
        read(written(tmp_path, bytes(damaged), "b.gz"))
    with pytest.raises(DataError, match="damaged or cut short"):
        read(written(tmp_path, packed[:-4], "c.gz"))


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FREE", 1 << 16)
    content = b'{"asin": "B0"}\n' * 200_000
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        read(written(tmp_path, gzip.compress(content), "a.gz"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/a.txt", content)
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        read(RawFile.find(tmp_path, "a.zip/in/a.txt"))
    assert len(read(written(tmp_path, content[:15000]))[0]) == 1000, "what is not packed may be long"


def test_members_of_archives_are_read_where_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    with zipfile.ZipFile(folder / "ml.zip", "w") as archive:
        archive.writestr("ml/ratings.csv", "1,2,3,4\n")
        archive.writestr("../../escaped.txt", "evil")
        archive.writestr("/etc/escaped.txt", "evil")
    assert read(RawFile.find(folder, "ml.zip/ml/ratings.csv"))[0] == {1: "1,2,3,4"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["ml.zip", "raw"], "nothing is unpacked"
    with pytest.raises(DataError, match=r"no member 'ml/movies.csv'; it holds 'ml/ratings.csv'"):
        read(RawFile.find(folder, "ml.zip/ml/movies.csv"))
    with pytest.raises(DataError, match=r"such as ml\.zip/ratings\.csv\. It holds 'ml/ratings\.csv', "):
        read(RawFile.find(folder, "ml.zip"))
    for name in ("ml.zip/../../escaped.txt", "../x", "/etc/passwd", "a\\..\\b", ".."):
        with pytest.raises(DataError, match="do not lead out of the folder"):
            RawFile.find(folder, name)
    (folder / "broken.zip").write_bytes((folder / "ml.zip").read_bytes()[:60])
    with pytest.raises(DataError, match="damaged or cut short"):
        read(RawFile.find(folder, "broken.zip/ml/ratings.csv"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"reviews\.json\.gz: no such file"):
        RawFile.find(tmp_path, "reviews.json.gz")
