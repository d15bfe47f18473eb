"""Generates broadcast footage with ground truth: an H.264 file, and what can be read on each of its frames.

A football match: pans along boards in perspective whose texts change, a close shot with players in front of boards, a
view into the corner, a whip pan with motion blur, a static shot of a press room, a scoreboard with the channel's name,
hard cuts, dissolves, a black gap and an end card. On request also everything that a brand may be placed on: names on
grass and shirts, boards that stay beside those that change, a sponsor's caption and an advertisement. The same scenario
always gives the same pictures and truth.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brand_detect.domain.errors import BadInput
from brand_detect.domain.geometry import transformed
from brand_detect.domain.placements import PLACEMENTS, Placement
from brand_detect.evaluation.synthetic.drawing import (
    LOGOS,
    Array,
    Brand,
    Camera,
    Figure,
    Lettering,
    Picture,
    Planes,
    Set,
    Sprite,
    brand_of,
    caption,
    end_card,
    player,
    scoreboard,
    sponsor_wall,
    stadium,
    with_boards,
)

BRANDS = (
    "Eurosport",
    "Heineken",
    "Emirates",
    "Rolex",
    "Hisense",
    "Santander",
    "Visa",
    "Qatar Airways",
    "Coca-Cola",
    "FedEx",
    "Lenovo",
    "Vodafone",
)
UNLISTED = ("Zymvora",)  # an invented name that is in no catalogue

LEGIBLE_HEIGHT_PX = 12.0
LEGIBLE_PITCH_PX = 4.5
LEGIBLE_CLEAR = 0.75
LEGIBLE_VISIBLE = 0.55
LEGIBLE_SMEAR = 0.65
LEGIBLE_MIX = 0.25
LEGIBLE_RULE = (
    f"lettering, outlines included, at least {LEGIBLE_HEIGHT_PX:g} px high and {LEGIBLE_PITCH_PX:g} px wide a letter "
    f"(a logo: {2 * LEGIBLE_PITCH_PX:g}), at least {LEGIBLE_CLEAR:.0%} of it within the "
    f"picture and clear of the scoreboard, {LEGIBLE_VISIBLE:.0%} of it not covered by players either, smeared by "
    f"motion over at most {LEGIBLE_SMEAR:g} of a letter's width, at least {LEGIBLE_MIX:.0%} of the mix in a dissolve"
)
"""When lettering counts as legible, judged by eye on frames at full size. Legible were 24 of 24 condensed names at 4.5
to 6 px a letter and at least 18 px high, 8 of 8 blurred over 0.5 to 0.65 of a letter (beyond that, letters merge),
24 of 24 at 25 to 50 % in a dissolve, and 11 of 12 that players cover by 25 to 45 %. Of 12 that the picture's edge
cuts by as much, none was: Fed, EMIRA, ANDER."""

GLANCE_S = 0.25  # a viewer misses shorter breaks and flashes, and a hand label would omit them
CLEAR_S = 1.0  # a brand legible for this long must be found; a shorter one is a bonus
COLUMNS = (
    *("frame", "brand", "x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4", "visible", "legible"),
    *("placement", "place"),
)

_CYCLE = (("wide", 5.0), ("close", 3.5), ("corner", 4.0), ("whip", 3.0), ("wall", 4.5))
_PLACED_CYCLE = (("wide", 5.0), ("high", 4.0), ("follow", 4.0), ("corner", 4.0), ("wall", 3.0))
_ENDING = (("black", 0.8), ("card", 3.2))
_CYCLE_S, _ENDING_S = 20.0, 4.0
_LED_S = 2.5  # interval at which the touchline boards change
_LED_STATES = 3
_SHUTTER = 0.35  # share of a frame's time that the shutter is open
_FIRST_CLOCK_S = 37 * 60 + 12


Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom, px."""


@dataclass(frozen=True)
class Scenario:
    """What to generate. The whole clip is shown ``repeats`` times; repeats are copied, not drawn again."""

    seconds: float = 24.0
    width_px: int = 1280
    height_px: int = 720
    fps: int = 25
    seed: int = 0
    brands: tuple[str, ...] = BRANDS  # the first owns the channel, the second the end card
    unlisted: tuple[str, ...] = UNLISTED  # also shown on boards, but in no catalogue
    logos: tuple[str, ...] = ()  # names in LOGOS, also shown on boards, without text
    boards: int = 15  # along the touchline; more are narrower and harder to read
    players: int = 14
    repeats: int = 1
    placements: bool = False  # also names on grass and shirts, boards that stay, a caption and an advertisement

    def __post_init__(self) -> None:
        if self.width_px % 2 or self.height_px % 2 or min(self.width_px, self.height_px) < 64:
            raise BadInput(
                f"A sample of {self.width_px}x{self.height_px} px cannot be made.", "use even sides of 64 px or more"
            )
        if self.seconds * self.fps < 25 or self.repeats < 1:
            raise BadInput("A sample has at least 25 frames and is shown at least once.")
        if len(self.brands) < 3 or self.boards < 1:
            raise BadInput("A sample shows at least three brands on at least one board.")
        if unknown := set(self.logos) - LOGOS.keys():
            raise BadInput(f"There is no logo {min(unknown)}.", f"logos: {', '.join(LOGOS)}")

    @property
    def shown(self) -> tuple[str, ...]:
        """Every name, in the order of the truth's."""
        return *self.brands, *self.unlisted, *self.logos

    @property
    def frames(self) -> int:
        """Number of frames drawn; the file has ``repeats`` times as many."""
        return round(self.seconds * self.fps)


@dataclass(frozen=True)
class Shot:
    """Consecutive frames of one kind. Its first ``dissolve`` frames are mixed with the previous shot."""

    kind: str  # wide | high | close | follow | corner | whip | wall | black | card | spot
    start: int
    frames: int
    number: int
    dissolve: int = 0


def plan(scenario: Scenario) -> list[Shot]:
    """The shots in order. Cycles of live shots and a press room, then a black gap and the end card."""
    cycles = max(1, round((scenario.seconds - _ENDING_S) / _CYCLE_S))
    if scenario.placements:
        listed = [*(_PLACED_CYCLE * cycles), ("spot", 3.0), *_ENDING]
    else:
        listed = [*(_CYCLE * cycles), *_ENDING]
    ends = np.cumsum([seconds for _, seconds in listed])
    ends = np.round(ends / ends[-1] * scenario.frames).astype(int)
    shots: list[Shot] = []
    for number, ((kind, _), start, end) in enumerate(zip(listed, [0, *ends[:-1]], ends, strict=True)):
        dissolve = min(round(0.4 * scenario.fps), int(end - start) // 4) if kind == "corner" else 0
        shots.append(Shot(kind, int(start), int(end - start), number, dissolve))
    return shots


@dataclass(frozen=True)
class Box:
    """Lettering on a frame: corners in px, shape (4, 2), visible share, whether it is legible, and what carries it."""

    brand: str
    quad: Array
    visible: float
    legible: bool
    placement: Placement = Placement.board
    place: int = -1


def draw(scenario: Scenario) -> Iterator[tuple[Planes, list[Box]]]:
    """Yields each frame's picture and lettering."""
    studio = _Studio(scenario)
    shots = plan(scenario)
    for shot in shots:
        for k in range(shot.frames):
            picture, boxes = studio.frame(shot, k)
            if k < shot.dissolve:
                share = (k + 1) / (shot.dissolve + 1)
                before = shots[shot.number - 1]
                under, fading = studio.frame(before, before.frames + k)
                picture = under.mix(picture, share)
                boxes = [_faded(b, share) for b in boxes] + [_faded(b, 1 - share) for b in fading]
            yield picture, boxes


def _faded(box: Box, share: float) -> Box:
    return replace(box, visible=box.visible * share, legible=box.legible and share >= LEGIBLE_MIX)


def _grid(columns: int, rows: int) -> Array:
    """Weights of a quadrilateral's corners, shape (columns * rows, 4), that give points spread evenly over it."""
    a, d = (g.ravel() for g in np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows))
    return np.stack([(1 - a) * (1 - d), a * (1 - d), a * d, (1 - a) * d], axis=1)


_GRID = _grid(20, 4)


class _Studio:
    """Draws the frames of a scenario's shots; caches the few sets that they share."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.size = (scenario.width_px, scenario.height_px)
        rng = np.random.default_rng(scenario.seed)
        self.brands = [brand_of(n, i, rng) for i, n in enumerate(scenario.shown)]
        self.set_of = lru_cache(maxsize=3 * _LED_STATES + 2)(self._set_of)
        self.background = lru_cache(maxsize=3)(self._background)
        self.bug = lru_cache(maxsize=2)(self._bug)
        self.figure = lru_cache(maxsize=512)(player)
        self.caption = lru_cache(maxsize=8)(lambda brand: caption(self.size, brand))

    def frame(self, shot: Shot, k: int) -> tuple[Planes, list[Box]]:
        """The ``k``-th picture of ``shot`` and its lettering; ``k`` may be beyond the shot's end."""
        if shot.kind == "black":
            return self._black.copy(), []
        now = self.set_of(shot.kind, self._led(shot, k))
        players: list[Rectangle] = []
        shirts: list[tuple[Lettering, int]] = []
        smear = np.zeros(2)
        if now.camera is None:
            picture, homography = now.planes.copy(), np.eye(3)
            if shot.kind == "spot":
                self._advertise(picture, shot, k)
        else:
            camera = self._camera(shot, k)
            back = np.linalg.inv(now.camera.matrix)
            homography = camera.matrix @ back
            following = self._camera(shot, k + 1).matrix @ back
            middle = np.array([[self.size[0] / 2, self.size[1] / 2]])
            smear = _SHUTTER * (transformed(middle, following @ np.linalg.inv(homography)) - middle)[0]
            picture = now.planes.warp(homography, self.size)
            followed = shot.kind == "follow"  # the camera keeps the players sharp
            picture = picture.blur(*smear) if followed else picture
            players, shirts = self._play(picture, camera, shot, k)
            picture = picture if followed else picture.blur(*smear)
        texts = [replace(t, quad=transformed(t.quad, homography)) for t in now.texts]
        smear_px = float(np.abs(smear).max())
        laid_over: list[Rectangle] = []
        boxes: list[Box | None] = []
        if shot.kind not in ("card", "spot"):
            for rectangle, name in self._overlays(picture, shot, k):
                laid_over.append(rectangle)
                boxes.append(self._box(name, [], [], 0.0))
        boxes += [self._box(t, laid_over, players, smear_px) for t in texts]
        boxes += [self._box(t, laid_over, players[behind:], 0.0) for t, behind in shirts]
        return picture, [box for box in boxes if box]

    def _overlays(self, picture: Planes, shot: Shot, k: int) -> Iterator[tuple[Rectangle, Lettering]]:
        """Draws scoreboard and caption on the picture; yields the rectangle and the lettering of each."""
        sprite, name = self.bug(_FIRST_CLOCK_S + (shot.start + (0 if shot.kind == "wall" else k)) // self.scenario.fps)
        yield self._laid(picture, sprite, name, 0.04, 0.06)
        if self.scenario.placements and shot.kind in ("wide", "follow"):
            sprite, name = self.caption(self._turned(2 + shot.number))
            yield self._laid(picture, sprite, name, 0.68 if shot.kind == "wide" else 0.06, 0.86)

    def _laid(
        self, picture: Planes, sprite: Sprite, name: Lettering, left: float, top: float
    ) -> tuple[Rectangle, Lettering]:
        x, y = round(left * self.size[0]) // 2 * 2, round(top * self.size[1]) // 2 * 2
        picture.lay(sprite, x, y)
        rectangle = (x, y, x + sprite.size[0], y + sprite.size[1])
        return rectangle, replace(name, quad=name.quad + np.array([x, y]))

    def _advertise(self, picture: Planes, shot: Shot, k: int) -> None:
        """Bottles that pass below the brand of an advertisement."""
        share, (width, height) = k / max(1, shot.frames), self.size
        for i in range(4):
            sprite = self.figure((30 + 50 * i, 60, 200 - 40 * i), (240, 240, 240), height // 3, 0.0).sprite
            picture.lay(sprite, width * ((0.3 * i + 0.8 * share) % 1.2 - 0.1), 0.62 * height)

    def _led(self, shot: Shot, k: int) -> int:
        if shot.kind not in ("wide", "whip", "close", "corner", "high", "follow"):
            return 0
        return (shot.number + int(k / self.scenario.fps / _LED_S)) % _LED_STATES

    @cached_property
    def _black(self) -> Planes:
        return Planes.of(np.zeros((self.size[1], self.size[0], 3), np.uint8))

    def _bug(self, clock_s: int) -> tuple[Sprite, Lettering]:
        return scoreboard(self.size, clock_s, self.brands[0])

    @property
    def _on_wall(self) -> list[Brand]:
        logos = [b for b in self.brands if b.style.logo]
        return [*self.brands[2 : 9 - len(logos[:4])], *logos[:4]]

    def _background(self, camera: Camera) -> Picture:
        return stadium(camera, np.random.default_rng(self.scenario.seed + 1))

    def _set_of(self, kind: str, led: int) -> Set:
        if kind == "wall":
            return sponsor_wall(self.size, self._on_wall, np.random.default_rng(self.scenario.seed + 2))
        if kind in ("card", "spot"):
            return end_card(self.size, self.brands[1] if kind == "card" else self._turned(3))
        camera = self._wide_camera(kind)
        shown = self.brands[1:]
        # Every second board stays where placements are wanted; else all change.
        lit = [not self.scenario.placements or i % 2 == 0 for i in range(self.scenario.boards + 8)]
        row = [shown[(5 * led * lit[i] + i) % len(shown)] for i in range(self.scenario.boards)]
        goal_row = [shown[(5 * led * lit[i + self.scenario.boards] + 7 + i) % len(shown)] for i in range(8)]
        grass: list[tuple[Brand, float, float, float]] = []
        if self.scenario.placements and kind in ("wide", "high"):  # a low camera wants letters that are stretched
            places = (
                ((-16.0, 50.0, 2.5), (16.0, 50.0, 2.5)) if kind == "wide" else ((-14.0, 22.0, 1.0), (14.0, 36.0, 1.0))
            )
            grass = [(self._turned(len(kind) + 2 * i), *place) for i, place in enumerate(places)]
        return with_boards(self.background(camera), camera, row, goal_row, lit, grass)

    def _turned(self, number: int) -> Brand:
        """One of the listed brands but the channel's, another with another seed."""
        listed = self.brands[1 : len(self.scenario.brands)]
        return listed[(number + 3 * self.scenario.seed) % len(listed)]

    def _wide_camera(self, kind: str) -> Camera:
        """A camera whose view contains all views of the moving camera in a shot of ``kind``."""
        width, height = self.size
        if kind == "corner":
            return Camera((-6, 44, 4.5), (54, 66, 1.5), 1.65 * width, (_even(1.75 * width), _even(1.5 * height)))
        if kind == "close":
            return Camera((0, 54, 1.9), (0, 72, 1.7), 1.5 * width, (_even(2.5 * width), _even(1.4 * height)))
        if kind == "high":
            return Camera((0, -40, 34), (0, 32, 0), 1.5 * width, (_even(1.8 * width), _even(1.5 * height)))
        if kind == "follow":
            return Camera((0, 58, 1.7), (0, 72, 1.4), 2.0 * width, (_even(2.9 * width), _even(1.4 * height)))
        return Camera((0, -32, 14), (0, 64, 1.5), 3.0 * width, (_even(2.4 * width), _even(1.5 * height)))

    def _camera(self, shot: Shot, k: int) -> Camera:
        wide = self._wide_camera(shot.kind)
        share = k / max(1, shot.frames)
        eased = share * share * (3 - 2 * min(share, 1.5))
        turn = 1 if shot.number % 2 else -1
        t_s = k / self.scenario.fps
        drift = 0.05 * np.sin(1.7 * t_s + shot.number), 0.04 * np.sin(2.3 * t_s)
        x, y, z = wide.target
        zoom = 1.0
        if shot.kind == "wide":
            x, zoom = turn * (2 * eased - 1) * 13, 0.95 + 0.1 * eased
        elif shot.kind == "whip":
            late = np.clip((share - 0.4) / 0.2, 0, 1)
            x = -turn * (2 * late * late * (3 - 2 * late) - 1) * 17
        elif shot.kind == "close":
            x = turn * (2 * eased - 1) * 5
        elif shot.kind == "high":
            x, zoom = turn * (2 * eased - 1) * 9, 0.95 + 0.1 * eased
        elif shot.kind == "follow":
            x = turn * ((2 * share - 1) * 3 + 0.25 * np.sin(3.1 * t_s))
        else:
            y, zoom = y + turn * (2 * eased - 1) * 9, 0.92 + 0.1 * eased
        return Camera(wide.place, (x + drift[0], y, z + drift[1]), wide.focal_px * zoom, self.size)

    def _play(
        self, picture: Planes, camera: Camera, shot: Shot, k: int
    ) -> tuple[list[Rectangle], list[tuple[Lettering, int]]]:
        """Draws the players, far ones first; returns the boxes that they cover, and the lettering on their shirts, each
        with the number of boxes that are not in front of it."""
        count = 2 if shot.kind in ("close", "follow") else self.scenario.players
        rng = np.random.default_rng((self.scenario.seed, shot.number))
        base = rng.uniform((-26, 34), (26, 66), (count, 2))
        speed = rng.uniform(-3.5, 3.5, (count, 2)) * (1, 0.4)
        if shot.kind == "close":
            base = np.array([(-7.0, 68.5), (-10.5, 67.6)])
            speed = np.array([(4.6, -0.1), (4.9, 0.1)])
        elif shot.kind == "follow":  # the camera pans with the first; the second comes towards it
            turn, seconds = (1 if shot.number % 2 else -1), shot.frames / self.scenario.fps
            base = np.array([(turn * -1.5, 65.3), (turn * 2.4, 66.0)])
            speed = np.array([(turn * 3.0 / seconds, 0.0), (turn * -4.0 / seconds, 0.0)])
        elif shot.kind == "corner":
            base = base * (0.4, 1.0) + (32, -2)
        t_s = k / self.scenario.fps
        places = base + speed * t_s
        covered: list[Rectangle] = []
        shirts: list[tuple[Lettering, int]] = []
        for i in np.argsort(-places[:, 1]):
            x, y = places[i]
            feet, head = camera.project([(x, y, 0.0), (x, y, 1.82)])
            tall = int(feet[1] - head[1]) // 4 * 4
            if tall < 8 or not -tall < feet[0] < self.size[0] + tall:
                continue
            stride = np.round(4 * np.sin(9 * t_s + 1.3 * i)) / 4
            team = (((40, 40, 175), (235, 235, 235)), ((235, 235, 235), (110, 50, 20)))[i % 2]
            named = self._turned(7 + int(i) + shot.number) if shot.kind == "follow" else None
            figure: Figure = self.figure(*team, tall, float(stride), named)
            sprite = figure.sprite
            place = feet[0] - sprite.size[0] / 2, feet[1] - sprite.size[1]
            picture.lay(sprite, *place)
            covered.append((feet[0] - 0.16 * tall, head[1], feet[0] + 0.16 * tall, feet[1]))
            if figure.name:
                at = 2 * np.round(np.array(place) / 2)  # as ``lay`` rounds
                shirts.append((replace(figure.name, quad=figure.name.quad + at), len(covered)))
        return covered, shirts

    def _box(
        self, text: Lettering, laid_over: Sequence[Rectangle], players: Sequence[Rectangle], smear_px: float
    ) -> Box | None:
        visible = self._visible(text.quad, [*laid_over, *players])
        if visible <= 0.05:
            return None
        sides = np.linalg.norm(np.roll(text.quad, -1, axis=0) - text.quad, axis=1)
        high, pitch = (sides[1] + sides[3]) / 2, (sides[0] + sides[2]) / 2 / text.letters
        legible = (
            high >= LEGIBLE_HEIGHT_PX
            and pitch >= LEGIBLE_PITCH_PX
            and visible >= LEGIBLE_VISIBLE
            and self._visible(text.quad, laid_over) >= LEGIBLE_CLEAR
            and smear_px <= LEGIBLE_SMEAR * pitch
        )
        return Box(text.brand, text.quad, visible, bool(legible), text.placement, text.place)

    def _visible(self, quad: Array, over: Sequence[Rectangle]) -> float:
        """The share of ``quad`` inside the picture and outside the boxes ``over``, by a grid of 20 x 4 points."""
        (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
        width, height = self.size
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            return 0.0
        near = [o for o in over if o[0] < right and o[2] > left and o[1] < bottom and o[3] > top]
        if not near and left >= 0 and top >= 0 and right <= width and bottom <= height:
            return 1.0
        points = _GRID @ quad
        seen = ((points >= 0) & (points < self.size)).all(axis=1)
        for x0, y0, x1, y1 in near:
            seen &= ~((points >= (x0, y0)) & (points < (x1, y1))).all(axis=1)
        return float(seen.mean())


def _even(number: float) -> int:
    return round(number / 2) * 2


@dataclass(frozen=True)
class Truth:
    """What can be seen and read in a generated clip. ``boxes``, shape (n, 14), has the columns of ``COLUMNS``: the
    frame's number, the brand's index in ``brands``, the lettering's corners in px, the visible share, legible as 0
    or 1, the placement's index in ``PLACEMENTS``, and the place of a board in the stadium or -1."""

    brands: tuple[str, ...]
    unlisted: tuple[str, ...]
    logos: tuple[str, ...]  # those of ``brands`` that are shown without text
    width_px: int
    height_px: int
    fps: int
    duration_s: float
    cuts_s: tuple[float, ...]
    dissolves_s: tuple[tuple[float, float], ...]
    still_s: tuple[tuple[float, float], ...]
    black_s: tuple[tuple[float, float], ...]
    boxes: NDArray[np.float32]

    def legible_s(self, brand: str) -> list[list[float]]:
        """When ``brand`` is legible: [start, end) in seconds, ignoring breaks and flashes that a viewer misses."""
        return self._runs(self.boxes[(self.boxes[:, 1] == self.brands.index(brand)) & (self.boxes[:, 11] > 0)])

    def seen_s(self, brand: str) -> list[list[float]]:
        """When ``brand`` is legible, or at least half of its lettering is in view."""
        seen = (self.boxes[:, 10] >= 0.5) | (self.boxes[:, 11] > 0)
        return self._runs(self.boxes[(self.boxes[:, 1] == self.brands.index(brand)) & seen])

    def _runs(self, boxes: NDArray[np.float32]) -> list[list[float]]:
        frames = np.unique(boxes[:, 0].astype(int))
        if not len(frames):
            return []
        breaks = np.flatnonzero(np.diff(frames) > GLANCE_S * self.fps)
        starts, ends = frames[[0, *(breaks + 1)]], frames[[*breaks, len(frames) - 1]] + 1
        runs = zip((starts / self.fps).tolist(), (ends / self.fps).tolist(), strict=True)
        return [[start, end] for start, end in runs if end - start >= GLANCE_S]

    def labels(self) -> dict[str, Any]:
        """The clip's entry in a label file: ``clear`` and ``hard`` names, including unlisted ones."""
        entry: dict[str, Any] = {
            "size": f"{self.width_px}x{self.height_px}",
            "duration_s": self.duration_s,
            "clear": {},
            "hard": {},
        }
        for brand in self.brands:
            read, seen = self.legible_s(brand), self.seen_s(brand)
            if sum(end - start for start, end in read) >= CLEAR_S:
                entry["clear"][brand] = {"intervals_s": read}
            elif seen:
                entry["hard"][brand] = {"intervals_s": seen}
        return entry

    def to_json(self) -> Iterator[str]:
        """The truth as JSON, in pieces: a header and one line per box."""
        header = asdict(self)
        del header["boxes"]
        header["legible_rule"] = LEGIBLE_RULE
        header["legible_s"] = {brand: self.legible_s(brand) for brand in self.brands}
        header["columns"] = COLUMNS
        yield json.dumps(header, indent=1, ensure_ascii=False)[:-2] + ',\n "boxes": [\n'
        last = len(self.boxes) - 1
        for k, row in enumerate(self.boxes.tolist()):
            corners = ",".join(f"{v:.1f}" for v in row[2:10])
            rest = ",".join(f"{v:.0f}" for v in row[11:])
            yield f"[{row[0]:.0f},{row[1]:.0f},{corners},{row[10]:.2f},{rest}]{',' if k < last else ''}\n"
        yield "]}\n"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Truth":
        """Parses the output of ``to_json``."""
        fields = {k: data[k] for k in cls.__dataclass_fields__ if k != "boxes"}
        spans = ("brands", "unlisted", "logos", "cuts_s", "dissolves_s", "still_s", "black_s")
        fields |= {k: tuple(tuple(v) if isinstance(v, list) else v for v in data[k]) for k in spans}
        boxes = np.array(data["boxes"], np.float32).reshape(len(data["boxes"]), len(COLUMNS))
        return cls(**fields, boxes=boxes)


def truth_path(video: Path) -> Path:
    """Path of a generated clip's truth: ``sample.truth.json`` beside ``sample.mp4``."""
    return video.with_suffix(".truth.json")


def write_sample(video: Path, scenario: Scenario) -> Truth:
    """Draws and encodes ``scenario`` as ``video`` (H.264, yuv420p, MP4), and writes its truth beside it.

    Pictures are drawn and encoded one at a time; only the truth grows with the length, by 56 bytes a box.
    """
    import av

    video.parent.mkdir(parents=True, exist_ok=True)
    names = scenario.shown
    rows: list[NDArray[np.float32]] = []
    once = video if scenario.repeats == 1 else video.with_suffix(".once.mp4")
    with av.open(str(once), "w") as container:
        stream = container.add_stream("libx264", rate=scenario.fps)
        stream.width, stream.height, stream.pix_fmt = scenario.width_px, scenario.height_px, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "22", "g": str(2 * scenario.fps)}
        stream.time_base = Fraction(1, scenario.fps)
        for number, (picture, boxes) in enumerate(draw(scenario)):
            rows.append(
                np.array(
                    [
                        [
                            number,
                            names.index(b.brand),
                            *b.quad.ravel(),
                            b.visible,
                            b.legible,
                            PLACEMENTS.index(b.placement),
                            b.place,
                        ]
                        for b in boxes
                    ],
                    np.float32,
                ).reshape(-1, len(COLUMNS))
            )
            flat = np.concatenate([plane.ravel() for plane in picture.each()]).reshape(-1, scenario.width_px)
            frame = av.VideoFrame.from_ndarray(flat, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if scenario.repeats > 1:
        _repeat(once, video, scenario)
        once.unlink()
    truth = _truth(scenario, np.concatenate(rows))
    with truth_path(video).open("w", encoding="utf-8") as file:
        file.writelines(truth.to_json())
    return truth


def _repeat(once: Path, video: Path, scenario: Scenario) -> None:
    """Copies the packets of ``once`` into ``video``, ``repeats`` times."""
    import av

    with av.open(str(once)) as source, av.open(str(video), "w") as target:
        pictures = source.streams.video[0]
        assert pictures.time_base, "a stream in a file has one"
        stream = target.add_stream_from_template(pictures)
        length = round(scenario.frames / scenario.fps / pictures.time_base)
        for turn in range(scenario.repeats):
            source.seek(0)
            for packet in source.demux(video=0):
                if packet.dts is None or packet.pts is None:
                    continue  # the empty packet that ends the file
                packet.pts += turn * length
                packet.dts += turn * length
                packet.stream = stream
                target.mux(packet)


def _truth(scenario: Scenario, boxes: NDArray[np.float32]) -> Truth:
    shots = plan(scenario)
    frames, fps = scenario.frames, scenario.fps
    turns = range(scenario.repeats)

    def spans(kinds: Sequence[str], dissolve: bool = False) -> tuple[tuple[float, float], ...]:
        return tuple(
            ((turn * frames + s.start) / fps, (turn * frames + s.start + (s.dissolve if dissolve else s.frames)) / fps)
            for turn in turns
            for s in shots
            if (s.dissolve if dissolve else s.kind in kinds)
        )

    shifted = [boxes + np.array([turn * frames, *[0] * (len(COLUMNS) - 1)], np.float32) for turn in turns]
    starts = [turn * frames + s.start for turn in turns for s in shots if not s.dissolve]
    return Truth(
        brands=scenario.shown,
        unlisted=scenario.unlisted,
        logos=scenario.logos,
        width_px=scenario.width_px,
        height_px=scenario.height_px,
        fps=fps,
        duration_s=scenario.repeats * frames / fps,
        cuts_s=tuple(start / fps for start in starts[1:]),
        dissolves_s=spans((), dissolve=True),
        still_s=spans(("wall", "card")),
        black_s=spans(("black",)),
        boxes=np.concatenate(shifted),
    )


def load_truth(path: Path) -> Truth:
    """Reads a truth file.

    Raises:
        BadInput: it is not a truth file.
    """
    try:
        return Truth.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise BadInput(f"{path} is not a truth file: {e}.", "generate the sample again") from e


def sample_once(video: Path, scenario: Scenario) -> Truth:
    """Generates ``video`` unless it exists with the same scenario and rule; returns its truth."""
    note = video.with_suffix(".scenario.json")
    wanted = json.dumps({**asdict(scenario), "legible_rule": LEGIBLE_RULE}, ensure_ascii=False)
    if video.is_file() and note.is_file() and note.read_text(encoding="utf-8") == wanted:
        return load_truth(truth_path(video))
    note.unlink(missing_ok=True)
    truth = write_sample(video, scenario)
    note.write_text(wanted, encoding="utf-8")
    return truth


def demo_clip(folder: Path) -> Path:
    """The clip of ``make demo``: ``sample.mp4`` in ``folder``, with its truth beside it."""
    video = folder / "sample.mp4"
    sample_once(video, Scenario())
    return video
