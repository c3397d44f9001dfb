"""Packages of optional extras: imported where they are used, and named with their command where they are not there."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mmrec_bench.errors import MissingExtraError

_NO_WEIGHTS = "Or choose an encoder without weights: tfidf-svd, hashing-svd, colour-edges"


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


def import_pillow(otherwise: str = "") -> Any:
    """Return the package of Pillow, with its module of images, or raise `MissingExtraError`.

    Args:
        otherwise: How to do without, a sentence.
    """
    _module("PIL.Image", "pictures need Pillow", "images", otherwise)
    return import_module("PIL")


def import_py3langid() -> Any:
    """Return the module of py3langid, or raise `MissingExtraError`."""
    return _module("py3langid.langid", "guessing the languages of titles needs py3langid", "languages")


def import_ray() -> Any:
    """Return the module of Ray, or raise `MissingExtraError`."""
    return _module("ray", "--executor ray needs Ray", "distributed")


def import_fsspec() -> Any:
    """Return the module fsspec, or raise `MissingExtraError`."""
    return _module("fsspec", "--data-url needs fsspec", "distributed")


def import_sentence_transformers() -> Any:
    """Return the module sentence_transformers, or raise `MissingExtraError`."""
    found = _module("sentence_transformers", "the encoder needs sentence-transformers", "features", _NO_WEIGHTS)
    import_transformers()  # whose progress bars it shows
    return found


def import_transformers() -> Any:
    """Return the module transformers, its own progress bars off, or raise `MissingExtraError`."""
    found = _module("transformers", "the encoder needs transformers", "features", _NO_WEIGHTS)
    found.utils.logging.disable_progress_bar()
    return found


def import_hub(purpose: str) -> Any:
    """Return the module huggingface_hub, or raise `MissingExtraError`; the purpose is for the message."""
    return _module("huggingface_hub", f"{purpose} needs huggingface-hub", "features", _NO_WEIGHTS)


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
