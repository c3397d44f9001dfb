"""Packages of optional extras: imported where they are used, and named with their command where they are not there."""

from __future__ import annotations

from typing import Any

from mmrec_bench.errors import MissingExtraError


def import_codecarbon() -> Any:
    """Return the codecarbon module.

    Raises:
        MissingExtraError: It is not installed; names the command.
    """
    try:
        import codecarbon
    except ImportError:
        raise MissingExtraError(
            "--energy needs codecarbon: pip install 'mmrec-bench[energy]'. Or leave the option out"
        ) from None
    return codecarbon


def import_faiss(purpose: str, otherwise: str = "") -> Any:
    """Return the faiss module.

    Args:
        purpose: What needs it, for the message.
        otherwise: How to do without, a sentence.

    Raises:
        MissingExtraError: It is not installed; names both commands.
    """
    try:
        import faiss
    except ImportError:
        raise MissingExtraError(
            f"{purpose} needs faiss: pip install 'mmrec-bench[cpu]' (any machine) or "
            f"pip install 'mmrec-bench[gpu]' (CUDA 12).{otherwise and f' {otherwise}'}"
        ) from None
    return faiss


def import_pillow() -> Any:
    """Return the package of Pillow, with its module of images.

    Raises:
        MissingExtraError: It is not installed; names the command.
    """
    try:
        import PIL.Image
    except ImportError:
        raise MissingExtraError(
            "pictures need Pillow: pip install 'mmrec-bench[images]'. Or leave --images out"
        ) from None
    return PIL


def import_ray() -> Any:
    """Return the module of Ray.

    Raises:
        MissingExtraError: It is not installed; names the command.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError("--executor ray needs Ray: pip install 'mmrec-bench[distributed]'") from None
    return ray


def import_fsspec() -> Any:
    """Return the module fsspec.

    Raises:
        MissingExtraError: It is not installed; names the command.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError("--data-url needs fsspec: pip install 'mmrec-bench[distributed]'") from None
    return fsspec
