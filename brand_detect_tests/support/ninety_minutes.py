"""What a replay from ``match_brands`` of a 90-minute job costs.

``python -m brand_detect_tests.support.ninety_minutes FOLDER``. The video is drawn, detector, reader and embedder are
scripted, all else is the pipeline as it is. Eight lines of text on every keyframe are more than most footage has.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from brand_detect.domain.contracts.detect_objects import RegionKind
from brand_detect.domain.protocols import Area, Image, Region
from brand_detect_tests.support.pipeline import ScriptedDetector, pipeline
from brand_detect_tests.support.videos import Picture, write_clip

MINUTES, FPS, PICTURES_A_SHOT = 90, 2, 20


def pictures() -> Iterator[Picture]:
    """Two boxes that move, before a wall that is another in every shot."""
    for n in range(MINUTES * 60 * FPS):
        shot = n // PICTURES_A_SHOT
        picture = np.full((180, 320, 3), (60 if shot % 2 else 170) + (shot * 7) % 40, np.uint8)
        picture[:, :160] -= 40
        x, y = 13 * n % 280, 7 * n % 120
        picture[100:140, x : x + 40] = (0, 40, 200)
        picture[y : y + 30, 200:260] = (200, 40, 0)
        yield picture


class EightLines(ScriptedDetector):
    """Two rows of four lines of text on every picture."""

    def detect(self, image: Image, areas: Sequence[Area] = ()) -> list[Region]:  # noqa: ARG002 the whole picture, always
        size = np.array(image.shape[1::-1], np.float32)
        corners = np.array([(0.02, 0.1), (0.2, 0.1), (0.2, 0.2), (0.02, 0.2)], np.float32)
        places = [(0.24 * column, 0.5 * row) for row in range(2) for column in range(4)]
        return [Region(RegionKind.text, "", 0.9, ((corners + place) * size).astype(np.float32)) for place in places]


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    video = write_clip(folder / "ninety.mp4", pictures(), fps=FPS)
    with pipeline(folder, region_detectors=lambda *_: [EightLines()]) as built:
        built.runner.submit(str(video), job_id="ninety")
        for _ in range(3):
            run = built.runner.replay("ninety", "match_brands")
            made = {s: run.manifest(s) for s, attempt in run.attempts.items() if attempt.startswith(run.run_id)}
            seconds = {stage: round(manifest.stage_s, 2) for stage, manifest in made.items()}
            print(round(sum(seconds.values()), 2), seconds, made["compile_report"].counts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
