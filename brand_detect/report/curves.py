"""Curves over the values of one param as a self-contained HTML page: inline SVG, no script, no external requests."""

import math
from dataclasses import dataclass

from brand_detect.report.pages import template

# Size of a chart in drawing units; the page scales it.
WIDTH, HEIGHT = 560.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 22.0, 40.0
X_TICKS, Y_TICKS = 8, 5
"""Limit of ticks per axis."""
LANES = 80
"""Limit of brands with a lane of their own; the page says how many were left out."""


@dataclass(frozen=True)
class Curve:
    """One figure at every value; None if undefined."""

    name: str
    figures: tuple[float | None, ...]


@dataclass(frozen=True)
class Panel:
    """One chart: curves with one unit. ``top`` is the end of its axis; 0 = above the highest figure."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    top: float = 0.0


@dataclass(frozen=True)
class Lane:
    """One brand's seconds at every value."""

    name: str
    seconds: tuple[float, ...]
    unlabelled: bool  # reported, but not in the labels


@dataclass(frozen=True)
class SweepPage:
    """The contents of the page."""

    param: str
    job_id: str
    video: str
    attempt: str
    clip: str  # the labelled clip; "" = no labels
    fixed: tuple[str, ...]
    positions: tuple[float, ...]  # positions of the values on the axis, ascending
    labels: tuple[str, ...]  # texts of the values
    numeric: bool  # the values are ordered, so that lines between them make sense
    in_force: int  # index of the value in force
    panels: tuple[Panel, ...]
    lanes: tuple[Lane, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    timing: str


@dataclass(frozen=True)
class Tick:
    at: float  # in drawing units
    label: str


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    says: str


@dataclass(frozen=True)
class Chart:
    """A panel with computed coordinates."""

    panel: Panel
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    dots: list[list[Dot]]  # per curve
    mark_x: float  # position of the value in force


def render(page: SweepPage) -> str:
    """The page."""
    always = [lane for lane in page.lanes if all(lane.seconds)]
    changing = [lane for lane in page.lanes if not all(lane.seconds)]
    return template("sweep.html").render(
        page=page,
        charts=[_chart(page, panel) for panel in page.panels],
        frame=(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        size=(WIDTH, HEIGHT),
        groups=[("Brands at some values", changing[:LANES]), ("Brands at every value", always[:LANES])],
        n_hidden=max(0, len(changing) - LANES) + max(0, len(always) - LANES),
        longest=max((max(lane.seconds) for lane in page.lanes), default=0.0),
    )


def _chart(page: SweepPage, panel: Panel) -> Chart:
    first, last = page.positions[0], page.positions[-1]
    margin = 0.03 * (last - first) or max(0.5, 0.03 * abs(first)) if page.numeric else 0.5
    low, high = first - margin, last + margin
    top = panel.top or max((f for c in panel.curves for f in c.figures if f is not None), default=0.0)
    steps = ticks(0.0, top, Y_TICKS, whole=panel.unit != "s")
    top = max(top, steps[-1])

    def x(value: float) -> float:
        return round(LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(figure: float) -> float:
        return round(HEIGHT - BOTTOM - figure / top * (HEIGHT - TOP - BOTTOM), 1)

    def dots(curve: Curve) -> list[Dot]:
        dots = zip(page.positions, page.labels, curve.figures, strict=True)
        return [Dot(x(at), y(f), f"{label}: {f:.6g} {panel.unit}") for at, label, f in dots if f is not None]

    if page.numeric:
        x_ticks = [Tick(x(at), f"{at:g}") for at in ticks(low, high, X_TICKS) if low <= at <= high]
    else:
        x_ticks = [Tick(x(at), label) for at, label in zip(page.positions, page.labels, strict=True)]
    return Chart(
        panel=panel,
        x_ticks=x_ticks,
        y_ticks=[Tick(y(at), f"{at:g}") for at in steps],
        dots=[dots(curve) for curve in panel.curves],
        mark_x=x(page.positions[page.in_force]),
    )


def ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """2 to ``most`` + 1 round numbers, from about ``low`` to about ``high``, neither of them below."""
    least = (high - low) / most or 1.0
    size = 10.0 ** math.floor(math.log10(least))
    step = next(size * k for k in (1, 2, 5, 10) if size * k >= least * (1 - 1e-9))
    step = max(1.0, step) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, max(last, first + 1) + 1)]
