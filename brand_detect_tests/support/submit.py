"""A process that submits one job: ``python -m brand_detect_tests.support.submit '<json>'``.

With a stage and a file in the JSON, it kills itself with SIGKILL in the middle of writing that file.
"""

import json
import os
import signal
import sys
from pathlib import Path

from brand_detect.storage.attempts import AttemptWriter
from brand_detect_tests.support.pipeline import pipeline


def main() -> None:
    asked = json.loads(sys.argv[1])
    write = AttemptWriter.write

    def dying(self: AttemptWriter, name: str, data: bytes) -> None:
        if (self.ref.stage, name) != (asked.get("stage"), asked.get("file")):
            write(self, name, data)
            return
        with self._blobs.open(self.ref.file(name)) as file:  # the very same path, half way
            file.write(data[: len(data) // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    AttemptWriter.write = dying
    with pipeline(
        Path(asked["folder"]), store_root=asked["store_root"], media_roots=asked["media_roots"], kept=True
    ) as built:
        built.runner.submit(asked["video"], job_id=asked["job_id"])


if __name__ == "__main__":
    main()
