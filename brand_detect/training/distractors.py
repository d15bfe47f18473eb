"""Draws the sheet of distractors with which galleries measure false accept rates.

    python -m brand_detect.training.distractors PACKS --fonts FONTS

A third of its tiles are pictograms and tokens that the embedder was not trained on, distorted as in a photograph; a
third are scenery without logos; and a third are everyday words in a font, distorted too, for lettering resembles
wordmarks. None shows a brand that a user is likely to list: tokens that are in another pack too are left out, and the
scenery's clutter is made of pictograms.
"""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from brand_detect.catalog.source import everyday_words
from brand_detect.engines.logo_embedder import DISTRACTORS, SIDE_PX
from brand_detect.evaluation.synthetic.artwork import rasterise
from brand_detect.training.distortion import Scenery, lit, photographed, seen
from brand_detect.training.logo_embedder import ARTWORK_PX, Drawn, set_words, split

COLUMNS = 32  # tiles per row of the sheet
EACH = 512  # tiles of each kind
SOURCES = ("game-icons:", "token-branded:")


def main(
    artwork: Annotated[Path, typer.Argument(help="folder with the unpacked packs of icons")],
    fonts: Annotated[Path, typer.Option(help="folder of fonts")],
    out: Annotated[Path, typer.Option(help="where the sheet goes")] = DISTRACTORS,
    seed: Annotated[int, typer.Option(help="seed of the training")] = 1,
) -> None:
    """Draw the sheet."""
    trained, unseen = split(artwork, fonts, seed)
    known = {a.brand for a, _ in (*trained, *unseen) if not a.name.startswith(SOURCES)}
    logos = [(a, art) for a, art in unseen if a.name.startswith(SOURCES) and a.brand not in known]
    rng = np.random.default_rng(seed)
    scenery = Scenery([art for a, art in trained if a.name.startswith("game-icons:")], rng)
    words = set_words(sorted(w for w in everyday_words() if w.isalpha() and len(w) > 2), fonts, EACH, seed)
    set_in = [(a, art) for a, art in zip(words, rasterise(words, ARTWORK_PX), strict=True) if art is not None]

    def distorted(drawn: list[Drawn]) -> list[NDArray[np.uint8]]:
        chosen = (drawn[i % len(drawn)] for i in range(EACH))
        return [photographed(art, one.mono, scenery, rng, SIDE_PX) for one, art in chosen]

    tiles = distorted(logos)
    tiles += [seen(lit(scenery.cut(96, 96), rng), rng, SIDE_PX) for _ in range(EACH)]
    tiles += distorted(set_in)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    cv2.imwrite(str(out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 88])
    typer.echo(f"{len(tiles)} tiles, {len(logos)} logos, {len(set_in)} words", err=True)


if __name__ == "__main__":
    typer.run(main)
