"""What ``make`` says before it does anything."""

import os
import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def test_run_without_a_video_says_so_and_installs_nothing(tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "Makefile", tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "VIDEO"}
    done = subprocess.run(["make", "run"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: make run VIDEO=" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]
