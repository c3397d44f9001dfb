"""What a card may say of files that are fetched."""

from __future__ import annotations

import pytest

from mmrec_bench.data.cards import parse_card
from mmrec_bench.data.downloads import Download, address_fault
from mmrec_bench.errors import ConfigError
from mmrec_bench.settings import Document

URL = "https://example.org/data/baby.csv"


@pytest.mark.parametrize("url", [URL, "http://127.0.0.1:80/x", "http://localhost/x", "http://[::1]:8000/x"])
def test_https_and_this_machine_may_be_asked(url: str) -> None:
    assert address_fault(url) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.org/x", "needs https"),
        ("http://127.0.0.1.example.org/x", "needs https"),
        ("file:///etc/passwd", "is no address"),
        ("ftp://example.org/x", "needs https"),
        ("https:///x", "is no address"),
        ("https://user:word@example.org/x", "user name"),
        ("https://example.org:99999/x", "is no address"),
        ("https://example.org/x\nHost: y", "is no address"),
        ("https://[::1/x", "is no address"),
        ("", "is no address"),
    ],
)
def test_other_addresses_are_refused(url: str, why: str) -> None:
    fault = address_fault(url)
    assert fault is not None
    assert why in fault


def test_this_machine_is_not_asked_on_behalf_of_another() -> None:
    assert address_fault("https://localhost/x", loopback=False) == "leads from another machine to this one"
    assert address_fault(URL, loopback=False) is None


def card(*downloads: dict[str, object]) -> Document:
    return Document(
        "card.yaml",
        {
            "schema_version": 1,
            "name": "mine",
            "format": "mmrec",
            "interactions": "mine.inter",
            "downloads": list(downloads),
        },
    )


def test_a_card_holds_what_can_be_fetched() -> None:
    made = parse_card(card({"file": "baby.csv", "urls": [URL], "n_bytes": 7}))
    assert made.downloads == (Download(file="baby.csv", urls=(URL,), n_bytes=7),)


@pytest.mark.parametrize(
    ("download", "where", "why"),
    [
        ({"file": "../baby.csv", "urls": [URL]}, "downloads[0].file", "needs 1 to 200 letters"),
        ({"file": "a/baby.csv", "urls": [URL]}, "downloads[0].file", "needs 1 to 200 letters"),
        ({"file": ".hidden", "urls": [URL]}, "downloads[0].file", "needs 1 to 200 letters"),
        ({"file": "baby.csv", "urls": []}, "downloads[0].urls", "at least 1"),
        ({"file": "baby.csv", "urls": [URL, URL]}, "downloads[0]", "must not repeat"),
        ({"file": "baby.csv", "urls": ["http://example.org"]}, "downloads[0].urls[0]", "needs https"),
        ({"file": "baby.csv", "urls": [URL], "sha256": "abc"}, "downloads[0].sha256", "needs 64 "),
        ({"file": "baby.csv", "urls": [URL], "n_bytes": 0}, "downloads[0].n_bytes", "greater"),
        ({"file": "baby.csv", "urls": [URL], "md5": "abc"}, "downloads[0].md5", "unknown key"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(download: dict[str, object], where: str, why: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_card(card(download))
    (issue,) = error.value.issues
    assert issue.path == where
    assert why in issue.message


def test_two_downloads_may_not_share_a_file() -> None:
    with pytest.raises(ConfigError, match="downloads: file must not repeat"):
        parse_card(card({"file": "baby.csv", "urls": [URL]}, {"file": "baby.csv", "urls": [URL + "?mirror"]}))
