"""The brand catalogue as stages see it: brands, their logos, and the logos' embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

from brand_detect.domain.tables import EMBEDDING, STRING, schema

EXEMPLAR_EMBEDDINGS = schema(
    "exemplar_embeddings",
    "Views of the catalogue's exemplars as an embedder sees them, and of pictures of none of its brands",
    exemplar_id=(STRING, "id, from the picture's content; '' for a picture of none of the catalogue's logos"),
    embedding=(EMBEDDING, "of unit length"),
)


@dataclass(frozen=True)
class Exemplar:
    """A picture of a brand's mark."""

    exemplar_id: str  # the first 16 hex digits of the sha256 of the picture's bytes
    suffix: str  # svg | png | jpeg

    @property
    def file_name(self) -> str:
        return f"{self.exemplar_id}.{self.suffix}"


@dataclass(frozen=True)
class Brand:
    """One entry of the brand catalogue."""

    brand_id: str  # slug, stable: "itau"
    name: str  # as shown: "Itaú"
    aliases: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    excluded_texts: tuple[str, ...] = ()  # texts that look like the brand and are not
    min_length: int = 0  # fewest letters of a text that may match fuzzily; 0 = the params' default
    whole_line: tuple[str, ...] = ()  # names, aliases and texts so everyday that they count only as a line of their own
    owner: str = ""  # the company behind it
    included_texts: tuple[str, ...] = ()  # slogans and the like: they say the brand, and never match fuzzily
    colours: tuple[str, ...] = ()  # "#rrggbb"
    logo_only: bool = False  # the brand counts by its logo alone: none of its texts is looked for
    exemplars: tuple[Exemplar, ...] = ()


@dataclass(frozen=True)
class BrandCatalog:
    """An immutable snapshot of the brand list. ``version`` is the hash of its content."""

    version: str
    brands: Sequence[Brand]

    @property
    def n_exemplars(self) -> int:
        return sum(len(brand.exemplars) for brand in self.brands)
