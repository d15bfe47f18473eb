"""``brand-detect catalog``: create a catalogue, add to it, import artwork, check and preview it."""

from collections.abc import Callable
from dataclasses import asdict
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brand_detect.cli.common import FOUND, Commands, JsonOpt, err, out, plain, settings_at_home, write_page
from brand_detect.domain.catalog import BrandKind
from brand_detect.domain.errors import BadInput
from brand_detect.domain.settings import Settings
from brand_detect.domain.text import key_of
from brand_detect.domain.words import counted

if TYPE_CHECKING:
    from brand_detect.catalog import LoadedCatalog
    from brand_detect.domain.catalog import Brand, Exemplar
    from brand_detect.domain.protocols import Rgba

ALIKE = 0.95
"""Similarity under the packaged embedder that only 37 of the 6 million pairs of 3,467 icons reach: near duplicates."""

commands = Commands("The brand catalogue: names and logos.")

CatalogOpt = Annotated[
    Path | None,
    typer.Option(
        "--catalog", metavar="PATH", help="a brand list or a folder; default: BRAND_DETECT_CATALOG", show_default=False
    ),
]


@commands.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="the folder to create")],
    empty: Annotated[bool, typer.Option("--empty", help="start without the brands of the packaged list")] = False,
) -> None:
    """Create your own brand list, a folder to keep in git.

    It starts as a copy of the packaged list, with its logos.

    Example: brand-detect catalog init catalogue
    """
    from brand_detect.catalog.writing import create_catalog

    file = create_catalog(folder, empty=empty)
    out.print(f"{file}: set BRAND_DETECT_CATALOG to {folder.absolute()}", markup=False, highlight=False, soft_wrap=True)


@commands.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the brand's name, or an alias of an existing brand")],
    logos: Annotated[
        list[Path] | None,
        typer.Option("--logo", metavar="FILE", help="an SVG, PNG or JPEG; repeatable", show_default=False),
    ] = None,
    aliases: Annotated[
        list[str] | None,
        typer.Option("--alias", metavar="NAME", help="another name; repeatable", show_default=False),
    ] = None,
    categories: Annotated[
        list[str] | None,
        typer.Option("--category", metavar="NAME", help="for example drinks; repeatable", show_default=False),
    ] = None,
    kind: Annotated[str, typer.Option(metavar="KIND", help=f"one of {', '.join(BrandKind)}", show_default=False)] = "",
    country: Annotated[
        str, typer.Option(metavar="CODE", help="its home, ISO 3166-1: BR, DE, GB", show_default=False)
    ] = "",
    sports: Annotated[
        list[str] | None,
        typer.Option("--sport", metavar="NAME", help="for example tennis; repeatable", show_default=False),
    ] = None,
    owner: Annotated[str, typer.Option(metavar="NAME", help="the company behind it", show_default=False)] = "",
    colours: Annotated[
        list[str] | None,
        typer.Option("--colour", metavar="HEX", help="for example e30613; repeatable", show_default=False),
    ] = None,
    catalog: CatalogOpt = None,
) -> None:
    """Add a brand, or logos and names to an existing one.

    A new brand is appended to brands.yaml; logos are copied into the folder
    logos beside it. Comments and order of the list are kept.

    Examples:
      brand-detect catalog add Zymvora --logo zymvora.svg --category drinks
      brand-detect catalog add Zymvora --logo crop.png --alias "Zymvora Zero"
    """
    from brand_detect.catalog.writing import Picture, add_brand
    from brand_detect.engines.artwork import VectorAndPixelArtwork

    cells = {
        "name": name.strip(),
        "aliases": aliases or [],
        "categories": categories or [],
        "kind": kind,
        "country": country,
        "sports": sports or [],
        "owner": owner.strip(),
        "colours": [f"#{colour.removeprefix('#')}" for colour in colours or ()],
    }
    added = add_brand(of_ones_own(catalog), cells, list(map(Picture.of, logos or ())), VectorAndPixelArtwork())
    for picture in added.known:
        err.print(f"note: {plain(picture.source)} was a logo of {plain(added.brand.name)} before", highlight=False)
    for file in added.logos:
        out.print(plain(str(file)), highlight=False, soft_wrap=True)
    out.print(
        f"{plain(str(added.file))}: {plain(added.brand.name)}, logos: {len(added.brand.exemplars)}",
        highlight=False,
        soft_wrap=True,
    )


@commands.command()
def merge(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the brand that goes")],
    into: Annotated[str, typer.Argument(metavar="INTO", help="the brand that stays and gets its names and logos")],
    catalog: CatalogOpt = None,
) -> None:
    """Make two brands one.

    The names, excluded texts and logos of one go to the other, and it is taken
    off the list. Reports made before keep their names until they are replayed.

    Example: brand-detect catalog merge "Zymvora Zero" Zymvora
    """
    from brand_detect.catalog.writing import merge_brands
    from brand_detect.engines.artwork import VectorAndPixelArtwork

    merged = merge_brands(of_ones_own(catalog), name, into, VectorAndPixelArtwork())
    for note in merged.notes:
        err.print(f"note: {plain(note)}", highlight=False, soft_wrap=True)
    brand = merged.brand
    names = ", ".join((brand.name, *brand.aliases))
    out.print(f"{plain(names)}; logos: {len(brand.exemplars)}", highlight=False, soft_wrap=True)


@commands.command()
def exclude(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the brand")],
    catalog: CatalogOpt = None,
) -> None:
    """Leave a brand out of reports.

    It stays on the list: its texts and logos count for no other brand, and are
    not proposed. Reports made before keep it until they are replayed.

    Example: brand-detect catalog exclude Zymvora
    """
    _exclude(name, catalog, excluded=True)


@commands.command()
def include(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the brand")],
    catalog: CatalogOpt = None,
) -> None:
    """Count a brand in reports again that was excluded.

    Example: brand-detect catalog include Zymvora
    """
    _exclude(name, catalog, excluded=False)


def _exclude(name: str, catalog: Path | None, *, excluded: bool) -> None:
    from brand_detect.catalog.writing import exclude_brand
    from brand_detect.engines.artwork import VectorAndPixelArtwork

    brand = exclude_brand(of_ones_own(catalog), name, VectorAndPixelArtwork(), excluded=excluded)
    out.print(f"{plain(brand.name)}: {'left out of' if excluded else 'counted in'} reports", highlight=False)


@commands.command("import")
def import_(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="the source: simple-icons")],
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="a brand to import; repeatable", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="all brands of the source, about 3,400")] = False,
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="a brand list or a folder; default: BRAND_DETECT_CATALOG", show_default=False
        ),
    ] = None,
) -> None:
    """Import brands with their artwork.

    They are written beside your list, into simple-icons.yaml and
    logos/simple-icons. An icon of a brand of your list becomes a logo of that
    brand. With --all, everyday and short names are not looked for in texts,
    only their logos; other names count as a line of their own.

    Examples:
      brand-detect catalog import simple-icons --only Nike --only Adidas
      brand-detect catalog import simple-icons --all --into catalogue
    """
    from brand_detect.catalog.icons import import_icons
    from brand_detect.engines.artwork import VectorAndPixelArtwork

    if source != "simple-icons":
        raise BadInput(f"There is no source named {source!r}.", "sources: simple-icons")
    if bool(only) == everything:
        raise BadInput("Nothing to import is selected.", "name brands with --only, or give --all")
    done = import_icons(of_ones_own(into), only or [], VectorAndPixelArtwork())
    out.print(
        f"{plain(str(done.file))}: {counted(done.listed, 'brand')}, {done.new} of them new",
        highlight=False,
        soft_wrap=True,
    )


@commands.command()
def check(
    alike: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, metavar="SIMILARITY", help="report pairs of logos that are at least this similar"
        ),
    ] = ALIKE,
    embedder: Annotated[
        str, typer.Option(metavar="MODEL", help="embedder to compare logos with, as in detect_objects.embedder")
    ] = "built-in",
    catalog: CatalogOpt = None,
    as_json: JsonOpt = False,
) -> None:
    """List brands that are hard to tell apart.

    Compares their names as OCR reads them, and their logos, large and small.
    Ends with exit code 6 if there are any.

    Example: brand-detect catalog check
    """
    from brand_detect.catalog.collisions import logos_alike, names_alike
    from brand_detect.cli.local import Bars
    from brand_detect.domain.backgrounds import on_contrast
    from brand_detect.domain.contracts.detect_objects import DetectObjectsParams
    from brand_detect.domain.contracts.match_brands import MatchBrandsParams
    from brand_detect.orchestration.resources import Engines

    loaded = _load(catalog)
    params = MatchBrandsParams.model_validate({})
    draw = _drawing(loaded)
    engines, named = Engines.of(Settings.load()), DetectObjectsParams.model_validate({"embedder": embedder})
    eyes = engines.logo_embedder(named) if loaded.files else None
    found = list(names_alike(loaded.catalog, params.fuzzy_score, params.min_fuzzy_length))
    if eyes:
        with Bars() as bars:
            found += logos_alike(
                loaded.catalog.brands,
                lambda exemplar, side_px: on_contrast(draw(exemplar, side_px), side_px),
                eyes,
                alike,
                bars.stage("check", getLogger(__name__)),
            )
    if as_json:
        out.print_json(data=[asdict(collision) for collision in found])
    elif found:
        table = Table(title="Hard to tell apart")
        for column in ("kind", "brand", "other", "what", "likeness"):
            table.add_column(column, justify="right" if column == "likeness" else "left")
        for c in found:
            table.add_row(c.kind, plain(c.brand), plain(c.other), plain(c.what), f"{c.likeness:.2f}")
        out.print(table)
    err.print(f"{_counts(loaded)}, {len(found)} hard to tell apart", highlight=False)
    raise typer.Exit(FOUND if found else 0)


@commands.command()
def preview(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="a brand; default: all with logos", show_default=False),
    ] = None,
    page: Annotated[Path, typer.Option("--out", metavar="FILE", help="the HTML page to write")] = Path("brands.html"),
    catalog: CatalogOpt = None,
) -> None:
    """Show logos as the embedder sees them, on one HTML page.

    On light and dark background, at 112, 48 and 24 pixels.

    Example: brand-detect catalog preview Nike Adidas --out logos.html
    """
    from brand_detect.engines.canvas import OpenCvCanvas
    from brand_detect.engines.image import OpenCvCodec
    from brand_detect.report.catalog_page import render

    loaded = _load(catalog)
    shown = _named(loaded, names) if names else [b for b in loaded.catalog.brands if b.exemplars]
    if not shown:
        raise BadInput("No brand of the catalogue has a logo.", "brand-detect catalog add NAME --logo FILE")
    write_page(page, render(loaded.catalog, shown, _drawing(loaded), OpenCvCanvas(), OpenCvCodec()))
    out.print(f"page: {page.resolve()}", markup=False, highlight=False, soft_wrap=True)


def of_ones_own(path: Path | None) -> Path:
    """The brand list to write to.

    Raises:
        BadInput: it is the packaged list.
    """
    chosen = str(path or settings_at_home().brand_list)
    if not chosen:
        raise BadInput(
            "The packaged list cannot be changed.",
            "create your own with brand-detect catalog init FOLDER, and set BRAND_DETECT_CATALOG to it",
        )
    return Path(chosen).absolute()


def _load(path: Path | None) -> "LoadedCatalog":
    from brand_detect.catalog import load_catalog
    from brand_detect.engines.artwork import VectorAndPixelArtwork

    return load_catalog(str(path) if path else settings_at_home().brand_list, VectorAndPixelArtwork())


def _drawing(loaded: "LoadedCatalog") -> "Callable[[Exemplar, int], Rgba]":
    from brand_detect.engines.artwork import VectorAndPixelArtwork

    artwork = VectorAndPixelArtwork()
    return lambda exemplar, side_px: artwork.render(loaded.picture(exemplar), exemplar.suffix, side_px)


def _named(loaded: "LoadedCatalog", names: list[str]) -> "list[Brand]":
    by_key = {key_of(text): b for b in loaded.catalog.brands for text in (*b.aliases, b.name)}
    for name in names:
        if key_of(name) not in by_key:
            raise BadInput(f"There is no brand {name} in the catalogue.", "use a name or an alias; accents are ignored")
    return [by_key[key_of(name)] for name in names]


def _counts(loaded: "LoadedCatalog") -> str:
    return f"{counted(len(loaded.catalog.brands), 'brand')}, {counted(loaded.catalog.n_exemplars, 'logo')}"
