"""Stored attempts as tests would have them."""

import hashlib
from pathlib import Path
from typing import Any

from brand_detect.domain.contracts.extract_frames import FRAMES, SIGNALS, ExtractedFrames
from brand_detect.domain.contracts.filter_scenes import SHOTS, TIMELINE, FilteredScenes
from brand_detect.domain.tables import table
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.sealed import seal, unseal
from brand_detect.storage.store import Store

SHOT = {"shot": 0, "start_s": 0.0, "end_s": 2.0, "n_frames": 4, "n_keyframes": 1}
SCENES = FilteredScenes(table(SHOTS, [SHOT]), table(TIMELINE), notes=("a note",), stats={"pictures": 50.0})
REF = AttemptRef("match", "filter_scenes", "run-0")
FACTS: dict[str, Any] = {
    "run_id": "run",
    "code_version": "1",
    "params": {"hamming_threshold": 8},
    "overrides": {},
    "engines": {},
    "upstream": {"extract_frames": "run-0"},
    "input_versions": {"extract_frames": "abc"},
    "stage_s": 0.5,
}
FRAME: dict[str, Any] = {
    "frame": 0,
    "frame_id": "a",
    "t_s": 0.0,
    "width_px": 4,
    "height_px": 4,
    "quality": 90,
    "repeats": None,
    "luma_mean": 1.0,
    "luma_std": 1.0,
    "phash": 1,
    "thumbnail": bytes(36 * 64),
}


def reseal(attempt: Path, /, **facts: Any) -> None:
    """Let the attempt in the folder say ``facts`` of itself, and of its files what they are by now."""
    path = attempt / "manifest.json"
    told = unseal(path.read_bytes()) | facts
    for entry in told["files"]:
        data = (attempt / entry["name"]).read_bytes()
        entry |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_bytes(seal(told))


def stored(store: Store, job_id: str, attempt: str, data: bytes = b"jpeg", **facts: Any) -> AttemptRef:
    """An attempt of extract_frames with one picture."""
    ref = AttemptRef(job_id, "extract_frames", attempt)
    writer = store.begin(ref)
    blob = writer.append(0.0, data)
    row = FRAME | {"shard": blob.shard, "offset": blob.offset, "size_bytes": blob.size_bytes, "crc32": blob.crc32}
    writer.commit(ExtractedFrames(table(FRAMES, [row]), table(SIGNALS), 0.0, 1.0), **FACTS | facts)
    return ref


def flipped(data: bytes, bit: int) -> bytes:
    """``data`` with one bit another."""
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)
