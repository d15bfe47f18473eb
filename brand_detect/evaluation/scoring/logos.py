"""Measures how well logos are recognised in crops of photographs, from few exemplars, among thousands of brands.

``evaluate_logos`` combines photographs, icons and recognizers; ``openset`` computes the figures. Everything but the
times is deterministic.
"""

import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.catalog.gallery import OFFSET, SLOPE, Entry, Gallery
from brand_detect.domain.errors import BadInput
from brand_detect.domain.protocols import Image, Progress, Rgba
from brand_detect.engines.exemplars import views_of
from brand_detect.engines.image import read_photograph
from brand_detect.evaluation.benchmarks.common import Section
from brand_detect.evaluation.scoring.icons import Icon, icon_of, is_of, key_of, pictures_of
from brand_detect.evaluation.scoring.openset import (
    PRECISION,
    Brands,
    Scores,
    Verdicts,
    best_of_brands,
    claim_rates,
    recall_at_precision,
    top,
    verdicts,
    without,
)
from brand_detect.evaluation.scoring.photographs import WithLogosAndSize, not_labelled, read_annotations
from brand_detect.evaluation.scoring.recognizers import Embedder

MIN_SIDE_PX = 8
FEW = 16  # distractors of a small catalogue
SMALL_GALLERY = 300  # distractors
HEIGHTS_PX = (24, 48, 96)
SHRUNK_PX = (48, 32, 24)
BRANDS_AT_A_TIME = 64


# Photographs


@dataclass(frozen=True)
class Place:
    """A box on a photograph, in px. ``brand`` is "" where there is no logo."""

    image: str
    brand: str
    x: int
    y: int
    w: int
    h: int

    def touches(self, other: "Place") -> bool:
        return (
            self.x < other.x + other.w
            and other.x < self.x + self.w
            and self.y < other.y + other.h
            and other.y < self.y + self.h
        )


Sizes = Mapping[str, tuple[int, int]]
"""Width and height of each photograph, in px."""


def read_places(folder: Path) -> tuple[list[Place], Sizes]:
    """Reads the boxes and the photographs' sizes from ``folder/annotations.json`` (``WithLogosAndSize``).

    Raises:
        BadInput: the file is missing, or does not list them.
    """
    listed = read_annotations(folder, WithLogosAndSize)
    places = [Place(p.image, b.brand, int(b.x), int(b.y), int(b.w), int(b.h)) for p in listed for b in p.boxes]
    return places, {p.image: (p.width, p.height) for p in listed}


def elsewhere(places: Sequence[Place], sizes: Sizes, seed: int = 0) -> list[Place]:
    """For each place, a random one of the same size that touches no logo: on the same photograph or, after 50 failed
    draws, on the first of 20 random others that has room. A place that fits nowhere is left out."""
    logos: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        logos[place.image].append(place)
    draw, found = random.Random(seed), []
    for place in places:
        for image in (place.image, *draw.choices(sorted(sizes), k=20)):
            width, height = sizes[image]
            if place.w > width or place.h > height:
                continue
            drawn = (
                Place(image, "", draw.randint(0, width - place.w), draw.randint(0, height - place.h), place.w, place.h)
                for _ in range(50)
            )
            free = next((d for d in drawn if not any(d.touches(logo) for logo in logos[image])), None)
            if free:
                found.append(free)
                break
    return found


def crops_of(folder: Path, places: Sequence[Place]) -> list[Image]:
    """The pixels of each place, in order. Each photograph is decoded once.

    Raises:
        BadInput: a photograph cannot be read, or a box lies outside it.
    """
    crops: dict[int, Image] = {}
    by_image = defaultdict(list)
    for n, place in enumerate(places):
        by_image[place.image].append(n)
    for image, numbers in by_image.items():
        picture = read_photograph(folder / "images" / image)
        for n in numbers:
            p = places[n]
            crop = picture[max(0, p.y) : max(0, p.y + p.h), max(0, p.x) : max(0, p.x + p.w)]
            if not crop.size:
                raise BadInput(f"A box of {image} lies outside of it.", f"{p.brand} at {p.x}, {p.y}")
            crops[n] = crop.copy()
    return [crops[n] for n in range(len(places))]


def split(places: Sequence[Place], photographs: int) -> tuple[list[int], list[int]]:
    """Indices of the exemplars and of the queries. For each brand, exemplars are the largest box on each of its first
    ``photographs`` photographs, ordered by name; queries are all boxes on the others."""
    images: dict[str, set[str]] = defaultdict(set)
    for place in places:
        images[place.brand].add(place.image)
    first = {brand: sorted(names)[:photographs] for brand, names in images.items()}
    largest: dict[tuple[str, str], int] = {}
    queries = []
    for n, p in enumerate(places):
        if p.image not in first[p.brand]:
            queries.append(n)
        elif (best := largest.get((p.brand, p.image))) is None or p.w * p.h > places[best].w * places[best].h:
            largest[p.brand, p.image] = n
    return sorted(largest.values()), queries


# The measurement


@dataclass(frozen=True)
class Exemplars:
    """One set of exemplars of the brands, and the queries to recognise with it."""

    name: str
    crops: Sequence[Image]
    brand_of: Sequence[int]
    queries: NDArray[np.int64]  # indices of labelled logos
    drawn: bool = False


@dataclass(frozen=True)
class Material:
    """All crops of a measurement. The probes are the labelled logos, then the crops of no logo, then the ``shrunk``
    logos once for each of ``SHRUNK_PX``."""

    brands: Sequence[str]
    icons: Sequence[Icon | None]  # of the brands
    own: Brands  # of the labelled logos
    heights_px: NDArray[np.int64]  # of the labelled logos
    probes: Sequence[Image]
    others: slice
    shrunk: NDArray[np.int64]  # indices of labelled logos
    one: Exemplars
    five: Exemplars
    icon: Exemplars

    @property
    def exemplars(self) -> tuple[Exemplars, ...]:
        return self.one, self.five, self.icon

    def shrunk_to(self, px: int) -> slice:
        start = self.others.stop + SHRUNK_PX.index(px) * len(self.shrunk)
        return slice(start, start + len(self.shrunk))


@dataclass(frozen=True)
class Vectors:
    """An embedder's vectors. ``distractor_of`` is the index of the brand of each row of ``distractors``."""

    probes: NDArray[np.float32]
    exemplars: Mapping[str, NDArray[np.float32]]
    distractors: NDArray[np.float32]
    distractor_of: Sequence[int]
    unknown: NDArray[np.float32]


@dataclass
class Scored:
    """A recognizer's scores of all probes. ``distractors`` has one column per distractor brand."""

    name: str
    galleries: Sequence[int]  # distractors in each
    distractors: Scores
    brands: dict[str, Scores] = field(default_factory=dict)  # by exemplars
    describing_s: float = 0.0
    comparing_s: float = 0.0

    def brands_in(self, exemplars: Exemplars, gallery: int) -> int:
        """The number of brands with a picture: some artwork cannot be drawn."""
        return len(set(exemplars.brand_of)) + int(np.isfinite(self.distractors[0, :gallery]).sum())

    def against(self, exemplars: Exemplars, gallery: int) -> Scores:
        return np.hstack([self.brands[exemplars.name], self.distractors[:, :gallery]])


def evaluate_logos(
    folder: Path,
    recognizers: Sequence[Embedder],
    packs: Sequence[Sequence[Icon]],
    progress: Progress,
    unknown: Sequence[Image],
    false_accept_rate: float,
) -> list[Section]:
    """Computes the tables of ``docs/guides/evaluate.md``.

    Args:
        folder: ``annotations.json`` and the photographs, in ``images``.
        recognizers: the first one's vectors are also given to the matcher.
        packs: icons; the first pack makes the middle gallery, all of them the largest.
        unknown: pictures of distractors, with which the matcher calibrates how likely a match is.
        false_accept_rate: the share of distractors that the matcher may accept as a brand of the gallery.

    Raises:
        BadInput: the folder has no such photographs.
    """
    material = gather(folder, packs)
    distractors = distractors_of(packs, material.brands)
    sizes = [min(SMALL_GALLERY, len(distractors[0])), *np.cumsum([len(pack) for pack in distractors]).tolist()]
    galleries = sorted({sizes[0], sizes[1], sizes[-1]})
    icons = [icon for pack in distractors for icon in pack]
    scored, vectors = score(material, recognizers, icons, galleries, unknown, progress)
    return [
        recognition(material, scored),
        icons_by_brand(material, scored),
        icons_not_shown(material, scored),
        open_set(material, scored),
        matcher(material, scored[0], vectors, false_accept_rate),
        matcher_by_gallery(material, scored[0], vectors, false_accept_rate),
        by_height(material, scored),
        when_shrunk(material, scored),
        times(material, scored),
    ]


def gather(folder: Path, packs: Sequence[Sequence[Icon]]) -> Material:
    """Reads and crops the photographs, and draws the brands' icons."""
    places, sizes = read_places(folder)
    places = [p for p in places if min(p.w, p.h) >= MIN_SIDE_PX]
    if not places:
        raise not_labelled(folder, f"has no box of {MIN_SIDE_PX} px and more", WithLogosAndSize)
    brands = sorted({p.brand for p in places})
    own = np.array([brands.index(p.brand) for p in places])
    heights = np.array([p.h for p in places])
    logos = crops_of(folder, places)
    others = crops_of(folder, elsewhere(places, sizes))
    icons = [icon_of(brand, packs) for brand in brands]

    def photographs(name: str, count: int) -> Exemplars:
        chosen, queries = split(places, count)
        shown = [(own[n], view) for n in chosen for view in views_of(_opaque(logos[n]))]
        return Exemplars(name, [view for _, view in shown], [int(n) for n, _ in shown], np.array(queries, np.int64))

    one, five = photographs("1 photograph", 1), photographs("5 photographs", 5)
    found = [(n, icon) for n, icon in enumerate(icons) if icon]
    shown = pictures_of([icon for _, icon in found])
    drawn = [(n, picture) for (n, _), several in zip(found, shown, strict=True) for picture in several]
    with_icon = np.flatnonzero(np.isin(own, [n for n, _ in drawn]))
    icon = Exemplars("1 icon", [picture for _, picture in drawn], [n for n, _ in drawn], with_icon, drawn=True)
    large = five.queries[heights[five.queries] >= max(SHRUNK_PX)]
    shrunk = [_shrunk(logos[n], px) for px in SHRUNK_PX for n in large]
    outside = slice(len(logos), len(logos) + len(others))
    return Material(brands, icons, own, heights, [*logos, *others, *shrunk], outside, large, one, five, icon)


def distractors_of(packs: Sequence[Sequence[Icon]], brands: Sequence[str]) -> list[list[Icon]]:
    """For each pack, the icons of other brands that no earlier pack has, one per name, in random order, so that the
    first few are a fair sample."""
    ours, seen, kept = frozenset(map(key_of, brands)), {""}, []
    for pack in packs:
        fresh = {icon.key: icon for icon in reversed(pack) if icon.key not in seen and not is_of(icon, ours)}
        seen |= fresh.keys()
        order = sorted(fresh)
        random.Random(0).shuffle(order)
        kept.append([fresh[key] for key in order])
    return kept


def score(
    material: Material,
    recognizers: Sequence[Embedder],
    distractors: Sequence[Icon],
    galleries: Sequence[int],
    unknown: Sequence[Image],
    progress: Progress,
) -> tuple[list[Scored], Vectors]:
    """Compares all probes with all exemplars and distractors; also returns the vectors of the first recognizer."""
    results, described, kept, kept_of = [], [], [], []
    for r in recognizers:
        result = Scored(r.name, galleries, np.full((len(material.probes), galleries[-1]), -np.inf, np.float32))
        began = time.perf_counter()
        probes = r.describe(material.probes)
        result.describing_s = time.perf_counter() - began
        for e in material.exemplars:
            scores = r.compare(probes, r.describe(e.crops, drawn=e.drawn))
            result.brands[e.name] = best_of_brands(scores, e.brand_of, len(material.brands))
        results.append(result)
        described.append(probes)
    for start in range(0, len(distractors), BRANDS_AT_A_TIME):
        progress(start, len(distractors), "distractor brands")
        some = distractors[start : start + BRANDS_AT_A_TIME]
        drawn = [(start + n, picture) for n, several in enumerate(pictures_of(some)) for picture in several]
        if not drawn:
            continue
        for r, result, probes in zip(recognizers, results, described, strict=True):
            gallery = r.describe([picture for _, picture in drawn], drawn=True)
            if r is recognizers[0]:
                kept.append(gallery)
                kept_of += [n for n, _ in drawn]
            began = time.perf_counter()
            scores = r.compare(probes, gallery)
            result.comparing_s += time.perf_counter() - began
            best = best_of_brands(scores, [n - start for n, _ in drawn], len(some))
            result.distractors[:, start : start + len(some)] = best
    progress(len(distractors), len(distractors), "distractor brands")
    first = recognizers[0]
    exemplars = {e.name: first.describe(e.crops, drawn=e.drawn) for e in material.exemplars}
    return results, Vectors(described[0], exemplars, np.concatenate(kept), kept_of, first.describe(unknown))


def recognition(material: Material, scored: Sequence[Scored]) -> Section:
    """Top-1 and top-5; with one photograph also on the queries of five."""
    asked = [material.one, replace(material.one, queries=material.five.queries), material.five, material.icon]
    rows = []
    for s in scored:
        for e in asked:
            for gallery in s.galleries:
                scores, own = s.against(e, gallery)[e.queries], material.own[e.queries]
                figures = (_mean(top(scores, own, k)) for k in (1, 5))
                rows.append((s.name, e.name, s.brands_in(e, gallery), len(own), *figures))
    return Section("Recognition", ("recognizer", "exemplars", "brands in gallery", "queries", "top-1", "top-5"), rows)


def icons_by_brand(material: Material, scored: Sequence[Scored]) -> Section:
    """How many logos of each brand its icon recognises, in each recognizer's largest gallery."""
    found = _found_by_icon(material, scored)
    rows = []
    for n, (brand, icon) in enumerate(zip(material.brands, material.icons, strict=True)):
        right = [float(f[n]) if icon else "" for f in found.values()]
        rows.append((brand, icon.name if icon else "none", int((material.own == n).sum()), *right))
    return Section("Logos recognised by one icon", ("brand", "icon", "logos", *found), rows)


def icons_not_shown(material: Material, scored: Sequence[Scored]) -> Section:
    """Brands whose icon recognises none of their logos: the photographs show other artwork."""
    rows = [
        (name, ", ".join(b for b, icon, n in zip(material.brands, material.icons, f, strict=True) if icon and n < 1))
        for name, f in _found_by_icon(material, scored).items()
    ]
    return Section("Brands of which no logo is recognised by the icon", ("recognizer", "brands"), rows)


def open_set(material: Material, scored: Sequence[Scored]) -> Section:
    """Recall at ``PRECISION``, by score and by lead with all negatives, and by score with each kind of negatives."""
    rows = []
    for s in scored:
        for e in material.exemplars:
            for gallery in s.galleries:
                known, unknown, other = _verdicts(material, s, e, gallery)
                figures = [
                    _recall(known, *negatives, by=by)
                    for by, negatives in (
                        ("score", (unknown, other)),
                        ("lead", (unknown, other)),
                        ("score", (unknown,)),
                        ("score", (other,)),
                    )
                ]
                rows.append((s.name, e.name, s.brands_in(e, gallery), len(e.queries), *figures))
    columns = ("recognizer", "exemplars", "brands in gallery", "queries")
    title = (
        f"Open set: recall at {PRECISION:.0%} precision, with {len(material.probes[material.others])} crops of no logo"
    )
    return Section(title, (*columns, "by score", "by lead", "unknown only", "no logo only"), rows)


def matcher(material: Material, s: Scored, vectors: Vectors, false_accept_rate: float) -> Section:
    """The pipeline's matcher on the first recognizer's vectors, in the largest gallery.

    It accepts a match if at most ``false_accept_rate`` of the distractors score as high.
    """
    rows = []
    for e in (e for e in material.exemplars if len(e.queries)):
        matched = _matched(material, e, vectors)
        known, unknown, other = (verdicts for verdicts, _ in matched)
        claimed = [alarms <= false_accept_rate for _, alarms in matched]
        got = claim_rates(claimed[0], known.right, *claimed[1:])
        best = _recall(known, unknown, other, by="score")
        shares = (got.recall, got.precision, got.unknown_claimed, got.other_claimed)
        rows.append((e.name, s.brands_in(e, s.galleries[-1]), len(e.queries), _mean(known.right), best, *shares))
    columns = ("exemplars", "brands in gallery", "queries", "top-1", f"recall at {PRECISION:.0%} precision")
    in_use = ("recall", "precision", "unknown logos claimed", "crops of no logo claimed")
    return Section(f"Matcher on {s.name}, false accept rate {false_accept_rate:.2%}", (*columns, *in_use), rows)


def matcher_by_gallery(material: Material, s: Scored, vectors: Vectors, false_accept_rate: float) -> Section:
    """What the matcher names, and what it finds to resemble a brand, by the size of the gallery.

    For galleries of one brand, all crops are matched with each brand in turn.
    """
    likely = 10 ** (OFFSET / SLOPE)  # share of distractors at which a match is as likely right as wrong
    rows = []
    for e in (e for e in material.exemplars if len(e.queries)):
        owners = np.unique(e.brand_of)
        for size in (0, FEW, s.galleries[-1]):
            in_gallery = [owners] if size else [np.array([n]) for n in owners]
            parts = [_matched(material, e, vectors, brands, size) for brands in in_gallery]
            right = np.concatenate([known.right for (known, _), _, _ in parts])
            alarms = [np.concatenate([part[kind][1] for part in parts]) for kind in range(3)]
            figures = []
            for limit in (false_accept_rate, likely):
                claimed = [a <= limit for a in alarms]
                got = claim_rates(claimed[0], right, *claimed[1:])
                figures += [got.recall, got.precision, got.unknown_claimed, got.other_claimed]
            rows.append((e.name, s.brands_in(e, size) if size else 1, len(right), *figures))
    of = ("recall", "precision", "unknown logos", "no logo")
    columns = ("exemplars", "brands in gallery", "queries", *(f"{w}: {c}" for w in ("named", "resembling") for c in of))
    return Section(
        f"By gallery, matcher on {s.name}, false accept rate {false_accept_rate:.2%} and {likely:.2%}", columns, rows
    )


def by_height(material: Material, scored: Sequence[Scored]) -> Section:
    """Top-1 with five photographs, by the height of the query."""
    e = material.five
    bins = np.digitize(material.heights_px[e.queries], HEIGHTS_PX)
    edges = ["", *map(str, HEIGHTS_PX), ""]
    names = [
        f"{low}–{high} px" if low and high else f"under {high} px" if high else f"{low} px and more"
        for low, high in pairwise(edges)
    ]
    columns = [f"{name} ({(bins == n).sum()})" for n, name in enumerate(names)]
    rows = []
    for s in scored:
        right = top(s.against(e, s.galleries[-1])[e.queries], material.own[e.queries], 1)
        rows.append((s.name, s.brands_in(e, s.galleries[-1]), *(_mean(right[bins == n]) for n in range(4))))
    return Section(f"Top-1 by height, {e.name}", ("recognizer", "brands in gallery", *columns), rows)


def when_shrunk(material: Material, scored: Sequence[Scored]) -> Section:
    """Top-1 with five photographs, with the queries scaled down."""
    e = material.five
    own = material.own[material.shrunk]
    rows = []
    for s in scored:
        scores = s.against(e, s.galleries[-1])
        probes = [material.shrunk, *(material.shrunk_to(px) for px in SHRUNK_PX)]
        rows.append((s.name, s.brands_in(e, s.galleries[-1]), *(_mean(top(scores[p], own, 1)) for p in probes)))
    columns = ("recognizer", "brands in gallery", "as they are", *(f"{px} px high" for px in SHRUNK_PX))
    return Section(f"Top-1 of {len(own)} queries made smaller, {e.name}", columns, rows)


def times(material: Material, scored: Sequence[Scored]) -> Section:
    """Milliseconds per crop."""
    n = len(material.probes)
    rows = [(s.name, s.galleries[-1], 1000 * s.describing_s / n, 1000 * s.comparing_s / n) for s in scored]
    return Section("Milliseconds a crop", ("recognizer", "distractor brands", "describing", "comparing"), rows)


def _found_by_icon(material: Material, scored: Sequence[Scored]) -> dict[str, NDArray[np.float64]]:
    """For each recognizer, the number of each brand's logos that it ranks first."""
    e = material.icon
    own = material.own[e.queries]
    found = {}
    for s in scored:
        right = top(s.against(e, s.galleries[-1])[e.queries], own, 1)
        found[s.name] = np.array([right[own == n].sum() for n in range(len(material.brands))])
    return found


def _verdicts(material: Material, s: Scored, e: Exemplars, gallery: int) -> tuple[Verdicts, Verdicts, Verdicts]:
    """Verdicts on the queries, on the same with their brand removed from the gallery, and on the crops of no logo."""
    scores = s.against(e, gallery)
    queries, own = scores[e.queries], material.own[e.queries]
    others = scores[material.others]
    return (
        verdicts(queries, own),
        verdicts(without(queries, own), np.full(len(own), -1)),
        verdicts(others, np.full(len(others), -1)),
    )


Matched = tuple[Verdicts, NDArray[np.float64]]
"""The matcher's verdicts on some crops, and the share of distractors that score as high."""


def _matched(
    material: Material, e: Exemplars, vectors: Vectors, brands: Brands | None = None, distractors: int | None = None
) -> tuple[Matched, Matched, Matched]:
    """As ``_verdicts``, by the matcher, with ``brands`` and the first ``distractors`` in the gallery; all by default.

    Queries of brands that are not in ``brands`` count as unknown logos.
    """
    brands = np.unique(e.brand_of) if brands is None else brands
    of = np.asarray(vectors.distractor_of)
    owners = np.concatenate([e.brand_of, len(material.brands) + of])
    exemplars = np.concatenate([vectors.exemplars[e.name], vectors.distractors])
    listed = np.isin(owners, brands)
    listed[len(e.brand_of) :] = True if distractors is None else of < distractors
    own, queries, others = material.own[e.queries], vectors.probes[e.queries], vectors.probes[material.others]

    def matched(crops: NDArray[np.float32], right: Brands, absent: int = -1) -> Matched:
        is_in = listed & (owners != absent)
        if not is_in.any():
            return Verdicts(*(np.zeros(0, t) for t in (np.float32, np.float32, bool))), np.zeros(0)
        entries = [Entry(str(owner), "", "") for owner in owners[is_in]]
        gallery = Gallery("", entries, exemplars[is_in], vectors.unknown)
        found = gallery.recognise(crops, np.arange(len(crops)))
        score = np.array([best.score for best, *_ in found], np.float32)
        lead = score - np.array([rest[0].score if rest else -np.inf for _, *rest in found], np.float32)
        is_right = np.array([best.brand_id for best, *_ in found], str) == right.astype(str)
        return Verdicts(score, lead, is_right), np.array([best.false_accept_rate for best, *_ in found])

    inside = np.isin(own, brands)
    alone = [matched(queries[own == n], np.full((own == n).sum(), -1), absent=n) for n in np.unique(own[inside])]
    alone.append(matched(queries[~inside], np.full((~inside).sum(), -1)))
    unknown = (
        Verdicts(*(np.concatenate([getattr(v, name) for v, _ in alone]) for name in ("score", "lead", "right"))),
        np.concatenate([alarms for _, alarms in alone]),
    )
    return matched(queries[inside], own[inside]), unknown, matched(others, np.full(len(others), -1))


def _recall(known: Verdicts, *negatives: Verdicts, by: str) -> float | str:
    if not len(known.right):
        return ""
    score, right = (np.concatenate([getattr(v, name) for v in (known, *negatives)]) for name in (by, "right"))
    return recall_at_precision(score, right, len(known.right))[0]


def _mean(values: NDArray[Any]) -> float | str:
    """The mean as a cell of a table; "" if there are no values."""
    return float(values.mean()) if len(values) else ""


def _opaque(crop: Image) -> Rgba:
    """The crop as opaque artwork: channels R, G, B, A."""
    return np.dstack([crop[:, :, ::-1], np.full(crop.shape[:2], 255, np.uint8)])


def _shrunk(crop: Image, height_px: int) -> Image:
    import cv2

    width = max(1, round(crop.shape[1] * height_px / crop.shape[0]))
    return cv2.resize(crop, (width, height_px), interpolation=cv2.INTER_AREA)  # pyright: ignore[reportReturnType]
