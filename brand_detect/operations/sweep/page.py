"""Presents a sweep: the rows of its table, its page of curves, and the time it took."""

from dataclasses import replace

from brand_detect.operations.sweep import Point, Sweep
from brand_detect.operations.sweep.values import Value
from brand_detect.report.curves import Curve, Lane, Panel, SweepPage


def text_of(value: Value) -> str:
    """A value in command-line notation."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def columns(found: Sweep) -> tuple[str, ...]:
    """Column names, short enough for a terminal; ``open`` counts unresolved clusters."""
    names = ("value", "brands", "seconds", "boxes", "open")
    if any(p.unasked for p in found.points):
        names += ("not asked",)
    return (*names, "recall", "precision", "found", "unlabelled", "error") if found.clip else names


def cells(found: Sweep, point: Point) -> tuple[str, ...]:
    """A point's table row, in the order of ``columns``."""
    texts = (text_of(point.value), str(point.brands), f"{point.seconds:.1f}")
    texts += (str(point.detections), str(point.unresolved))
    if any(p.unasked for p in found.points):
        texts += (str(point.unasked),)
    if (t := point.score) is not None:
        right = f"{t.found}/{t.clear}" + (f"+{t.bonus}" if t.bonus else "")
        precision, error = f"{t.precision:.0%}" if point.brands else "-", f"{t.mean_error:.0%}" if t.found else "-"
        texts += (f"{t.recall:.0%}", precision, right, str(t.unlabelled), error)
    return texts


def page_of(found: Sweep) -> SweepPage:
    """The contents of the page."""
    points = found.points
    values = [p.value for p in points]
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    panels = [
        Panel("Brands reported", "brands", (Curve("reported", tuple(float(p.brands) for p in points)),)),
        Panel("Seconds on screen, all brands", "s", (Curve("seconds", tuple(p.seconds for p in points)),)),
    ]
    scores = [p.score for p in points if p.score]
    if scores:
        panels[0] = replace(
            panels[0],
            curves=(*panels[0].curves, Curve("of these unlabelled", tuple(float(s.unlabelled) for s in scores))),
        )
        recall = Curve("recall", tuple(100 * s.recall for s in scores))
        precision = Curve("precision", tuple(100 * p.score.precision if p.brands and p.score else None for p in points))
        panels.append(Panel("Recall and precision", "%", (recall, precision), top=100.0))
    else:
        detections = Curve("detections", tuple(float(p.detections) for p in points))
        panels.append(Panel("Detections", "boxes", (detections,)))
    panels.append(
        Panel("Left unresolved", "clusters", (Curve("unresolved", tuple(float(p.unresolved) for p in points)),))
    )
    unlabelled = {name for p in points for name in p.unlabelled}
    names = {name for p in points for name in p.seconds_of}
    lanes = [Lane(name, tuple(p.seconds_of.get(name, 0.0) for p in points), name in unlabelled) for name in names]
    fixed = [f"{s}.{n} = {text_of(v)}" for s, named in found.fixed.items() for n, v in named.items()]
    return SweepPage(
        param=found.name,
        job_id=found.job_id,
        video=found.video,
        attempt=found.attempt,
        clip=found.clip,
        fixed=tuple(fixed),
        positions=tuple(float(v) for v in values) if numeric else tuple(map(float, range(len(values)))),
        labels=tuple(map(text_of, values)),
        numeric=numeric,
        in_force=values.index(found.in_force),
        panels=tuple(panels),
        lanes=tuple(sorted(lanes, key=lambda lane: (-max(lane.seconds), lane.name))),
        columns=columns(found),
        rows=tuple(cells(found, p) for p in points),
        notes=found.notes,
        timing=timing(found),
    )


def timing(found: Sweep) -> str:
    """Time per value, compared with the same stages in the stored run."""
    return (
        f"{found.per_value_s:.2f} s per value, after {found.load_s:.1f} s for loading the checkpoints once; "
        f"in the stored run the same stages took {found.stored_s:.2f} s, without Dagster and storage"
    )
