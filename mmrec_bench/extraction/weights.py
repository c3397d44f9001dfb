"""Weights of others: a folder, a folder inside an installed package, or a pinned revision of the Hugging Face hub.

Only safetensors are read, and no code that lies beside weights is ever run.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PositiveInt, model_validator

from mmrec_bench.errors import DataError
from mmrec_bench.extraction.base import ContentEncoderConfig
from mmrec_bench.extras import import_hub
from mmrec_bench.retrieval.memory import is_out_of_memory
from mmrec_bench.settings import explained_error

PACKAGE = "package:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w-][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WANTED = ("*.json", "*.txt", "*.model", "*.safetensors")
_UNWANTED = ("onnx/*", "openvino/*", "tf/*", "flax/*", "original/*")
_CONFIG_BYTES = 1 << 24


def pinned(model: object, revision: object) -> bool:
    """Return whether the two name weights of the hub by a commit, and so the same weights everywhere."""
    return all(
        isinstance(text, str) and form.fullmatch(text) is not None
        for text, form in ((model, _HUB_ID), (revision, _COMMIT))
    )


class PretrainedConfig(ContentEncoderConfig):
    """An encoder with weights that somebody else trained."""

    model: str = Field(min_length=1)
    """A folder; ``package:NAME/FOLDER``, a folder inside an installed Python package; or an id of the Hugging Face hub,
    such as ``sentence-transformers/all-MiniLM-L6-v2``."""
    revision: str | None = None
    """Commit of the hub, 40 hexadecimal digits, without which an id would mean something else tomorrow; of an id
    alone."""
    batch_size: PositiveInt = 32
    """Contents encoded at once; moves vectors in their last bits alone."""

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if not self.of_hub:
            if self.revision is not None:
                raise explained_error(f"model {self.model!r} is a folder, which has no revision; remove 'revision'")
        elif not pinned(self.model, self.revision):
            raise explained_error(
                f"model {self.model!r} is no folder here, so it is an id of the Hugging Face hub, and needs "
                f"'revision': the 40 hexadecimal digits of a commit; got {self.revision!r}. The page of the model "
                "lists its commits. Or give a folder, or package:NAME/FOLDER"
            )
        return self

    @property
    def of_hub(self) -> bool:
        """Whether the weights are named by an id of the hub."""
        return (
            not self.model.startswith(PACKAGE)
            and _HUB_ID.fullmatch(self.model) is not None
            and not Path(self.model).is_dir()
        )

    def identity(self) -> Mapping[str, Any]:
        """Return the settings, with the digest of the files in place of a folder's path."""
        facts = self.model_dump(mode="json")
        return facts if self.of_hub else facts | {"model": digest_of_weights(self.folder())}

    def folder(self) -> Path:
        """Return the folder of the weights, checked; those of the hub are fetched first if they are not here.

        Raises:
            DataError: They are not there, cannot be fetched, or are not fit to be read.
            MissingExtraError: The client of the hub is not installed.
        """
        if self.of_hub:
            folder = fetched(self.model, str(self.revision))
        else:
            folder = _in_package(self.model) if self.model.startswith(PACKAGE) else Path(self.model)
            if not folder.is_dir():
                raise DataError(
                    f"encoder.model {self.model!r}: no such folder. Give the folder of the weights, package:NAME/FOLDER"
                    ", or an id of the Hugging Face hub with its revision"
                )
        check_weights(folder)
        return folder


def fetched(model: str, revision: str) -> Path:
    """Return the local folder of a revision of the hub, fetched once.

    Raises:
        DataError: It cannot be fetched; says what to do.
    """
    hub = import_hub(f"encoder.model {model!r}")
    try:
        return Path(hub.snapshot_download(model, revision=revision, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except Exception as error:  # the hub's client, its transport and its cache raise what they like
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(
            f"encoder.model {model!r}, revision {revision}: cannot be fetched from the Hugging Face hub ({reason}). "
            "Check id, revision and access. Without internet, fetch it elsewhere with `hf download "
            f"{model} --revision {revision} --local-dir FOLDER`, and set encoder.model to that folder"
        ) from None


def check_weights(folder: Path) -> None:
    """Refuse weights that are pickled, and models that bring code of their own.

    Raises:
        DataError: They are not fit to be read; says why.
    """
    if not any((folder / name).is_file() for name in ("config.json", "modules.json")):
        below = sorted({path.parent.name for path in folder.glob("*/config.json")})
        raise DataError(
            f"{folder}: holds neither config.json nor modules.json, so it is no folder of a model. "
            + (f"Write /{below[0]} behind it, which holds one" if below else "Give the folder in which they are")
        )
    if not any(folder.rglob("*.safetensors")):
        pickled = any(path.suffix in (".bin", ".pt", ".pth", ".ckpt") for path in folder.rglob("*") if path.is_file())
        raise DataError(
            f"{folder}: holds no weights as safetensors"
            + (
                "; its .bin or .pt files are pickled, and could run code when read. Take a revision with safetensors, "
                "or convert them on a machine you can lose"
                if pickled
                else ". Fetch it again"
            )
        )
    for path in folder.rglob("config.json"):
        if isinstance(config := _json(path), dict) and config.get("auto_map"):
            raise DataError(
                f"{path}: the model brings code of its own (auto_map), which is never run. Choose a model whose "
                "architecture the package transformers has"
            )
    if (modules := folder / "modules.json").is_file():
        listed = _json(modules)
        for module in listed if isinstance(listed, list) else ():
            _refuse_code_of_others(modules, str(module.get("type")) if isinstance(module, dict) else "?")
            file = folder / str(module.get("path", "")) / "pytorch_model.bin"
            if file.is_file() and not file.with_name("model.safetensors").is_file():
                raise DataError(f"{file}: pickled weights are never read, and there are no others beside it")
    for router in folder.rglob("router_config.json"):
        told = _json(router)
        kinds = told.get("types") if isinstance(told, dict) else None
        for kind in map(str, kinds.values() if isinstance(kinds, dict) else ()):
            _refuse_code_of_others(router, kind)


def _refuse_code_of_others(path: Path, kind: str) -> None:
    if not kind.startswith("sentence_transformers."):
        raise DataError(f"{path}: names code that is not of sentence-transformers ({kind[:80]!r}): refused")


@functools.cache
def digest_of_weights(folder: Path) -> str:
    """Return the digest of what decides a model in a folder: its weights, settings and vocabularies."""
    hasher = hashlib.blake2b(digest_size=8)
    suffixes = {pattern[1:] for pattern in _WANTED}
    for path in sorted(path for path in folder.rglob("*") if path.suffix in suffixes and path.is_file()):
        with path.open("rb") as file:
            inner = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        hasher.update(f"{path.relative_to(folder).as_posix()}\0{inner}\0".encode())
    return hasher.hexdigest()


def built(folder: Path, build: Any) -> Any:
    """Return what a library makes of a folder; its errors become ours.

    Raises:
        DataError: The files are damaged, or of an architecture the library does not know.
        ResourceError: The accelerator has too little memory.
    """
    try:
        return build()
    except Exception as error:  # damaged files raise nearly anything
        if is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(
            f"{folder}: cannot be read as such a model ({reason}). It is damaged, of another kind, or too new for the "
            "installed packages"
        ) from None


def _in_package(name: str) -> Path:
    package, _, inside = name.removeprefix(PACKAGE).partition("/")
    if not package.isidentifier():
        raise DataError(f"encoder.model {name!r}: needs package:NAME/FOLDER, such as package:my_weights/model")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise DataError(
            f"encoder.model {name!r}: the package '{package}' is not installed. Install the package that carries the "
            "weights, or give a folder"
        )
    return Path(next(iter(found.submodule_search_locations))) / inside


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > _CONFIG_BYTES:
            raise DataError(f"{path}: is larger than {_CONFIG_BYTES} bytes, too large for a description of a model")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON that can be read ({str(error)[:120]})") from None
