"""The pages of the service: all jobs with their progress, submission of videos, and the replay of a job."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from brand_detect.domain.contracts import CONTRACTS
from brand_detect.domain.pipeline import ROOT, STAGES, Stage
from brand_detect.report.pages import template
from brand_detect.report.words import duration

WORDS: Mapping[str, tuple[str, str, str]] = {
    ROOT: ("Open the video", "Opening the video", "Checks the file."),
    Stage.extract_frames: ("Sample frames", "Sampling frames", "Takes still frames, by default two a second."),
    Stage.filter_scenes: ("Find shots", "Finding shots", "Finds the cuts, and frames that show the same."),
    Stage.detect_objects: ("Find text and logos", "Finding text and logos", "Marks where text or a logo may be."),
    Stage.run_ocr: ("Read text", "Reading text", "Reads the text that was found."),
    Stage.match_brands: ("Match brands", "Matching brands", "Compares texts and logos with the brand list."),
    Stage.escalate_vlm: ("Ask a local model", "Asking a local model", "Asks a model of yours about what is left."),
    Stage.escalate_cloud: ("Ask a cloud model", "Asking a cloud model", "Asks a paid model about what is still left."),
    Stage.compile_report: ("Write the report", "Writing the report", "Applies corrections and measures exposures."),
}
"""Per stage: its name as an order, the same while it runs, and what it does."""
UNITS = {"s": "seconds", "px": "pixels", "mb": "MB", "usd": "USD", "frac": "share", "fps": "per second"}
"""Suffixes of params, in words."""
SORTS = (("newest", "Newest first"), ("oldest", "Oldest first"), ("name", "By name"))
STATES = ("running", "queued", "held", "failed", "cancelled", "done", "no report")


@dataclass(frozen=True)
class ParamField:
    """A form field for a param."""

    name: str
    label: str
    unit: str
    description: str
    kind: str
    """``boolean``, ``integer``, ``number``, ``string``, ``choice``, ``lines`` (a list of texts) or ``json``."""
    values: Mapping[str, str]
    """The value that it has in a replay if it is not changed, as the field shows it, by the stage to begin with."""
    value: str
    """That with the chosen stage; with another one if its own stage does not run then."""
    default: str
    choices: tuple[str, ...] = ()
    least: str = ""
    most: str = ""

    @property
    def limits(self) -> str:
        """``0 to 1``, ``at least 1``, or empty."""
        if self.least and self.most:
            return f"{self.least} to {self.most}"
        return f"at least {self.least}" if self.least else f"at most {self.most}" if self.most else ""


def render_home(
    page: Mapping[str, Any],
    asked: Mapping[str, str],
    profiles: Sequence[Mapping[str, str]],
    uploads: Mapping[str, Any],
) -> tuple[str, list[str]]:
    """The list of jobs with the form for new ones, and the page's scripts.

    ``page`` is a page of jobs as ``GET /jobs`` gives it, ``asked`` the search, state and order; ``uploads`` says
    whether files may be uploaded (``on``), their ``suffixes`` and ``max_bytes``.
    """
    script = script_of("home")
    html = template("home.html").render(
        **_context(page, asked), profiles=profiles, uploads=uploads, style=file("home.css"), script=script, sorts=SORTS
    )
    return html, [script]


def render_jobs(page: Mapping[str, Any], asked: Mapping[str, str]) -> str:
    """The list alone, for a page that is open."""
    return template("_jobs.html").render(_context(page, asked))


def render_state(job: Mapping[str, Any], is_active: bool) -> str:
    """The page of a job without a report, which reloads while a run is in progress.

    ``job`` is the answer of ``GET /jobs/{job_id}``.
    """
    return template("state.html").render(_row(job), is_active=is_active)


def render_replay(
    job: Mapping[str, Any], planned: Mapping[str, Mapping[str, Mapping[str, Any]]], start: str
) -> tuple[str, list[str]]:
    """The form for a replay of a job, and the page's scripts.

    ``planned`` holds, by the stage to begin with, the params of each stage that runs; ``start`` is the chosen one.
    """
    begins = list(planned)
    chosen = start if start in begins else Stage.match_brands if Stage.match_brands in begins else begins[-1]
    fields = {
        stage: list(
            _fields(stage, {begin: params[stage] for begin, params in planned.items() if stage in params}, chosen)
        )
        for stage in STAGES
    }
    script = script_of("replay")
    html = template("replay.html").render(
        job=job,
        title=job["video"] or job["job_id"],
        begins=begins,
        chosen=chosen,
        stages=STAGES,
        words=WORDS,
        fields=fields,
        style=file("home.css"),
        script=script,
    )
    return html, [script]


def _context(page: Mapping[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    def address(**changed: Any) -> str:
        """The query of this list with some values replaced; empty ones are left out."""

        query = urlencode(
            {k: v for k, v in {**asked, "page": "", **changed}.items() if v and (k, v) != ("sort", "newest")}
        )
        return f"/?{query}" if query else "/"

    return {
        **page,
        "rows": [_row(job) for job in page["jobs"]],
        "asked": asked,
        "address": address,
        "states": [(s, page["counts"].get(s, 0)) for s in STATES],
        "all_jobs": sum(page["counts"].values()),
    }


def _row(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job in the words of the page."""
    steps = [s for s in job["stages"] if s in STAGES]
    progress, done = job["progress"], sum(s in STAGES for s in job["done"])
    fraction = min(1.0, progress["done"] / progress["total"]) if progress and progress["total"] else 0.0
    return {
        **job,
        "title": job["video"] or job["job_id"],
        "created": datetime.fromtimestamp(job["created_s"], UTC) if job["created_s"] else None,
        "due": datetime.fromtimestamp(job["not_before_s"], UTC) if job["not_before_s"] else None,
        "steps": len(steps),
        "step": min(done + 1, len(steps)),
        "percent": round(100 * (done + fraction) / len(steps)) if steps else 0,
        "doing": WORDS[job["stage"]][1] if job["stage"] in WORDS else "",
        "counted": _counted(progress) if progress else "",
        "length": duration(job["video_s"]) if job["video_s"] else "",
    }


def _counted(progress: Mapping[str, Any]) -> str:
    """``120 of 500 frames, 2.1 a second, about 3 min left in this step``."""
    of = f" of {progress['total']:,.0f}" if progress["total"] else ""
    left = f", about {_rough(progress['left_s'])} left in this step" if progress["left_s"] is not None else ""
    return f"{progress['done']:,.0f}{of} {progress['unit']}, {progress['rate']:.1f} a second{left}"


def _rough(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2 h 05 min``: a forecast has no decimals."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _fields(stage: str, planned: Mapping[str, Mapping[str, Any]], chosen: str) -> Iterator[ParamField]:
    """A field for each param, from the schema of the stage's params, with its values by the stage to begin with."""
    schema = CONTRACTS[stage].params.model_json_schema()
    for name, described in schema["properties"].items():
        if "$ref" in described:
            described = {**schema["$defs"][described["$ref"].rpartition("/")[2]], **described}
        kind = "choice" if "enum" in described else described.get("type", "string")
        if kind in ("array", "object"):
            kind = "lines" if described.get("items", {}).get("type") == "string" else "json"
        words, _, suffix = name.rpartition("_")
        unit = UNITS.get(suffix, "") if words else ""
        label = (words if unit else name).replace("_", " ")
        values = {begin: _shown(params[name], kind) for begin, params in planned.items()}
        default = _shown(described["default"], kind)
        yield ParamField(
            name=name,
            label=f"{label[:1].upper()}{label[1:]}",
            unit=unit,
            description=described.get("description", ""),
            kind=kind,
            values=values,
            value=values.get(chosen, next(iter(values.values()), default)),
            default=default,
            choices=tuple(described.get("enum", ())),
            least=_limit(described, "minimum", "exclusiveMinimum"),
            most=_limit(described, "maximum", "exclusiveMaximum"),
        )


def _limit(described: Mapping[str, Any], *names: str) -> str:
    return next((f"{described[name]:g}" for name in names if name in described), "")


def _shown(value: Any, kind: str) -> str:
    if kind == "lines":
        return "\n".join(value)
    if kind == "json" or isinstance(value, bool):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def script_of(page: str) -> str:
    """The script of one of the service's pages."""
    return '"use strict";\n' + file("script/ask.js") + file(f"{page}.js")


def file(name: str) -> str:
    """A file of this folder: a script or a style sheet."""
    return (resources.files("brand_detect") / "report" / name).read_text(encoding="utf-8")
