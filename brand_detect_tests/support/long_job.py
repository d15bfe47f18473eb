"""A job as long as several: what a replay of hours costs, without decoding and reading hours.

``python -m brand_detect_tests.support.long_job JOB TIMES`` stores the job JOB-xTIMES: the newest checkpoints of JOB up
to ``run_ocr``, TIMES over. Then ``brand-detect store rebuild`` tells Dagster, and ``brand-detect bench replay
JOB-xTIMES`` measures. Tracks and regions have new ids in every repetition; what they show and read is the same again.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from operator import add
from typing import Any

import pyarrow as pa

from brand_detect.domain.contracts.extract_frames import ExtractedFrames
from brand_detect.domain.job import JobRequest
from brand_detect.domain.pipeline import LINE, Stage
from brand_detect.domain.settings import Settings
from brand_detect.storage.attempts import AttemptRef, AttemptWriter
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.store import Store

LONG = LINE[: LINE.index(Stage.match_brands)]
KEPT = ("code_version", "params", "overrides", "engines", "stage_s", "checks")
IDS = ("track_id", "region_id", "read_in")
FRAMES = ("frame", "keyframe", "repeats")
SECONDS = ("t_s", "start_s", "end_s")


def main(job_id: str, times: int) -> None:
    store = Store(Settings().store_root)
    newest = {stage: store.attempts(job_id, stage)[-1] for stage in LONG}
    values: dict[str, Any] = {s: store.load(AttemptRef(job_id, s, m.attempt)) for s, m in newest.items()}
    frames, scenes = values[Stage.extract_frames], values[Stage.filter_scenes]
    each = frames.frames.num_rows, scenes.shots.num_rows, frames.end_s - frames.start_s
    made: dict[str, Manifest] = {}
    for stage, manifest in newest.items():
        writer, value = store.begin(AttemptRef(f"{job_id}-x{times}", stage, "repeated-0")), values[stage]
        if isinstance(value, JobRequest):
            value = value.model_copy(update={"job_id": writer.ref.job_id})
        else:
            value = replace(value, **{name: repeated(t, times, *each) for name, t in value.tables().items()})
        if isinstance(value, ExtractedFrames):
            value = replace(_with_pictures(value, store, manifest, writer), end_s=value.start_s + times * each[2])
        made[stage] = writer.commit(
            value,
            run_id="repeated",
            upstream={s: m.attempt for s, m in made.items()},
            input_versions={s: made[s].data_version for s in manifest.input_versions if s in made},
            **{name: getattr(manifest, name) for name in KEPT},
        )
        print(f"{writer.ref}: {made[stage].counts}", file=sys.stderr)


def repeated(table: pa.Table, times: int, frames: int, shots: int, seconds: float) -> pa.Table:
    """``table`` so many times, each so many frames, shots and seconds after the one before."""
    parts = []
    for n in range(times):
        later = {**dict.fromkeys(FRAMES, n * frames), **dict.fromkeys(SECONDS, n * seconds), "shot": n * shots}
        changes: dict[str, Callable[[Any], Any]] = {c: partial(add, by) for c, by in later.items()}
        changes |= {"seen_on": lambda views, by=n * frames: [v + by for v in views]}
        changes |= dict.fromkeys(IDS, lambda name, n=n: f"{name}-{n}")
        columns = [
            pa.array([v if v is None else changes[f.name](v) for v in table[f.name].to_pylist()], f.type)
            if n and f.name in changes
            else table[f.name]
            for f in table.schema
        ]
        parts.append(pa.table(columns, schema=table.schema))
    return pa.concat_tables(parts)


def _with_pictures(frames: ExtractedFrames, store: Store, of: Manifest, writer: AttemptWriter) -> ExtractedFrames:
    """Writes the pictures of ``frames``, which are those of the attempt ``of``."""
    ref, places = AttemptRef(of.job_id, of.stage, of.attempt), []
    for row in frames.frames.select(["t_s", "shard", "offset", "size_bytes"]).to_pylist():
        data = store.read_part(ref, row["shard"], row["offset"], row["offset"] + row["size_bytes"])
        places.append(vars(writer.append(row["t_s"], data)))
    columns = frames.frames.schema.names
    written = pa.Table.from_pylist(places)
    return replace(
        frames,
        frames=pa.table(
            [(written if c in written.column_names else frames.frames)[c] for c in columns], names=columns
        ).cast(frames.frames.schema),
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
