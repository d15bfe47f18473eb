"""The processes that run a benchmark's videos, with a driver that answers from a script."""

import signal
import threading
from pathlib import Path

import pytest

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.evaluation.benchmarks import worker
from brand_detect.evaluation.benchmarks.worker import Ffmpeg, Worker, first_reports
from brand_detect_tests.support.videos import scene, write_clip

SCRIPT = """
import json, os, sys
runs = 0
for line in sys.stdin:
    asked, runs = json.loads(line), runs + 1
    stem = asked["video"].rsplit("/", 1)[-1]
    print("noise", file=sys.stderr)
    if stem == "crash":
        os._exit(3)
    if stem == "error" or stem == "warm" and os.environ.get("COLD"):
        print(json.dumps({"error": "It failed."}), flush=True)
        continue
    home = os.environ["DAGSTER_HOME"]
    open(home + "/state", "a").close()
    engines = {"path": os.environ["PYTHONPATH"], "isa": os.environ.get("ISA", ""), "profile": asked["profile"]}
    engines |= {"known": " ".join(sys.argv[1:]), "yaml": str(os.path.exists(home + "/dagster.yaml"))}
    print(json.dumps({"duration_s": 10, "wall_s": runs, "cpu_s": 2, "engines": engines}), flush=True)
"""
VIDEO, CRASH, ERROR, WARM = map(Path, ("video", "crash", "error", "warm"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    driver = tmp_path / "driver.py"
    driver.write_text(SCRIPT)
    monkeypatch.setattr(worker, "DRIVER", driver)
    return tmp_path / "home"


def test_a_process_runs_the_given_checkout_with_its_own_state(home: Path, tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    videos = Worker(home, [VIDEO], WARM, tmp_path, {"ISA": "AVX2"})
    run = videos.run(VIDEO, "fast", {}, 10.0)
    assert run.engines == {
        "path": str(tmp_path),
        "isa": "AVX2",
        "profile": "fast",
        "known": "warm video",
        "yaml": "True",
    }
    assert run.wall_s == 2, "after the one that warms up"
    again = videos.run(VIDEO, "fast", {}, 10.0)
    assert (again.wall_s, again.startup_s) == (3, run.startup_s)
    assert videos.run(VIDEO, "default", {}, 10.0).wall_s == 5, "models of other params are loaded as well"
    assert run.startup_s > 0
    assert (home / "state").exists()
    videos.close()
    assert not home.exists()


def test_errors_and_crashes_end_a_run_and_not_the_next(home: Path) -> None:
    videos = Worker(home, [], WARM)
    with pytest.raises(Permanent, match=r"It failed\."):
        videos.run(ERROR, "default", {}, 10.0)
    assert videos.run(VIDEO, "default", {}, 10.0).wall_s == 3, "in the same process"
    with pytest.raises(Permanent, match="ended with code 3"):
        videos.run(CRASH, "default", {}, 10.0)
    assert videos.run(VIDEO, "default", {}, 10.0).wall_s == 2, "in a new one"
    assert "noise" in home.with_suffix(".log").read_text()
    videos.close()


def test_a_process_that_cannot_warm_up_runs_nothing(home: Path) -> None:
    videos = Worker(home, [], WARM, variables={"COLD": "1"})
    for _ in range(2):
        with pytest.raises(Permanent, match=r"It failed\."):
            videos.run(VIDEO, "default", {}, 10.0)
    videos.close()


def test_a_process_that_hangs_is_killed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker.DRIVER.write_text("import sys\nfor line in sys.stdin: pass")
    monkeypatch.setattr(worker, "HUNG_S", 0.2)
    with pytest.raises(Permanent, match="ended with code -9"):
        Worker(home, [], WARM).run(VIDEO, "default", {}, 0.0)


def test_a_run_that_ctrl_c_ends_leaves_no_timer(home: Path) -> None:
    worker.DRIVER.write_text("import os, signal, sys\nfor _ in sys.stdin: os.kill(os.getppid(), signal.SIGINT)")
    videos = Worker(home, [], WARM)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            videos.run(VIDEO, "default", {}, 10.0)
    finally:
        signal.signal(signal.SIGINT, before)
    videos.close()
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for timer in timers:
        timer.join(5.0)  # its thread outlives ``cancel`` for a moment
    assert not any(timer.is_alive() for timer in timers)


def test_the_first_report_finds_no_state_and_the_second_that_of_the_first(tmp_path: Path) -> None:
    package = tmp_path / "checkout" / "brand_detect" / "cli"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text(
        "import os, pathlib, sys\n"
        "state = pathlib.Path(os.environ['DAGSTER_HOME'], 'state')\n"
        f"with open({str(tmp_path / 'seen')!r}, 'a') as file: print(*sys.argv[1:], state.exists(), file=file)\n"
        "state.touch()\n"
    )
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "state").touch()  # of a call that was killed
    found = first_reports(tmp_path / "home", VIDEO, package.parents[1], runs=2)
    assert list(found) == ["first time, wall s", "first time, cpu s", "second time, wall s", "second time, cpu s"]
    assert min(found.values()) > 0
    assert (tmp_path / "seen").read_text().splitlines() == 2 * ["run video False", "run video True"]
    assert not (tmp_path / "home").exists()


def test_the_floor_is_decoding(tmp_path: Path) -> None:
    run = Ffmpeg().run(write_clip(tmp_path / "a.mp4", [scene(1)] * 20), "default", {}, 2.0)
    assert run.duration_s == 2.0
    assert min(run.wall_s, run.cpu_s) > 0
    (tmp_path / "b.mp4").write_text("a letter")
    with pytest.raises(BadInput, match="cannot be processed"):
        Ffmpeg().run(tmp_path / "b.mp4", "default", {}, 2.0)
