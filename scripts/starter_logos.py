"""Draws and embeds the logos of the packaged list: ``make starter-logos``, a minute.

``catalog/data/simple-icons.yaml`` names them, by hand: icons of simple-icons-pack (CC0) that the brand's boards show.
Left out are letters alone, which reading finds, products that boards do not name, plain shapes (a star, a square, a
ring) and single letters, which are in any lettering. Beside them, in ``brands.yaml``, are logos that this project drew.
Run it again when these lists, the pack or the embedder change.
"""

import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from brand_detect.catalog.exemplars import exemplar_of
from brand_detect.catalog.icons import packaged_icons
from brand_detect.catalog.source import ICONS, IMPORTED, LOGOS, STARTER
from brand_detect.engines.artwork import VectorAndPixelArtwork
from brand_detect.engines.logo_embedder import BuiltInLogoEmbedder
from brand_detect.orchestration.gallery import SHIPPED, embeddings_of, maker_of


def said(done: float, total: float, unit: str) -> None:
    print(f"\r{done} of {total} {unit}", end="", file=sys.stderr)


def main() -> None:
    if not find_spec("simple_icons_pack"):
        sys.exit("pip install simple-icons-pack, then try again")
    drawings = {icon.slug: icon.svg for icon in packaged_icons()}
    listed = yaml.safe_load((STARTER.parent / IMPORTED).read_bytes())
    slugs = sorted(Path(logo).stem for brand in listed for logo in brand["logos"])
    if unknown := sorted(set(slugs) - drawings.keys()):
        sys.exit(f"simple-icons-pack has no icon of {', '.join(unknown)}: take them out of {IMPORTED}")
    shutil.rmtree(STARTER.parent / ICONS, ignore_errors=True)
    (STARTER.parent / ICONS).mkdir(parents=True)
    for slug in slugs:
        (STARTER.parent / ICONS / f"{slug}.svg").write_text(drawings[slug], encoding="utf-8")
    files = sorted(LOGOS.rglob("*.svg"))
    data = {exemplar_of(drawing, "svg"): drawing for drawing in (file.read_bytes() for file in files)}
    embedder = BuiltInLogoEmbedder()
    vectors = embeddings_of([*data], data.__getitem__, embedder, VectorAndPixelArtwork(), said)
    facts = {"maker": maker_of(embedder.identity), "icons": f"simple-icons-pack {version('simple-icons-pack')}"}
    pq.write_table(
        vectors.replace_schema_metadata({**(vectors.schema.metadata or {}), **facts}), SHIPPED, compression="zstd"
    )
    print(f"{len(data)} logos, {SHIPPED.stat().st_size / 1e6:.1f} MB of embeddings")


if __name__ == "__main__":
    main()
