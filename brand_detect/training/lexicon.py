"""Fits the probability that a track shows the name that fits its readings best.

    python -m brand_detect.training.lexicon LINES.csv …

Logistic regression with a small ridge over the features of ``stages.match_brands.lexicon.Likely``, on lines of
``brand-detect evaluate lines --csv``. Half of the clips are fitted and the others predicted, in turn; then all are
fitted.
The figures in use come from 22 real clips, 60 photographs of streets and four generated clips, and a catalogue with
every labelled name: 481 tracks of which a name fits a reading, 460 rightly.
"""

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from brand_detect.catalog import load_catalog
from brand_detect.domain.settings import Settings
from brand_detect.evaluation.scoring.labels import Half
from brand_detect.evaluation.scoring.lines import is_shown, load_lines

RIDGE = 1.0
EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)


def fitted(features: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intercept and weights; the ridge does not hold the intercept back."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    x, y = torch.from_numpy(np.column_stack([np.ones(len(features)), features])), torch.from_numpy(right)
    weights = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        errors = binary_cross_entropy_with_logits(x @ weights, y, reduction="sum")
        value = errors + RIDGE / 2 * weights[1:].square().sum()
        value.backward()
        return value

    optimiser.step(loss)  # pyright: ignore[reportArgumentType]
    return weights.detach().numpy()


def predicted(features: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-(weights[0] + features @ weights[1:])))


def main(
    files: Annotated[list[Path], typer.Argument(metavar="LINES.csv", help="of brand-detect evaluate lines --csv")],
) -> None:
    lines = [line for file in files for line in load_lines(file)]
    rows = list(is_shown(lines, load_catalog(Settings.load().brand_list).catalog))
    if not rows:
        raise SystemExit("No name of the catalogue fits any of the lines.")
    names = list(rows[0][0].features)
    features = np.array([list(likely.features.values()) for likely, _, _ in rows])
    right = np.array([shown for *_, shown in rows], float)
    first = np.array([Half.of(clip) is Half.first for _, clip, _ in rows])
    p = np.zeros(len(rows))
    for half in (first, ~first):
        p[half] = predicted(features[half], fitted(features[~half], right[~half]))
    weights = fitted(features, right)
    said = ", ".join(f"{name} {weight:.2f}" for name, weight in zip(["intercept", *names], weights, strict=True))
    table = Table(title=f"{said}; {len(rows)} tracks, each half predicted from the other")
    for name in ("probability", "tracks", "share right"):
        table.add_column(name, justify="right")
    for low, high in pairwise(EDGES):
        within = (p >= low) & (p < high if high < 1 else p <= high)
        table.add_row(f"{low:g} to {high:g}", str(within.sum()), f"{right[within].mean():.2f}" if within.any() else "–")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
