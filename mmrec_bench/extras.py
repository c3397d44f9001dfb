"""Packages of optional extras: imported where they are used, and named with their command where they are not there."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mmrec_bench.errors import MissingExtraError


def import_codecarbon() -> Any:
    """Return the codecarbon module, or raise `MissingExtraError`."""
    return _module("codecarbon", "--energy needs codecarbon", "energy", "Or leave the option out")


def import_faiss(purpose: str, otherwise: str = "") -> Any:
    """Return the faiss module.

    Args:
        purpose: What needs it, for the message.
        otherwise: How to do without, a sentence.

    Raises:
        MissingExtraError: It is not installed; names the commands for machines with and without a GPU.
    """
    gpu = "On a machine with CUDA 12, mmrec-bench[gpu] instead"
    return _module("faiss", f"{purpose} needs faiss", "cpu", f"{gpu}. {otherwise}" if otherwise else gpu)


def import_pillow() -> Any:
    """Return the package of Pillow, with its module of images, or raise `MissingExtraError`."""
    _module("PIL.Image", "pictures need Pillow", "images", "Or leave --images out")
    return import_module("PIL")


def import_ray() -> Any:
    """Return the module of Ray, or raise `MissingExtraError`."""
    return _module("ray", "--executor ray needs Ray", "distributed")


def import_fsspec() -> Any:
    """Return the module fsspec, or raise `MissingExtraError`."""
    return _module("fsspec", "--data-url needs fsspec", "distributed")


def _module(name: str, need: str, extra: str, otherwise: str = "") -> Any:
    """Import a module of an extra.

    Args:
        name: Of the module.
        need: What needs which package.
        extra: Of this package, that brings it.
        otherwise: How to do without, a sentence.

    Raises:
        MissingExtraError: It is not installed; names the command.
    """
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError(f"{need}: pip install 'mmrec-bench[{extra}]'.{otherwise and f' {otherwise}'}") from None
