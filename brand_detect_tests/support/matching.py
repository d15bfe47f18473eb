"""A small catalogue, and what the matcher makes of regions and texts with it."""

from random import Random

from brand_detect.catalog import LexiconIndex, parse_catalog
from brand_detect.domain.catalog import Brand, BrandCatalog
from brand_detect.domain.contracts.match_brands import MatchBrandsParams
from brand_detect.stages.match_brands.match import match_brands
from brand_detect_tests.support.payloads import detected, frames, scenes, text, texts

INDEX = LexiconIndex(
    parse_catalog(
        b"""
- Rolex
- Emirates
- BNP Paribas
- {name: Sky, whole_line: false}
- Sky Sports
- {name: Hisense, aliases: [100 Laser TV]}
- {name: Orange, excluded_texts: [Orange County]}
- {name: KIA, whole_line: false}
""",
        "b.yaml",
    )
)


def crowded():
    """4,000 names of six letters, and the first three letters of each tenth."""
    letters = Random(5)
    long = ["".join(letters.choices("bcdfghjkmnpqstvwxz", k=6)) for _ in range(4000)]
    names = sorted({*long, *(name[:3] for name in long[::10])})
    return BrandCatalog("crowded", [Brand(name, name) for name in names])


FRAMES = frames(20)
SCENES = scenes(FRAMES)


def match(regions, said, readings=(), steps=(), shown=SCENES, index=INDEX, **params):
    """``said`` maps tracks to texts, or to rows of ``texts``."""
    rows = [text(track, row) if isinstance(row, str) else row for track, row in said.items()]
    found = detected(regions, shown)
    return match_brands(shown, found, texts(rows, readings, steps), MatchBrandsParams(**params), index=index)


def verdicts(result):
    return {tuple(v["track_ids"]): (v["status"], v["brand"], v["rule"]) for v in result.verdicts.to_pylist()}


def open_texts(result):
    return [u["text"] for u in result.unresolved.to_pylist()]
