"""The line in which a stage logs its progress: the pipeline writes it, clients read it back from the run's log."""

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"(?P<stage>\w+): (?P<done>\d+)(?: of (?P<total>\d+))? (?P<unit>[^,]+), (?P<rate>\d+\.\d) a second"
    r"(?:, (?P<left>\d+) s left)?"
)


@dataclass(frozen=True)
class StageProgress:
    """Progress of a stage, such as ``run_ocr: 120 of 500 frames, 2.1 a second, 181 s left``."""

    stage: str
    done: float
    total: float
    """0 = unknown."""
    unit: str
    rate: float
    """Units per second since the stage began."""

    @property
    def left_s(self) -> float | None:
        """Time left in the stage, at this rate; None if unknown."""
        return max(self.total - self.done, 0.0) / self.rate if self.total and self.rate else None

    def __str__(self) -> str:
        of = f" of {self.total:.0f}" if self.total else ""
        left = "" if self.left_s is None else f", {self.left_s:.0f} s left"
        return f"{self.stage}: {self.done:.0f}{of} {self.unit}, {self.rate:.1f} a second{left}"

    @classmethod
    def read(cls, line: str) -> "StageProgress | None":
        """The progress in a line of the log; None if it is another line."""
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        done, total, rate, left = (float(found[name] or 0) for name in ("done", "total", "rate", "left"))
        if left and not rate:  # it was rounded down
            rate = (total - done) / left
        return cls(found["stage"], done, total, found["unit"], rate)
