"""Scores of many clips with one catalogue: totals, recall with its interval, tables, and JSON that can be compared."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from rich.markup import escape
from rich.table import Table

from brand_detect.domain.errors import BadInput
from brand_detect.evaluation.scoring.labels import Kind
from brand_detect.evaluation.scoring.score import BrandScore, ClipScore, LeftOut, totals

RESAMPLES, SEED = 2_000, 0
PERCENTILES = (2.5, 97.5)

HOW_COUNTED = (
    "false: the labels say that it is not there; unlisted: they do not say. Precision counts both as wrong, so it is a "
    "lower bound."
)


@dataclass(frozen=True)
class Evaluation:
    """The scores of the labelled clips with one catalogue."""

    catalog: str  # as it was named
    catalog_version: str
    catalog_brands: int
    profile: str
    half: str  # of the clips; "" for all
    clips: tuple[ClipScore, ...]
    left_out: tuple[LeftOut, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values, with what follows from the scores."""
        counted = {
            **asdict(totals(self.clips)),
            "false": sum(len(clip.false) for clip in self.clips),
            "unlisted": sum(len(clip.unlisted) for clip in self.clips),
        }
        recalls = {kind.value: asdict(Recall.of_kind(self.clips, kind)) for kind in Kind}
        return asdict(self) | {"totals": counted, "recall": recalls}


_EVALUATIONS = TypeAdapter(list[Evaluation])


def load_evaluations(path: Path) -> list[Evaluation]:
    """The output of ``evaluate clips --json`` in a file.

    Raises:
        BadInput: the file is missing or something else.
    """
    try:
        return _EVALUATIONS.validate_json(path.read_bytes())
    except OSError as e:
        raise BadInput(f"{path} cannot be read: {e.strerror}.", "check the path") from e
    except ValidationError as e:
        raise BadInput(
            f"{path} is not the output of evaluate clips --json.", "an earlier version's output has to be made again"
        ) from e


def recalls(clips: Sequence[ClipScore], kind: Kind) -> NDArray[np.float64]:
    """Recall in ``RESAMPLES`` draws of as many clips, with replacement; NaN where a draw has no label of ``kind``.

    Lists of equally many clips are drawn alike, so that two runs over the same clips can be subtracted.
    """
    found, wanted = _counts(clips, kind)
    drawn = np.random.default_rng(SEED).integers(len(clips), size=(RESAMPLES, len(clips)))
    with np.errstate(invalid="ignore"):
        return found[drawn].sum(axis=1) / wanted[drawn].sum(axis=1)


def _counts(clips: Sequence[ClipScore], kind: Kind) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels of ``kind`` found in each clip, and all of them."""
    rows = [(sum(brand.found for brand in own), len(own)) for own in (clip.of_kind(kind) for clip in clips)]
    found, wanted = np.array(rows, np.int64).reshape(-1, 2).T
    return found, wanted


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of ``draws``."""
    low, high = np.nanpercentile(draws, PERCENTILES)
    return float(low), float(high)


@dataclass(frozen=True)
class Recall:
    """The share of labels found, with its bootstrap interval over clips, if at least two clips have such labels."""

    found: int
    labels: int
    low: float | None = None
    high: float | None = None

    @classmethod
    def of_kind(cls, clips: Sequence[ClipScore], kind: Kind) -> "Recall":
        found, wanted = _counts(clips, kind)
        bounds = interval(recalls(clips, kind)) if np.count_nonzero(wanted) > 1 else (None, None)
        return cls(int(found.sum()), int(wanted.sum()), *bounds)

    @property
    def share(self) -> float:
        return self.found / self.labels if self.labels else 1.0

    def __str__(self) -> str:
        """Such as ``17 of 20, 85 % (70–100)``; empty without labels."""
        if not self.labels:
            return ""
        bounds = "" if self.low is None or self.high is None else f" ({100 * self.low:.0f}–{100 * self.high:.0f})"
        return f"{self.found} of {self.labels}, {100 * self.share:.0f} %{bounds}"


def tables(evaluations: Sequence[Evaluation]) -> Iterator[Table]:
    """All tables: each catalogue's clips, removed brands and brands without a label, then the totals."""
    for evaluation in evaluations:
        for clip in evaluation.clips:
            yield seconds_table(clip, evaluation.catalog if len(evaluations) > 1 else "")
        if evaluation.left_out:
            yield left_out_table(evaluation.left_out)
        if any(clip.unlabelled for clip in evaluation.clips):
            yield unlabelled_table(evaluation)
    yield totals_table(evaluations)


def seconds_table(score: ClipScore, catalog: str = "") -> Table:
    """One clip's brands: labelled and reported seconds, the error, and the causes of missing seconds."""
    title = f"{score.clip} ({score.duration_s:.1f} s)" + (f", {catalog}" if catalog else "")
    table = Table(title=escape(title), caption=escape(score.note) or None)
    for name in ("brand", "label", "result"):
        table.add_column(name)
    for name in ("labelled s", "reported s", "error %"):
        table.add_column(name, justify="right")
    table.add_column("seconds lost, or the evidence of a brand without a label", overflow="fold")
    for b in score.brands:
        result = "found" if b.found else "missed" if b.in_catalog else f"missed, {b.lacks}"
        seconds = (f"{b.labelled_s:.1f}", f"{b.reported_s:.1f}", f"{b.error:+.0%}" if b.found else "")
        lost = "\n".join(f"{x.seconds:.1f} s {x.where}: {x.detail}" for x in b.losses)
        _add(table, b.brand, b.kind, result, *seconds, lost)
    for result, others in (("unlisted", score.unlisted), ("false", score.false)):
        for other in others:
            e = other.evidence
            evidence = f"{e.text!r} by {e.rule}, confidence {e.confidence:.2f}, frame {e.frame}"
            _add(table, other.brand, "none", result, "", f"{other.seconds:.1f}", "", evidence)
    for word, is_open in score.unknown_words.items():
        _add(table, word, "not in any catalogue", "unresolved" if is_open else "not listed", "", "", "", "")
    return table


def totals_table(evaluations: Sequence[Evaluation]) -> Table:
    """One line per clip and their sum, in a group of rows for each catalogue."""
    table = Table(
        title="Brands against labels", caption=f"In brackets: 95 % of {RESAMPLES:,} draws of clips. {HOW_COUNTED}"
    )
    table.add_column("clip", overflow="fold")
    for name in (
        "clear found",
        "hard found",
        "logos found",
        "unlisted",
        "false",
        "precision %",
        "mean |error| of s %",
        "with intervals",
    ):
        table.add_column(name, justify="right")
    for evaluation in evaluations:
        clips = evaluation.clips
        table.add_row(f"[bold]{escape(evaluation.catalog)}[/bold], {evaluation.catalog_brands:,} brands")
        for clip in clips if len(clips) > 1 else ():
            _add(table, clip.clip, *(_found(clip.of_kind(kind)) for kind in Kind), *_others([clip]))
        _add(table, "all", *(str(Recall.of_kind(clips, kind)) for kind in Kind), *_others(clips))
        table.add_section()
    return table


def _found(brands: Sequence[BrandScore]) -> str:
    return f"{sum(brand.found for brand in brands)} of {len(brands)}" if brands else ""


def _others(clips: Sequence[ClipScore]) -> tuple[str, ...]:
    """Counts of brands without a label, and the shares, empty where nothing was found."""
    total = totals(clips)
    counts = (sum(len(clip.unlisted) for clip in clips), sum(len(clip.false) for clip in clips))
    precision = f"{total.precision:.0%}" if total.reported else ""
    timed = "" if total.mean_timed_error is None else f"{total.mean_timed_error:.0%}"
    return *map(str, counts), precision, f"{total.mean_error:.0%}" if total.found else "", timed


def unlabelled_table(evaluation: Evaluation) -> Table:
    """Every reported brand without a label, for a look: unlisted ones first."""
    table = Table(title=f"Reported without a label, {escape(evaluation.catalog)}")
    for name in ("clip", "brand", "counted as"):
        table.add_column(name)
    for name in ("seconds", "from s"):
        table.add_column(name, justify="right")
    for name in ("rule", "read text", "crop"):
        table.add_column(name, overflow="fold")
    for counted in ("unlisted", "false"):
        for clip in evaluation.clips:
            for other in getattr(clip, counted):
                e = other.evidence
                seconds = (f"{other.seconds:.1f}", f"{e.start_s:.1f}")
                _add(table, clip.clip, other.brand, counted, *seconds, e.rule, e.text, other.crop)
    return table


def left_out_table(results: Sequence[LeftOut]) -> Table:
    """Each removed brand, and the result for its words."""
    table = Table(title="Each labelled brand removed from the catalogue")
    for name in ("brand", "its tracks", "then unresolved", "taken for", "result"):
        table.add_column(name, justify="right" if "tracks" in name or "then" in name else "left")
    for r in results:
        passed = "passed" if r.passed else "FAILED"
        _add(table, r.brand, str(r.tracks), str(r.open), ", ".join(r.taken_for), passed)
    return table


def _add(table: Table, *cells: str) -> None:
    """A row of ``cells`` as they are: brackets in a read text are no markup."""
    table.add_row(*map(escape, cells))
