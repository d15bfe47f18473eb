"""The brand catalogue as stages see it: brands, their logos, and the logos' embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from brand_detect.domain.tables import EMBEDDING, STRING, schema

OWN_LIST = "brands.yaml"
"""The file in a catalogue's folder to which commands write the user's brands."""

EXEMPLAR_EMBEDDINGS = schema(
    "exemplar_embeddings",
    "Embeddings of views of the catalogue's exemplars and of distractors",
    exemplar_id=(STRING, "id, from the picture's content; '' for a distractor"),
    embedding=(EMBEDDING, "as the embedder makes it"),
)


class BrandKind(StrEnum):
    """What a name on screen belongs to: a company's brand, or something that takes part in the event itself."""

    brand = "brand"
    league = "league"
    club = "club"
    event = "event"
    federation = "federation"
    broadcaster = "broadcaster"
    venue = "venue"
    public_body = "public body"
    charity = "charity"


@dataclass(frozen=True)
class Exemplar:
    """A picture of a brand's logo."""

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
    excluded_texts: tuple[str, ...] = ()  # texts that look like the brand but are not
    min_length: int = 0  # shortest text that may match fuzzily, in letters; 0 = the params' default
    whole_line: tuple[str, ...] = ()  # everyday names, aliases and texts: they count only as a whole line
    owner: str = ""  # the company behind it
    included_texts: tuple[str, ...] = ()  # slogans and the like that identify the brand; they never match fuzzily
    colours: tuple[str, ...] = ()  # "#rrggbb"
    logo_only: bool = False  # only the logo identifies the brand: its texts are not matched
    exemplars: tuple[Exemplar, ...] = ()
    kind: BrandKind = BrandKind.brand
    country: str = ""  # where it is at home: ISO 3166-1 alpha-2, "BR"
    sports: tuple[str, ...] = ()  # that it sponsors or equips: "tennis"
    rare: bool = False  # seldom on screen: of many such names some match by chance, so it needs better evidence
    packaged: bool = False  # all its logos came with the package: nobody chose them, so they need better evidence
    excluded: bool = False  # reports leave it out; its texts and logos are still known as its own

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that stand for the brand: its name, aliases and included texts."""
        return (self.name, *self.aliases, *self.included_texts)


@dataclass(frozen=True)
class BrandCatalog:
    """An immutable snapshot of the brand list. ``version`` is the hash of its content."""

    version: str
    brands: Sequence[Brand]

    def __hash__(self) -> int:
        return hash(self.version)

    @property
    def n_exemplars(self) -> int:
        return sum(len(brand.exemplars) for brand in self.brands)
