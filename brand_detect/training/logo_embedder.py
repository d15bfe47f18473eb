"""Trains the logo embedder on vector artwork: ``python -m brand_detect.training.logo_embedder``.

The loss pulls two pictures of each artwork, distorted or as in an exemplar, together and away from all others in the
batch (InfoNCE, van den Oord et al., 2018), and towards a learnt proxy of the artwork, away from all other proxies
(normalised softmax, Zhai and Wu, 2019). It pushes pictures without a logo away from all of them.
"""

import copy
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any
from xml.sax.saxutils import escape, quoteattr

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from brand_detect.domain.errors import BadInput
from brand_detect.engines.logo_embedder_net import DIMENSIONS, LogoEmbedderNet
from brand_detect.evaluation.synthetic.artwork import Artwork, Rgba, load_packs, rasterise
from brand_detect.training.distortion import Scenery, clean, lit, photographed, seen

PACKS = (  # CC0: logos, simple-icons, cib. MIT: devicon, bxl, skill-icons, token-branded. CC BY: the others
    "bxl", "cib", "devicon", "fa6-brands", "game-icons", "logos", "simple-icons", "skill-icons", "streamline-logos",
    "token-branded",
)  # fmt: skip
HELD_OUT = (  # the brands of FlickrLogos-27 (Kalantidis et al., ICMR 2011)
    "adidas", "apple", "bmw", "citroen", "cocacola", "dhl", "fedex", "ferrari", "ford", "google", "heineken", "hp",
    "intel", "mcdonalds", "mini", "nbc", "nike", "pepsi", "porsche", "puma", "redbull", "sprite", "starbucks",
    "texaco", "unicef", "vodafone", "yahoo",
)  # fmt: skip
"""Never trained on, so that scores on photographs of them are scores on unseen brands."""
ARTWORK_PX = 112
WORDS = 4000
BATCH, EMPTY = 192, 32  # artworks per batch, with two pictures each; pictures without a logo
CLEAN = 0.4  # share of second pictures that are like exemplars
SIDES = ((0.45, 48), (0.85, 64), (1.0, 80))  # side of crops in px, up to this share of the training
TEMPERATURE, PROXY_SCALE = 0.06, 22.0
PEAK_RATE, WARM_UP = 2e-3, 120  # steps
AVERAGE = 0.998  # decay of the moving average of weights, per step
VALIDATED = 1500
WEIGHTS = Path(__file__).parents[1] / "weights"

Drawn = tuple[Artwork, Rgba]
"""An artwork and its picture."""


class Pictures(IterableDataset):
    """Endless batches: two pictures each of BATCH artworks, EMPTY pictures without a logo; the artworks' indices."""

    def __init__(self, drawn: list[Drawn], seed: int) -> None:
        self._drawn, self._seed = drawn, seed
        self.side_px = torch.tensor(SIDES[0][1]).share_memory_()  # the trainer changes it while workers run

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        cv2.setNumThreads(1)
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self._seed, worker.id if worker else 0])
        scenery = Scenery([art for _, art in self._drawn], rng)
        while True:
            side = int(self.side_px)
            chosen = rng.choice(len(self._drawn), BATCH, replace=False)
            first = [self._seen(i, scenery, rng, side) for i in chosen]
            second = [
                self._clean(i, rng, side) if rng.random() < CLEAN else self._seen(i, scenery, rng, side) for i in chosen
            ]
            empty = [seen(lit(scenery.cut(96, 96), rng), rng, side) for _ in range(EMPTY)]
            yield as_input([*first, *second, *empty]), torch.from_numpy(chosen), torch.tensor(side)

    def _seen(self, i: int, scenery: Scenery, rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
        artwork, art = self._drawn[i]
        return photographed(art, artwork.mono, scenery, rng, side)

    def _clean(self, i: int, rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
        artwork, art = self._drawn[i]
        return clean(art, artwork.mono, rng, side)


def as_input(pictures: list[NDArray[np.uint8]]) -> Tensor:
    """Converts square BGR pictures to the network's input, still in 8 bits: shape (n, 3, side, side), RGB."""
    return torch.from_numpy(np.ascontiguousarray(np.stack(pictures)[:, :, :, ::-1].transpose(0, 3, 1, 2)))


def loss_of(first: Tensor, second: Tensor, empty: Tensor, proxies: Tensor, chosen: Tensor, brands: Tensor) -> Tensor:
    """Sum of both losses; artworks of one brand are not negatives of each other."""
    same = brands[chosen][:, None] == brands[chosen][None]
    same.fill_diagonal_(False)
    target = torch.arange(len(first), device=first.device)
    pairs = (first @ second.T).masked_fill(same, -1) / TEMPERATURE
    aside = torch.cat([first, second]) @ empty.T / TEMPERATURE
    contrast = functional.cross_entropy(torch.cat([pairs, aside[: len(first)]], 1), target)
    contrast = contrast + functional.cross_entropy(torch.cat([pairs.T, aside[len(first) :]], 1), target)

    unit = functional.normalize(proxies, dim=1)
    kin = (brands[chosen][:, None] == brands[None]).scatter(1, chosen[:, None], False)
    likeness = torch.cat([first, second]) @ unit.T
    classes = functional.cross_entropy(
        PROXY_SCALE * likeness.masked_fill(kin.repeat(2, 1), -1), chosen.repeat(2), label_smoothing=0.05
    )
    empties = functional.relu((empty @ unit.T).amax(dim=1) - 0.3).mean()
    return contrast / 2 + classes + empties


def rate_at(step: int, done: float) -> float:
    """Learning rate: warm-up, then half a cosine. ``done`` is the share of the training, 0 to 1."""
    return PEAK_RATE * min(1.0, step / WARM_UP) * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2)


@torch.inference_mode()
def validated(net: nn.Module, unseen: list[Drawn], device: str) -> float:
    """Top-1 accuracy on unseen artworks: one distorted query each, against clean exemplars of all."""
    rng = np.random.default_rng(1)
    side = SIDES[-1][1]
    scenery = Scenery([art for _, art in unseen], rng, count=64)
    exemplars = [clean(art, artwork.mono, rng, side) for artwork, art in unseen]
    queries = [photographed(art, artwork.mono, scenery, rng, side) for artwork, art in unseen]
    net.eval()
    vectors = [
        torch.cat([net(as_input(p[i : i + 256]).to(device).float() / 255) for i in range(0, len(p), 256)])
        for p in (exemplars, queries)
    ]
    best = (vectors[1] @ vectors[0].T).argmax(dim=1).tolist()
    return sum(unseen[i][0].brand == unseen[b][0].brand for i, b in enumerate(best)) / len(best)


def is_held_out(artwork: Artwork) -> bool:
    """Whether the artwork may belong to a held-out brand."""
    return artwork.brand.startswith(HELD_OUT)


def set_words(words: Sequence[str], fonts: Path, count: int, seed: int) -> list[Artwork]:
    """``count`` random wordmarks: a word in a font. The same word in another font is the same brand."""
    files = sorted(f for f in fonts.rglob("*") if f.suffix in (".ttf", ".otf"))
    if not files:
        raise BadInput(f"There are no fonts in {fonts}.", "add .ttf or .otf files")
    rng = np.random.default_rng(seed)
    found = {}
    while len(found) < count:
        word, font = str(rng.choice(words)), files[rng.integers(len(files))]
        text = (word, word.upper(), word.capitalize())[rng.integers(3)]
        name = f"word:{text}:{font.stem}"
        found[name] = Artwork(f"word-{word.lower()}", name, _set(text, font), mono=True)
    return list(found.values())


def _set(text: str, font: Path) -> str:
    from PIL import ImageFont

    width = 90 * len(text) + 100
    family = ImageFont.truetype(str(font)).getname()[0]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 160" data-font={quoteattr(str(font))}>'
        f'<text x="50" y="110" font-size="90" font-family={quoteattr(family or "")}>{escape(text)}</text></svg>'
    )


def split(artwork: Path, fonts: Path, seed: int) -> tuple[list[Drawn], list[Drawn]]:
    """The artworks to train on, and VALIDATED others of other brands, held-out brands first."""
    icons = [icon for icon in load_packs(artwork) if icon.name.split(":")[0] in PACKS]
    names = sorted({a.brand for a in icons if a.name.startswith(("simple-icons:", "logos:")) and len(a.brand) > 2})
    listed = [*icons, *set_words(names, fonts, WORDS, seed)]
    drawn = [(a, d) for a, d in zip(listed, rasterise(listed, ARTWORK_PX), strict=True) if d is not None]
    mixed = [drawn[i] for i in np.random.default_rng(seed).permutation(len(drawn))]
    unseen = [one for one in mixed if is_held_out(one[0])]
    chosen = {artwork.brand for artwork, _ in mixed[: 2 * VALIDATED]}
    others = [one for one in mixed if one[0].brand in chosen and not is_held_out(one[0])]
    unseen += others[: VALIDATED - len(unseen)]
    left_out = {artwork.brand for artwork, _ in unseen}
    return [one for one in drawn if one[0].brand not in left_out], unseen


def main(
    artwork: Annotated[Path, typer.Argument(help="folder with the unpacked packs of icons")],
    fonts: Annotated[Path, typer.Option(help="folder of fonts, for wordmarks")],
    minutes: Annotated[float, typer.Option(help="how long to train")] = 75.0,
    out: Annotated[Path, typer.Option(help="where the weights go")] = WEIGHTS,
    workers: Annotated[int, typer.Option(help="processes that draw pictures")] = 1,
    seed: int = 1,
) -> None:
    """Train the embedder and write its weights and their provenance."""
    console = Console(stderr=True)
    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(max(1, torch.get_num_threads() - workers))  # oversubscribed threads wait for each other
    trained, unseen = split(artwork, fonts, seed)
    console.print(f"{len(trained)} artworks to train on, {len(unseen)} held out; on {device}")

    numbers = {brand: i for i, brand in enumerate(sorted({a.brand for a, _ in trained}))}
    brands = torch.tensor([numbers[a.brand] for a, _ in trained], device=device)
    pictures = Pictures(trained, seed)
    batches = iter(DataLoader(pictures, batch_size=None, num_workers=workers, prefetch_factor=2))
    net = LogoEmbedderNet().to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    average = copy.deepcopy(net)
    proxies = nn.Parameter(torch.randn(len(trained), DIMENSIONS, device=device) * 0.1)
    decayed = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": [*others, proxies], "weight_decay": 0.0}]
    )
    step, began, lately = 0, time.monotonic(), 0.0
    while (done := (time.monotonic() - began) / (60 * minutes)) < 1:
        pictures.side_px.fill_(next(side for until, side in SIDES if done < until))
        batch, chosen, _ = next(batches)
        chosen = chosen.to(device)
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, done)
        net.train()
        with torch.autocast(device, torch.bfloat16):
            vectors = net((batch.to(device).float() / 255).contiguous(memory_format=torch.channels_last))
            loss = loss_of(vectors[:BATCH], vectors[BATCH : 2 * BATCH], vectors[2 * BATCH :], proxies, chosen, brands)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        step += 1
        kept = min(AVERAGE, step / (step + 10))
        with torch.no_grad():
            for mine, its in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
                mine.lerp_(its, 1 - kept) if mine.is_floating_point() else mine.copy_(its)
        lately = loss.item() if step == 1 else 0.98 * lately + 0.02 * loss.item()
        if step % 25 == 0:
            spent = time.monotonic() - began
            rate = step * 2 * BATCH / spent
            console.print(f"step {step}, {spent / 60:.1f} of {minutes:g} min, loss {lately:.3f}, {rate:.0f} pictures/s")
        if step % 400 == 0:
            _write(out, average, step, done * minutes, device, len(trained), seed)
            top1 = validated(average, unseen, device)
            console.print(f"step {step}: top-1 on {len(unseen)} unseen artworks {top1:.3f}")
    _write(out, average, step, minutes, device, len(trained), seed)
    top1 = validated(average, unseen, device)
    console.print(f"{step} steps: top-1 on {len(unseen)} unseen artworks {top1:.3f}")


def _write(out: Path, net: nn.Module, steps: int, minutes: float, device: str, artworks: int, seed: int) -> None:
    out.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {
        "steps": steps, "minutes": round(minutes, 1), "device": device, "artworks": artworks, "seed": seed,
        "packs": list(PACKS), "batch": BATCH, "side_px": SIDES[-1][1],
    }  # fmt: skip
    halves = {k: v.half().contiguous() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    save_file(halves, out / "logo_embedder.safetensors", {"trained": json.dumps(facts)})


if __name__ == "__main__":
    typer.run(main)
