"""What a card says of how its data set is prepared: section ``build``, by its key ``reader``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from pydantic import FiniteFloat, PlainValidator, PositiveInt, SerializeAsAny, TypeAdapter, WrapValidator

from mmrec_bench.data.formats.base import FileName
from mmrec_bench.data.preparing.steps import Repeats
from mmrec_bench.data.rules import SplitRule
from mmrec_bench.errors import RegistryError
from mmrec_bench.registry import Registry
from mmrec_bench.settings import BaseConfig, explained_error

if TYPE_CHECKING:
    from mmrec_bench.data.preparing.reading import Reading
    from mmrec_bench.data.raw.rows import Cells, Origin, Source
    from mmrec_bench.data.raw.store import Store

_ONE, _SEVERAL = TypeAdapter[str](FileName), TypeAdapter[tuple[str, ...]](tuple[FileName, ...])


def _files(value: Any, _: object) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return _ONE.validate_python(value)
    if isinstance(value, (list, tuple)) and value:
        return _SEVERAL.validate_python(tuple(value))
    raise explained_error(f"needs the name of a file, or a list of names; got {str(value)[:80]!r}")


Files: TypeAlias = Annotated[str | tuple[str, ...], WrapValidator(_files)]
"""A file, or several; a member of a zip archive is written ``archive.zip/folder/member``."""


class CoreBounds(BaseConfig):
    """How many rows users and items need at least."""

    user_rows: PositiveInt = 1
    """Rows of a user."""
    item_rows: PositiveInt = 1
    """Rows of an item."""


class Recipe(BaseConfig):
    """Base of all recipes: which rows are kept, and how they are parted. Steps come in the order of these keys."""

    reader: str
    """How raw files are read; decides which further keys there are."""
    min_rating: FiniteFloat | None = None
    """Rows with a smaller rating are left out; all rows are kept by default."""
    repeats: Repeats = "first"
    """Which row of a repeated user-item pair is kept, by time; among equal times by its place in the files."""
    k_core: CoreBounds | None = None
    """Users and items with fewer rows are left out, again and again until none has too few."""
    split: SplitRule | None = None
    """Rule of the delivered split, the column ``x_label``; none by default."""
    allow_cut_short: bool = False
    """Whether files whose packed data or last record is cut short are used as far as they are whole."""

    @property
    @abstractmethod
    def raw_files(self) -> tuple[str, ...]:
        """Names of the files that are read, below the raw folder."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Feature tables that are made."""
        return ()

    @property
    def item_fields(self) -> tuple[str, ...]:
        """Fields of items that are kept besides titles and addresses of pictures."""
        return ()

    @abstractmethod
    def read_rows(self, reading: Reading) -> None:
        """Add the rows of all files to the store."""

    def write_items(self, reading: Reading, item_ids: Any) -> None:
        """Write what is known of the items, in the order of their ids: texts by `Reading.write_items`, and vectors."""
        reading.write_items(item_ids)


class FileRecipe(Recipe):
    """Base of recipes whose rows stand in files of their own, and can be read some lines at a time."""

    @property
    @abstractmethod
    def row_files(self) -> tuple[str, ...]:
        """Names of the files with rows, in their order."""

    @abstractmethod
    def cells(self, source: Source) -> Cells:
        """Return what a file holds.

        Raises:
            DataError: It cannot be read.
        """

    @abstractmethod
    def add_rows(self, store: Store, origin: Origin, cells: Cells) -> None:
        """Add the rows of a file, or of some of its lines, to the store, and note what is wrong with them."""

    def read_rows(self, reading: Reading) -> None:
        """Add the rows of all files."""
        for source in reading.sources(self.row_files):
            self.add_rows(reading.store, source, self.cells(source))


RECIPES: Registry[type[Recipe]] = Registry("reader")
"""Config classes of recipes by the value of their key ``reader``."""

R = TypeVar("R", bound=type[Recipe])


def recipe(*names: str) -> Callable[[R], R]:
    """Return a decorator that registers a config class under the readers it is for."""

    def register(config: R) -> R:
        for name in names:
            RECIPES.register(name, config)
        return config

    return register


def _of_reader(value: Any) -> Recipe:
    if isinstance(value, Recipe):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("reader"), str):
        raise explained_error(f"needs a mapping with the key 'reader', one of {', '.join(RECIPES)}")
    try:
        config = RECIPES[value["reader"]]
    except RegistryError as error:
        raise explained_error(str(error)) from None
    return config.model_validate(dict(value))


AnyRecipe = Annotated[SerializeAsAny[Recipe], PlainValidator(_of_reader)]
"""A field that takes ``{reader: amazon-2014, ...}``."""


def listed(files: Files | None) -> tuple[str, ...]:
    """Return file names as a tuple."""
    return () if files is None else (files,) if isinstance(files, str) else files


AFTER_THE_FACT = (
    "also_bought", "also_buy", "also_view", "also_viewed", "average_rating", "bought_together", "buy_after_viewing",
    "helpful_vote", "price", "rank", "rating_number", "related", "reviewText", "reviews", "salesRank", "similar_item",
    "summary",
)  # fmt: skip
"""Fields of metadata that tell what users did, or what was so when the page was saved, not what the item is."""
