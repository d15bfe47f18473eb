"""A job's history that grows run by run as the pipeline grows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from brand_detect.domain.contracts import effective
from brand_detect.domain.history import Attempt, History, StageState
from brand_detect.domain.job import Overrides
from brand_detect.domain.pipeline import CATALOG, LINE, ROOT, STAGES, downstream_of, upstream_of
from brand_detect.domain.recipe import recipe_of

READS = {
    "extract_frames": (ROOT,),
    "filter_scenes": ("extract_frames",),
    "detect_objects": ("extract_frames", "filter_scenes"),
    "run_ocr": ("extract_frames", "detect_objects"),
    "match_brands": ("filter_scenes", "detect_objects", "run_ocr"),
    "escalate_vlm": ("extract_frames", "detect_objects", "match_brands"),
    "escalate_cloud": ("extract_frames", "detect_objects", "escalate_vlm"),
    "compile_report": (ROOT, "extract_frames", "filter_scenes", "detect_objects", "escalate_cloud"),
}


def made_by(attempt: Attempt, **changes: Any) -> Attempt:
    """``attempt`` with ``changes`` to what it was made by, and the recipe that comes of it."""
    changed = replace(attempt, **changes)
    recipe = recipe_of(changed.stage, changed.code_version, changed.params, changed.input_versions)
    return replace(changed, recipe=recipe)


@dataclass
class Job:
    """A job's attempts, newest first. Equal recipes make equal data, as long as nothing is said of it."""

    catalog: str = "list 1"
    code: dict[str, str] = field(default_factory=lambda: dict.fromkeys(LINE, "1"))
    profiles: dict[str, Overrides] = field(default_factory=dict)
    made: dict[str, list[Attempt]] = field(default_factory=lambda: {stage: [] for stage in LINE})

    def submit(self, run: str, overrides: Overrides | None = None, profile: str = "default") -> dict[str, Attempt]:
        """A whole run; ``overrides`` are the job's own."""
        params = {"video_uri": "match.mp4", "profile": profile, "overrides": overrides or {}}
        return self._run(run, LINE, {}, {}, {ROOT: {"params": params, "data_version": "video"}})

    def replay(
        self,
        run: str,
        start: str,
        overrides: Overrides | None = None,
        *,
        of: Mapping[str, Attempt] | None = None,
        until: str = STAGES[-1],
        **changes: dict[str, Any],
    ) -> dict[str, Attempt]:
        """Stages from ``start`` on, on the attempts ``of`` an earlier run, else on the latest; the line it made.

        ``changes`` to fields of attempts are given by stage; the run ends with the stage ``until``.
        """
        nearest = upstream_of(start)[-1]
        parent = of[nearest] if of else self.made[nearest][0]
        stages = [s for s in downstream_of(start) if s not in downstream_of(until)[1:]]
        return self._run(run, stages, self.history.line_of(parent), overrides or {}, changes)

    def _run(
        self,
        run: str,
        stages: tuple[str, ...] | list[str],
        above: Mapping[str, Attempt],
        overrides: Overrides,
        changes: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Attempt]:
        line = dict(above)
        catalog = next((a.upstream[CATALOG] for a in above.values() if CATALOG in a.upstream), self.catalog)
        for stage in stages:
            listed = {CATALOG: catalog} if stage in downstream_of("match_brands") else {}
            attempt = Attempt(
                stage=stage,
                attempt=f"{run}-0",
                run_id=run,
                created_s=float(sum(map(len, self.made.values()))),
                uri="",
                params={},
                overrides=overrides.get(stage, {}),
                upstream={s: a.attempt for s, a in line.items()} | listed,
                input_versions={s: line[s].data_version for s in READS.get(stage, ())} | listed,
                code_version=self.code[stage],
                data_version="",
                stage_s=1.0,
            )
            if stage in STAGES:
                request = line[ROOT].params
                profile = self.profiles.get(request["profile"], {})
                layers = (profile, request["overrides"], overrides)
                params = effective(stage, *(layer.get(stage, {}) for layer in layers)).model_dump(mode="json")
                attempt = made_by(replace(attempt, params=params))
                attempt = replace(attempt, data_version=f"data of {attempt.recipe}")
            line[stage] = replace(attempt, **changes.get(stage, {}))
            self.made[stage].insert(0, line[stage])
        return line

    @property
    def history(self) -> History:
        stages = {s: StageState(s, tuple(self.made[s]), code_version=self.code[s]) for s in LINE}
        return History("match", stages, self.catalog, self.profiles)
