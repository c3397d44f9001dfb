"""Recipes of the Amazon review data: editions of 2014, 2018 and 2023.

Source: https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html (2014), https://nijianmo.github.io/amazon/ (2018),
https://amazon-reviews-2023.github.io (2023). The 2014 metadata is "loose" JSON: Python literals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import model_validator

from mmrec_bench.data.formats.base import FileName
from mmrec_bench.data.preparing.recipes import FileRecipe, Files, listed, recipe
from mmrec_bench.data.raw.metadata import ItemKeys
from mmrec_bench.data.raw.rows import Keys, add_reviews, review_cells
from mmrec_bench.settings import check_unique, explained_error

if TYPE_CHECKING:
    from mmrec_bench.data.preparing.reading import Reading
    from mmrec_bench.data.raw.rows import Cells, Origin, Source
    from mmrec_bench.data.raw.store import Store

_REVIEWS = {
    "amazon-2014": Keys("reviewerID", "asin", "overall", "unixReviewTime"),
    "amazon-2018": Keys("reviewerID", "asin", "overall", "unixReviewTime"),
    "amazon-2023": Keys("user_id", "parent_asin", "rating", "timestamp", per_second=1000),
}
_ITEMS = {
    "amazon-2014": ItemKeys("asin", "title", ("imUrl",)),
    "amazon-2018": ItemKeys("asin", "title", ("imageURLHighRes", "imageURL")),
    "amazon-2023": ItemKeys("parent_asin", "title", ("images",), ("hi_res", "large", "thumb")),
}


@recipe("amazon-2014", "amazon-2018", "amazon-2023")
class AmazonRecipe(FileRecipe):
    """From reviews and metadata of one category, or several."""

    reader: Literal["amazon-2014", "amazon-2018", "amazon-2023"]
    """The edition."""
    reviews: Files
    """Reviews: JSON lines, plain or gzip, or Parquet."""
    metadata: Files | None = None
    """Metadata of the items, in the same forms; titles and addresses of pictures are always kept."""
    fields: tuple[str, ...] = ()
    """Keys of the metadata that are kept too, such as ``brand``; no other text, no text of reviews, and nothing of what
    users did becomes part of the data set."""
    image_features: FileName | None = None
    """The binary file of the 2014 release; gives the feature table ``image``."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_unique("fields", self.fields)
        if self.fields and self.metadata is None:
            raise explained_error("fields are keys of the metadata; add 'metadata'")
        if kept := {"title", "image_url", "item_id"} & set(self.fields):
            raise explained_error(f"fields: '{kept.pop()}' is a column of every prepared data set; leave it out")
        if self.image_features is not None and self.reader != "amazon-2014":
            raise explained_error("image_features are of the 2014 release; extract features instead")
        return self

    @property
    def raw_files(self) -> tuple[str, ...]:
        """Reviews, metadata, features."""
        return (*listed(self.reviews), *listed(self.metadata), *listed(self.image_features))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Of the images."""
        return () if self.image_features is None else ("image",)

    @property
    def item_fields(self) -> tuple[str, ...]:
        """The declared ones."""
        return self.fields

    @property
    def row_files(self) -> tuple[str, ...]:
        """The reviews."""
        return listed(self.reviews)

    def cells(self, source: Source) -> Cells:
        """Return lines, or columns of Parquet."""
        return review_cells(source, _REVIEWS[self.reader])

    def add_rows(self, store: Store, origin: Origin, cells: Cells) -> None:
        """Add reviews."""
        add_reviews(store, origin, cells, _REVIEWS[self.reader])

    def write_items(self, reading: Reading, item_ids: Any) -> None:
        """Write titles, pictures and fields, and the vectors of images."""
        reading.write_items(item_ids, listed(self.metadata), _ITEMS[self.reader], self.fields)
        if self.image_features is not None:
            reading.write_image_features(item_ids, "image", self.image_features)
