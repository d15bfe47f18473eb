"""Draws the sheet of distractors with which galleries measure false accept rates.

    python -m brand_detect.training.distractors PACKS --fonts FONTS

Half of its tiles are pictograms and tokens that the embedder was not trained on, distorted as in a photograph; half are
scenery without logos. None shows a brand that a user is likely to list: tokens that are in another pack too are left
out, and the scenery's clutter is made of pictograms.
"""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from brand_detect.engines.logo_embedder import DISTRACTORS, SIDE_PX
from brand_detect.training.distortion import Scenery, lit, photographed, seen
from brand_detect.training.logo_embedder import split

SIDE = 32  # tiles per side of the sheet
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
    half = SIDE * SIDE // 2
    tiles = []
    for i in range(half):
        one, art = logos[i % len(logos)]
        tiles.append(photographed(art, one.mono, scenery, rng, SIDE_PX))
    tiles += [seen(lit(scenery.cut(96, 96), rng), rng, SIDE_PX) for _ in range(half)]
    rows = [np.hstack(tiles[i : i + SIDE]) for i in range(0, len(tiles), SIDE)]
    cv2.imwrite(str(out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 88])
    typer.echo(f"{len(tiles)} tiles, {len(logos)} logos", err=True)


if __name__ == "__main__":
    typer.run(main)
