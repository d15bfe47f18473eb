"""Train the network that proposes logo-like regions, from vector artwork on drawn scenes alone.

    python -m brand_detect.training.train_regions PACKS WEIGHTS --steps 6000

``PACKS`` holds unpacked npm packages ``@iconify-json/*``; those of ``SOURCES`` are used. The same packs, seed and
number of steps give the same weights on the same machine.
"""

import argparse
import math
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from brand_detect.engines.mark_finder_net import STRIDE_PX, LogoDetectorNet
from brand_detect.evaluation.synthetic.artwork import Artwork, is_held_out, load_packs
from brand_detect.training.composites import Composer, Composite

SOURCES = ("simple-icons", "logos", "cib", "fa6-brands", "devicon", "bxl", "skill-icons", "streamline-logos")
"""Packs under CC0, MIT or CC-BY."""
SIZE_PX, BATCH = 256, 16
FRESH = 6  # composites of a batch that are drawn anew; the others are varied ones of the last ``KEPT``
KEPT = 600
PEAK_RATE, WARM_UP = 2e-3, 200
CORE = 0.54  # a mark's bump on the map of centres is so large against its box: TTFNet's alpha
SMALLEST_BUMP = 0.7  # cells
TEXT_WEIGHT = 0.25  # of the loss over lines of plain text: some are marks, and another detector finds them all
SIZE_WEIGHT = 2.0


def targets(composite: Composite) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Maps of a composite: centres (h, w) 0 to 1, weights of the centres' loss (h, w), boxes (4, h, w) px, weights of
    the boxes' loss (h, w), which sum to one for each mark."""
    n = len(composite.picture) // STRIDE_PX
    heat, weight = np.zeros((n, n), np.float32), np.ones((n, n), np.float32)
    boxes, box_weight = np.zeros((4, n, n), np.float32), np.zeros((n, n), np.float32)
    at = (np.arange(n) + 0.5) * STRIDE_PX
    for left, top, right, bottom in composite.texts:
        weight[np.ix_((at > top) & (at < bottom), (at > left) & (at < right))] = TEXT_WEIGHT
    by_area = sorted(composite.marks, key=lambda b: -(b[2] - b[0]) * (b[3] - b[1]))
    for box in by_area:
        left, top, right, bottom = box
        cells = np.clip([(left + right) / 2, (top + bottom) / 2], 0, n * STRIDE_PX - 1) // STRIDE_PX
        bumps = []
        for cell, length in zip(cells, (right - left, bottom - top), strict=True):
            sigma = max(SMALLEST_BUMP, CORE * length / STRIDE_PX / 6)
            bumps.append(np.exp(-((np.arange(n) - cell) ** 2) / (2 * sigma**2)))
        bump = np.outer(bumps[1], bumps[0]).astype(np.float32)
        np.maximum(heat, bump, out=heat)
        core = bump > 0.3
        boxes[:, core] = np.array([left, top, right, bottom], np.float32)[:, None]
        box_weight[core] = bump[core] / bump[core].sum()
        weight[core] = 1.0
    return heat, weight, boxes, box_weight


def loss(outputs: tuple[Tensor, Tensor], wanted: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """CenterNet's focal loss of the centres, and 1 - GIoU (Rezatofighi et al. 2019) of the boxes, both per mark."""
    logits, sides = outputs
    heat, weight, boxes, box_weight = wanted
    n = (heat == 1).sum().clamp(min=1)
    p = logits.sigmoid()
    hit = (heat == 1) * (1 - p) ** 2 * logsigmoid(logits)
    miss = (heat < 1) * (1 - heat) ** 4 * p**2 * logsigmoid(-logits)
    centre = -((hit + miss) * weight).sum() / n
    at = (torch.arange(heat.shape[-1]) + 0.5) * STRIDE_PX
    cells = torch.stack(torch.broadcast_tensors(at[None], at[:, None]))  # x, y
    low, high = cells - sides[:, :2], cells + sides[:, 2:]
    wanted_low, wanted_high = boxes[:, :2], boxes[:, 2:]
    inter = (torch.minimum(high, wanted_high) - torch.maximum(low, wanted_low)).clamp(min=0).prod(1)
    union = (high - low).prod(1) + (wanted_high - wanted_low).prod(1) - inter
    hull = (torch.maximum(high, wanted_high) - torch.minimum(low, wanted_low)).prod(1)
    giou = inter / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)
    return centre, SIZE_WEIGHT * ((1 - giou) * box_weight).sum() / n


def train(art: Sequence[Artwork], steps: int, seed: int, threads: int, weights: Path) -> LogoDetectorNet:
    """The trained network, weights averaged over steps, without batch normalisation."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    net = LogoDetectorNet(norm=True).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    nn.init.constant_(net.head[-1].bias, 0.0)
    with torch.no_grad():
        net.head[-1].bias[0] = -4.0
        net.head[-1].bias[1:] = 2.0
    averaged = torch.optim.swa_utils.AveragedModel(
        net, avg_fn=lambda mean, now, n: mean + (now - mean) * max(0.002, 9 / (n + 10)), use_buffers=True
    )
    optimizer = torch.optim.AdamW(net.parameters(), PEAK_RATE, weight_decay=0.02)
    composer = Composer(art, SIZE_PX, seed)
    rng = np.random.default_rng(seed)
    kept: deque[Composite] = deque(maxlen=KEPT)
    began, shown = time.monotonic(), np.zeros(2)
    for step in range(1, steps + 1):
        rate = PEAK_RATE * min(1, step / WARM_UP) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        fresh = [composer.make() for _ in range(FRESH)]
        kept.extend(fresh)
        made = fresh + [composer.again(kept[i]) for i in rng.integers(len(kept), size=BATCH - FRESH)]
        pictures = torch.from_numpy(np.stack([m.picture for m in made])).permute(0, 3, 1, 2).float() / 255
        wanted = [torch.from_numpy(np.stack(maps)) for maps in zip(*map(targets, made), strict=True)]
        with torch.autocast("cpu", torch.bfloat16):
            outputs = net(pictures)
        centre, size = loss(outputs, wanted)
        optimizer.zero_grad()
        (centre + size).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        averaged.update_parameters(net)
        shown = 0.95 * shown + 0.05 * np.array([centre.item(), size.item()])
        if step % 100 == 0:
            minutes = (time.monotonic() - began) / 60
            print(f"step {step}, {minutes:.0f} min: centres {shown[0]:.3f}, boxes {shown[1]:.3f}", flush=True)
            save(fused(averaged.module), weights)
    return fused(averaged.module)


def fused(net: nn.Module) -> LogoDetectorNet:
    """The network with its batch normalisation taken into the weights of the convolutions before."""
    net.eval()
    plain = LogoDetectorNet()
    for trained, without in zip(_sequences(net), _sequences(plain), strict=True):
        conv, norm = trained[0], trained[1]
        assert isinstance(norm, nn.BatchNorm2d)
        folded = nn.utils.fuse_conv_bn_eval(conv, norm)
        without[0].load_state_dict(folded.state_dict())
    kept = {k: v for k, v in net.state_dict().items() if k.split(".")[0] in ("across", "to_fine")}
    kept |= {k: v for k, v in net.state_dict().items() if k.startswith("head.1.")}
    plain.load_state_dict(kept, strict=False)
    assert torch.isfinite(plain(torch.zeros(1, 3, 64, 64))[0]).all()
    return plain


def _sequences(net: nn.Module) -> list:
    """The convolutions with what follows each, in order."""
    return [
        m
        for m in net.modules()
        if isinstance(m, nn.Sequential) and isinstance(m[0], nn.Conv2d) and isinstance(m[-1], nn.ReLU)
    ]


def save(net: LogoDetectorNet, weights: Path) -> None:
    save_file({k: v.half().contiguous() for k, v in net.state_dict().items()}, weights)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    art = [a for a in load_packs(given.packs, SOURCES) if not is_held_out(a)]
    print(f"{len(art)} artworks", flush=True)
    net = train(art, given.steps, given.seed, given.threads, given.weights)
    save(net, given.weights)
    print(f"{sum(p.numel() for p in net.parameters())} weights in {given.weights}", flush=True)


if __name__ == "__main__":
    main()
