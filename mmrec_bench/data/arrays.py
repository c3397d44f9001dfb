"""What the value objects share: checked, read-only arrays and content fingerprints."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mmrec_bench.errors import DataError


def checked(name: str, array: NDArray[Any], dtype: DTypeLike, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Return ``array`` as a read-only array of exactly this dtype and shape (None = any length).

    Raises:
        DataError: The kind of dtype differs, a whole number does not fit, or the shape differs.
    """
    given = np.asarray(array)
    wanted = np.dtype(dtype)
    if given.dtype != wanted:
        if given.dtype.hasobject or not np.can_cast(given.dtype, wanted, "same_kind"):
            raise DataError(f"{name} must be {wanted}; got {given.dtype}")
        if wanted.kind in "iu" and given.size and not np.can_cast(given.dtype, wanted, "safe"):
            least, most = np.iinfo(wanted).min, np.iinfo(wanted).max
            if (low := int(given.min())) < least or int(given.max()) > most:
                bad = low if low < least else int(given.max())
                raise DataError(f"{name} must be {wanted}, from {least} to {most}; got {bad}")
        given = given.astype(wanted)
    if given.ndim != len(shape) or any(
        want is not None and got != want for got, want in zip(given.shape, shape, strict=True)
    ):
        wanted_shape = " x ".join("any" if want is None else str(want) for want in shape)
        raise DataError(
            f"{name} must have the shape {wanted_shape}; got {' x '.join(map(str, given.shape)) or 'a scalar'}"
        )
    view = np.ascontiguousarray(given).view()
    view.flags.writeable = False
    return view


def checked_ids(name: str, ids: NDArray[Any], bound: int, length: int | None = None) -> NDArray[np.int64]:
    """Return row numbers as read-only int64, all in ``0..bound-1``.

    Raises:
        DataError: Not integers, or out of range.
    """
    view = checked(name, ids, np.int64, (length,))
    if len(view) and (view.min() < 0 or view.max() >= bound):
        bad = view[(view < 0) | (view >= bound)]
        raise DataError(f"{name} must lie in 0..{bound - 1}; got {bad[0]} ({len(bad)} such values)")
    return view


def digest(*parts: NDArray[Any] | str | None) -> str:
    """Return a 16-digit hexadecimal content fingerprint of arrays and texts, dtype and shape included."""
    hasher = hashlib.blake2b(digest_size=8)
    for part in parts:
        if part is None:
            hasher.update(b"\x00none")
        elif isinstance(part, str):
            hasher.update(b"\x00text" + part.encode())
        elif part.dtype.kind == "U":
            hasher.update(f"\x00texts{part.shape}".encode() + "\x1f".join(part.ravel().tolist()).encode())
        else:
            canonical = np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<"))
            hasher.update(f"\x00{canonical.dtype.str}{canonical.shape}".encode())
            hasher.update(canonical.ravel().view(np.uint8).data)  # no copy: the array may be larger than memory
    return hasher.hexdigest()
