"""A process that submits one job: ``python -m brand_detect_tests.support.submit '<json>'``.

With a stage and a file in the JSON, it kills itself with SIGKILL in the middle of writing that file.
"""

import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from brand_detect.storage.attempts import AttemptWriter
from brand_detect.storage.shards import HashedFile
from brand_detect_tests.support.pipeline import pipeline


def main() -> None:
    asked = json.loads(sys.argv[1])
    write = AttemptWriter._write

    def dying(self: AttemptWriter, name: str, fill: Callable[[HashedFile], object]) -> None:
        if (self.ref.stage, name) != (asked.get("stage"), asked.get("file")):
            write(self, name, fill)
            return
        whole = io.BytesIO()
        fill(HashedFile(name, whole))
        with self._blobs.open(self.ref.file(name)) as file:  # the very same path, half way
            file.write(whole.getvalue()[: whole.tell() // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    AttemptWriter._write = dying
    with pipeline(
        Path(asked["folder"]), store_root=asked["store_root"], media_roots=asked["media_roots"], kept=True
    ) as built:
        built.runner.submit(asked["video"], job_id=asked["job_id"])


if __name__ == "__main__":
    main()
