"""Fits the probability that a gallery's match is right, on artworks that the tower for drawings was not trained on.

    python -m brand_detect.training.calibration PACKS --fonts FONTS

Half of the artworks form a gallery. It is queried with distorted pictures of known artworks, and as many of unknown
artworks and of scenery. Logistic regression fits the log odds that the best match is right over -log10 of the false
accept rate: slope 5.1, offset -4.0, when drawings had both towers. Photographs of 14 brands give 2.7 and -4.4;
``catalog.gallery`` uses a slightly more cautious line than that.
"""

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from brand_detect.catalog.gallery import Entry, Gallery
from brand_detect.engines.exemplars import views_of
from brand_detect.engines.logo_embedder import SIDE_PX, BuiltInLogoEmbedder, distractors
from brand_detect.training.distortion import Scenery, lit, photographed, seen
from brand_detect.training.logo_embedder import Drawn, split

EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0)


def answers(
    gallery: Gallery, embedder: BuiltInLogoEmbedder, known: list[Drawn], others: list[Drawn], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """False accept rate of every picture's best match, and whether the match is right."""
    rng = np.random.default_rng(seed)
    scenery = Scenery([art for _, art in others], rng, count=128)
    pictures = [photographed(art, a.mono, scenery, rng, SIDE_PX) for a, art in known]
    half = len(known) // 2
    pictures += [photographed(art, a.mono, scenery, rng, SIDE_PX) for a, art in others[:half]]
    pictures += [seen(lit(scenery.cut(96, 96), rng), rng, SIDE_PX) for _ in range(len(known) - half)]
    found = [best[0] for best in gallery.recognise(embedder.encode(pictures), np.arange(len(pictures)))]
    brands = [a.brand for a, _ in known] + [""] * len(known)
    right = [f.brand_id == brand for f, brand in zip(found, brands, strict=True)]
    return np.array([f.false_accept_rate for f in found]), np.array(right)


def fitted(rarity: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Maximum-likelihood slope (not negative) and offset of the log odds over ``rarity``."""
    x, y = torch.from_numpy(rarity), torch.from_numpy(right.astype(float))
    line = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([line], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = binary_cross_entropy_with_logits(softplus(line[0]) * x + line[1], y)
        value.backward()
        return value

    optimiser.step(loss)  # pyright: ignore[reportArgumentType]
    return float(softplus(line[0]).detach()), float(line[1].detach())


def main(
    artwork: Annotated[Path, typer.Argument(help="folder with the unpacked packs of icons")],
    fonts: Annotated[Path, typer.Option(help="folder of fonts")],
    seed: Annotated[int, typer.Option(help="seed of the training")] = 1,
) -> None:
    """Print slope and offset, and how often matches of each probability are right."""
    _, unseen = split(artwork, fonts, seed)
    brands = sorted({a.brand for a, _ in unseen})
    chosen = set(np.random.default_rng(seed).permutation(brands)[: len(brands) // 2].tolist())
    known, others = [d for d in unseen if d[0].brand in chosen], [d for d in unseen if d[0].brand not in chosen]
    embedder = BuiltInLogoEmbedder()
    views = [(a, v) for a, art in known for v in views_of(art[:, :, [2, 1, 0, 3]])]
    entries = [Entry(a.brand, a.brand, a.name) for a, _ in views]
    gallery = Gallery(
        embedder.identity, entries, embedder.encode_drawings([v for _, v in views]), embedder.encode(distractors())
    )
    false_accepts, right = answers(gallery, embedder, known, others, seed)
    slope, offset = fitted(-np.log10(false_accepts), right)
    probability = 1 / (1 + np.exp(-(slope * -np.log10(false_accepts) + offset)))
    table = Table(title=f"SLOPE {slope:.2f}, OFFSET {offset:.2f}, {len(known)} known logos")
    for name in ("probability", "matches", "share right"):
        table.add_column(name, justify="right")
    for low, high in pairwise(EDGES):
        within = (probability >= low) & (probability < high)
        share = f"{right[within].mean():.2f}" if within.any() else "–"
        table.add_row(f"{low:g} to {high:g}", str(within.sum()), share)
    Console(stderr=True).print(table)


if __name__ == "__main__":
    typer.run(main)
