"""Chooses the logos of the packaged brand list and embeds them: ``make starter-logos``, two minutes.

The icons are those of simple-icons-pack (CC0) whose title is a name or an alias of a listed brand, without those that
are letters alone, which reading finds, and ``NOT_WORN``. Run it again when the list or the embedder changes.
"""

import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from rapidfuzz import fuzz

from brand_detect.catalog import parse_catalog
from brand_detect.catalog.exemplars import exemplar_of
from brand_detect.catalog.icons import FOLDER, packaged_icons
from brand_detect.catalog.source import IMPORTED, STARTER
from brand_detect.catalog.writing import entry_text
from brand_detect.domain.text import key_of
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect.engines.exemplars import views_of
from brand_detect.engines.logo_embedder import BuiltInLogoEmbedder
from brand_detect.engines.rapid import RapidTextReader
from brand_detect.orchestration.gallery import EXEMPLAR_PX, SHIPPED, embeddings_of, maker_of

if TYPE_CHECKING:
    from simple_icons_pack import Icon

HEADER = """\
# Written by scripts/starter_logos.py from simple-icons-pack {version} (CC0-1.0): logos of the brands in brands.yaml.
"""
NOT_WORN = {
    "alibabacloud", "amg", "appletv", "fortnite", "googlechrome", "googlecloud", "hbomax", "snapdragon", "tata",
    "ubereats", "youtubetv",  # a product of the brand, and not what its boards show
    "airfrance", "bim", "macys", "mastercard", "monoprix", "n26", "o2", "orange", "target", "tide",
    "zalando",  # plain shapes
    "anthropic", "etsy", "naver", "stripe",  # a letter, which is in any lettering
}  # fmt: skip
"""Slugs of icons that are left out."""
READ = 75.0
"""Similarity, 0 to 100, from which an icon's reading is the brand's name: it is letters alone."""


def chosen() -> "list[tuple[Icon, str]]":
    """The icons, with the listed brand of each."""
    brands = parse_catalog(STARTER.read_bytes(), STARTER.name).brands
    names = {key_of(text): brand.name for brand in brands for text in (brand.name, *brand.aliases)}
    icons = [icon for icon in packaged_icons() if key_of(icon.title) in names and icon.slug not in NOT_WORN]
    artwork = VectorAndPixelArtwork()
    drawn = [views_of(artwork.render(icon.svg.encode(), "svg", EXEMPLAR_PX))[0] for icon in icons]
    readings = [key_of(reading.text) for reading in RapidTextReader().read(drawn)]
    return [
        (icon, names[key_of(icon.title)])
        for icon, reading in zip(icons, readings, strict=True)
        if fuzz.ratio(reading, key_of(icon.title)) < READ
    ]


def said(done: float, total: float, unit: str) -> None:
    print(f"\r{done} of {total} {unit}", end="", file=sys.stderr)


def main() -> None:
    if not find_spec("simple_icons_pack"):
        sys.exit("pip install simple-icons-pack, then try again")
    pack, icons = version("simple-icons-pack"), chosen()
    logos: dict[str, list[str]] = {}
    shutil.rmtree(STARTER.parent / FOLDER, ignore_errors=True)
    (STARTER.parent / FOLDER).mkdir(parents=True)
    for icon, brand in icons:
        (STARTER.parent / FOLDER / f"{icon.slug}.svg").write_text(icon.svg, encoding="utf-8")
        logos.setdefault(brand, []).append(f"{FOLDER}/{icon.slug}.svg")
    entries = (entry_text({"name": brand, "logos": files}) for brand, files in sorted(logos.items()))
    (STARTER.parent / IMPORTED).write_text(HEADER.format(version=pack) + "".join(entries), encoding="utf-8")
    data = {exemplar_of(icon.svg.encode(), "svg"): icon.svg.encode() for icon, _ in icons}
    embedder = BuiltInLogoEmbedder()
    vectors = embeddings_of([*data], data.__getitem__, embedder, VectorAndPixelArtwork(), said)
    facts = {"maker": maker_of(embedder.identity), "icons": f"simple-icons-pack {pack}"}
    pq.write_table(
        vectors.replace_schema_metadata({**(vectors.schema.metadata or {}), **facts}), SHIPPED, compression="zstd"
    )
    print(f"{len(icons)} logos of {len(logos)} brands, {SHIPPED.stat().st_size / 1e6:.1f} MB of embeddings")


if __name__ == "__main__":
    main()
