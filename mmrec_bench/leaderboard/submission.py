"""The typed form of ``submission.json``: what a submission says of itself, and the digests of all it holds."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from mmrec_bench.experiments.schema.seeds import Seedlist
from mmrec_bench.leaderboard.words import PARTS, Digest, EntryName, Line, Part, canonical
from mmrec_bench.reports.cards.schema import Count, Mean, SeedCount, Spread
from mmrec_bench.settings import BaseConfig, Slug, explained_error, of_form

SUBMISSION, CARD, CONFIG, LISTS = "submission.json", "card.json", "config.yaml", "lists"
N_SEEDS, N_PROVISIONAL = 5, 3
"""Seeds of a full entry, and the fewest that are listed as provisional; a deterministic system needs one."""
MAX_SEEDS = 100


def _public(address: str) -> str:
    if "@" in urlsplit(address).netloc:
        raise explained_error(
            "names a user, or holds a password, and addresses are published; leave out all before '@'"
        )
    return address


Url = Annotated[
    str,
    Field(max_length=300),
    of_form(
        r"https://(?:[^/@?#]*@)?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z][A-Za-z0-9-]+(?::\d+)?"
        r"(?:[/?#][A-Za-z0-9._~:/?#@!$&()*+,;=%-]*)?",
        "an address that begins with https:// and a public host, without blanks",
    ),
    AfterValidator(_public),
]
"""A public address."""


class CodeReference(BaseConfig):
    """Where the code of a system is."""

    url: Url | None = None
    """Address of its repository, beginning with ``https://``; null: the repository that holds the board."""
    commit: Annotated[str, of_form(r"[0-9a-f]{7,64}", "a commit, 7 to 64 hexadecimal digits")]
    """Commit that made the runs, in hexadecimal digits."""


class Claim(BaseConfig):
    """A number as its authors give it."""

    mean: Mean
    """Mean over seeds, unrounded."""
    sd: Spread | None
    """Unbiased standard deviation over seeds; null for one seed."""
    n: SeedCount
    """Number of seeds."""


class StoredFile(BaseConfig):
    """A file as it was packed."""

    digest: Digest
    """BLAKE2b of its bytes."""
    bytes: Count
    """Its size."""


class ListStorage(BaseConfig):
    """Where the lists are."""

    stored: Literal["git", "outside"]
    """``git``: beside the entry. ``outside``: at an address, since they are large or may not be shipped."""
    url: Url | None = None
    """Address of lists that are stored outside; null where they have none yet."""
    command: Line
    """The command that makes them."""

    @model_validator(mode="after")
    def _where_they_are(self) -> Self:
        if self.url is not None and self.stored == "git":
            raise explained_error("url: lists that lie beside the entry have no other address; leave it out")
        return self


class Submission(BaseConfig):
    """Content of ``submission.json``."""

    schema_version: Literal[1] = 1
    """Version of this form."""
    kind: Literal["submission"] = "submission"
    """What it is."""
    track: Slug
    """Track it is submitted to."""
    entry: EntryName
    """Name of its folder, unique within the track."""
    title: Line
    """Name of the system on the board."""
    authors: Annotated[tuple[Line, ...], Field(min_length=1, max_length=50)]
    """Who submits it."""
    code: CodeReference
    """Its code."""
    tier: Literal["closed", "open"]
    """``closed``: features, split and tuning budget of the track. ``open``: anything that is declared."""
    external_data: Annotated[tuple[Line, ...], Field(max_length=20)] = ()
    """What it has seen beside the data of the track, one line each: data sets, pretrained models, language models."""
    replaces: Slug | None = None
    """Earlier entry of the track, by one of the same authors, that this one stands in the place of: with more seeds, or
    corrected."""
    seeds: Annotated[Seedlist, Field(max_length=MAX_SEEDS)]
    """Seeds of its runs."""
    deterministic: bool
    """Whether no seed can move a number, as of systems that are fitted in closed form."""
    claimed: dict[Part, dict[str, Claim]]
    """Its numbers, which the lists must give."""
    metric_versions: dict[Slug, PositiveInt] = Field(default_factory=dict)
    """Versions of evaluator and metrics that the numbers are of: numbers of what has changed since are not compared.
    Empty: those of today."""
    files: dict[str, StoredFile]
    """All files of the folder but this one and the verification record."""
    lists: ListStorage
    """Where the lists are."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not all(map(self.claimed.get, PARTS)):
            raise explained_error("claimed: needs the numbers of both parts, valid and test")
        if unknown := sorted(set(self.files) - set(self.expected_files)):
            raise explained_error(f"files: {unknown[0][:80]!r} is no file of a submission with these seeds")
        if missing := [name for name in self.expected_files if name not in self.files]:
            raise explained_error(f"files: lacks {', '.join(missing)}")
        if self.deterministic and len(self.seeds) > 1:
            raise explained_error("seeds: a deterministic system has one; more would tell the same run several times")
        if self.tier == "closed" and self.external_data:
            raise explained_error("external_data: a closed system has seen none; declare tier open")
        if len(set(self.authors)) < len(self.authors):
            raise explained_error("authors: names one twice")
        if self.replaces == self.entry:
            raise explained_error("replaces: an entry cannot stand in its own place; name the earlier one")
        return self

    @property
    def list_files(self) -> dict[int, str]:
        """Name of the lists of each seed."""
        return {seed: f"{LISTS}/seed-{seed}.parquet" for seed in self.seeds}

    @property
    def expected_files(self) -> tuple[str, ...]:
        """Names of all files but ``submission.json``."""
        return (CARD, CONFIG, *self.list_files.values())

    @property
    def provisional(self) -> bool:
        """Whether there are fewer seeds than a full entry has."""
        return not self.deterministic and len(self.seeds) < N_SEEDS

    def text(self) -> str:
        """Return the submission as JSON."""
        return canonical(self.model_dump(mode="json"))
