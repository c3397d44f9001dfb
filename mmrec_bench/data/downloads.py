"""What a card says about files that can be fetched: name, addresses, digest and size."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from mmrec_bench.settings import BaseConfig, check_unique, explained_error, of_form

Digest = Annotated[str, of_form(r"[0-9a-f]{64}", "64 lower-case hexadecimal digits (SHA-256)")]
PlainName = Annotated[
    str,
    of_form(
        r"[A-Za-z0-9][A-Za-z0-9._+&-]{0,199}",
        "1 to 200 letters of English, digits, '.', '_', '+', '&' and '-', the first a letter or digit",
    ),
]
"""Name of a file that leads to no other folder."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Hosts that are this machine; only they may be asked without https."""


def address_fault(url: str, *, loopback: bool = True) -> str | None:
    """Return what forbids fetching from an address, or None.

    Args:
        url: The address.
        loopback: Whether this machine may be asked, by http too.
    """
    try:
        parts: SplitResult = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is no address ({error})"
    if not host or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
        return "is no address such as https://host/path"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password; addresses of cards are public"
    if host in LOOPBACK and not loopback:
        return "leads from another machine to this one"
    if parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK):
        return None
    return "needs https"


def _is_address(url: str) -> str:
    if fault := address_fault(url):
        raise explained_error(f"{fault}; got {url[:120]!r}")
    return url


Address = Annotated[str, AfterValidator(_is_address)]
"""An https address; http is accepted of this machine alone."""


class Download(BaseConfig):
    """A file that a publisher offers, and what it must be."""

    file: PlainName
    """Name in the raw folder."""
    urls: Annotated[tuple[Address, ...], Field(min_length=1)]
    """Where the same bytes are offered: officially first, then mirrors."""
    sha256: Digest | None = None
    """Digest of the file; where it is not known, the first fetch writes one down, and another file is noticed."""
    n_bytes: PositiveInt | None = None
    """Size of the file in bytes, where it is known."""
    unpack: tuple[PlainName, ...] = ()
    """Files of a ``.zip`` that are laid beside it, by the last part of their names there."""

    @model_validator(mode="after")
    def _addresses_differ(self) -> Self:
        check_unique("urls", self.urls)
        return self

    @model_validator(mode="after")
    def _archives_are_unpacked(self) -> Self:
        check_unique("unpack", self.unpack)
        if self.unpack and not self.file.endswith(".zip"):
            raise explained_error(f"unpack: only files of a .zip are laid beside it; the file is {self.file}")
        return self
