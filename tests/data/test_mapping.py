"""Arrays that stay in their file: what is written to one is seen by no other, and memory does not grow with them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmrec_bench.data import mapping
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.formats.vectors import read_vectors
from mmrec_bench.data.mapping import MappedArray, copied, mapping_of, temporary
from mmrec_bench.errors import DataError, ResourceError
from tests.perf.features import LIMIT_MIB, measured_apart, write_table

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


def in_a_file() -> MappedArray:
    file, shared = temporary(np.float32, VALUES.shape)
    shared[:] = VALUES
    return MappedArray.of(file, np.float32, VALUES.shape)


def test_copies_are_apart_and_the_file_stays() -> None:
    array = in_a_file()
    first, second = copied(array), copied(np.asarray(array).view())
    assert mapping_of(first) is not None
    array[0], first[1] = -1, -2
    np.testing.assert_array_equal(second, VALUES)
    np.testing.assert_array_equal(first[2:], VALUES[2:])
    np.testing.assert_array_equal(copied(array), VALUES)


def test_other_arrays_are_copied_as_ever() -> None:
    for array in (VALUES, in_a_file()[1:], in_a_file().T, in_a_file().view(np.int32)):
        again = copied(array)
        assert mapping_of(again) is None
        np.testing.assert_array_equal(again, array)
        assert not np.shares_memory(again, array)


def test_unit_rows_of_a_table_in_a_file_are_the_same() -> None:
    present = np.array([True, False, True, True])
    held, mapped = (FeatureTable("image", values, present, "made") for values in (VALUES, in_a_file()))
    assert mapping_of(mapped.values) is not None
    np.testing.assert_array_equal(mapped.unit(), held.unit())
    np.testing.assert_array_equal(mapped.filled(), held.filled())
    assert mapped.fingerprint() == held.fingerprint()
    broken = in_a_file()
    broken[2, 1] = np.inf
    with pytest.raises(DataError, match="1 present rows are not finite, first 2"):
        FeatureTable("image", broken, present, "made")


def test_a_file_that_is_replaced_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmrec_bench.data.formats.vectors.MAPPED_BYTES", 0)
    np.save(tmp_path / "a.npy", VALUES)
    table, _ = read_vectors(tmp_path / "a.npy", "image", 4)
    np.save(tmp_path / "b.npy", VALUES + 1)
    (tmp_path / "b.npy").replace(tmp_path / "a.npy")
    np.testing.assert_array_equal(table.filled()[1:], VALUES[1:])


def test_a_disk_without_room_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(mapping, "_allocate", full)
    with pytest.raises(
        ResourceError, match=r"cannot hold a feature table of 0 MiB \(No space left on device\).*TMPDIR"
    ):
        temporary(np.float32, (4, 3))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="anonymous memory is told by Linux alone")
def test_a_table_of_a_gigabyte_takes_less_than_half_of_it(tmp_path: Path) -> None:
    write_table(tmp_path / "image.npy")
    found = measured_apart(tmp_path / "image.npy", n_queries=256)
    assert found["peak"] < LIMIT_MIB, found


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
@pytest.mark.parametrize("hard", [-1, (9 << 29) + 5])
def test_a_limit_of_memory_does_not_count_what_stays_in_a_file(hard: int) -> None:
    """A private mapping counts as written to, as a whole; several of one file would soon reach the limit.

    When they are gone, the limit is what it was: also where a hard limit let it rise by less than they take.
    """
    code = (
        "import resource, tempfile, numpy as np\n"
        "from mmrec_bench.data.mapping import MappedArray, copied\n"
        "file = tempfile.TemporaryFile(); file.truncate(1 << 30)\n"
        f"resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, {hard}))\n"
        "array = MappedArray.of(file, np.float32, (1 << 18, 1 << 10))\n"
        "copies = [copied(array) for _ in range(3)]\n"
        "print(copies[2][-1, -1])\n"
        "view = copies.pop()[1:]; del array; copies.clear()\n"
        "print((resource.getrlimit(resource.RLIMIT_DATA)[0] >> 20) > 1 << 10)\n"
        "del view\n"
        "print(resource.getrlimit(resource.RLIMIT_DATA)[0] >> 20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["0.0", "True", "1024"], done.stderr
