"""The inbox sensor, tick by tick, with a Dagster that does what the daemon does with a tick's result."""

import io
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import dagster as dg
import fsspec
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from brand_detect.definitions import build_definitions
from brand_detect.domain.errors import BadInput, Transient
from brand_detect.domain.media import content_sha256, default_job_id
from brand_detect.domain.pipeline import CATALOG, LINE, ROOT
from brand_detect.domain.settings import Settings
from brand_detect.domain.tags import ORPHAN_S, PARTITION
from brand_detect.operations import inbox
from brand_detect.operations.inbox import FORGOTTEN_S, Hashes, State, inbox_sensor
from brand_detect.orchestration.partitions import JOBS
from brand_detect.storage.inbox import Entry
from brand_detect_tests.support.pipeline import Pipeline, pipeline, two_shot_clip

SETTLE_S = 10.0


@dataclass
class Sensed:
    """An inbox, and what Dagster keeps of its sensor."""

    built: Pipeline
    folder: Path
    clock: "Clock"
    cursor: str | None = None
    runs: dict[str, str] = field(default_factory=dict)
    """Jobs by run key: Dagster launches one run for each, ever."""

    def put(self, name: str, content: str | bytes = "") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((content or f"video {name}").encode() if isinstance(content, str) else content)
        return path

    def evaluate(self) -> SensorExecutionData:
        sensor = self.built.definitions.resolve_sensor_def("inbox")
        with dg.build_sensor_context(
            instance=self.built.instance,
            cursor=self.cursor,
            resources={"services": self.built.services},
            repository_def=self.built.definitions.get_repository_def(),
            sensor_name=sensor.name,
        ) as context:
            return sensor.evaluate_tick(context)

    def tick(self, *, kept: bool = True) -> list[dg.RunRequest]:
        """One tick, its partitions added and its runs launched; unless ``kept``, the cursor is lost."""
        done = self.evaluate()
        for request in done.dynamic_partitions_requests or ():
            self.built.instance.add_dynamic_partitions(str(JOBS.name), request.partition_keys)
        for request in done.run_requests or ():
            self.launch(request)
        if kept:
            self.cursor = done.cursor
        return list(done.run_requests or ())

    def launch(self, request: dg.RunRequest, status: str = "STARTED") -> None:
        assert request.run_key
        if request.run_key in self.runs:
            return
        job_id = self.runs[request.run_key] = request.tags[PARTITION]
        assert self.built.instance.has_dynamic_partition(str(JOBS.name), job_id)
        self.built.instance.add_run(
            dg.DagsterRun(
                job_name="__ASSET_JOB",
                run_id=str(uuid.uuid4()),
                run_config=dict(request.run_config),
                tags={**request.tags, "dagster/run_key": request.run_key, "dagster/sensor_name": "inbox"},
                asset_selection=frozenset(request.asset_selection or ()),
                status=dg.DagsterRunStatus(status),
            )
        )

    def settled(self) -> list[dg.RunRequest]:
        """A tick that sees what is there, and one after it has settled."""
        first = self.tick()
        self.clock.wait(SETTLE_S)
        return first + self.tick()

    @property
    def jobs(self) -> list[str]:
        return list(self.runs.values())

    @property
    def rejected(self) -> dict[str, str]:
        """Reasons of what was moved aside, by the file's name."""
        found = (self.folder / "_rejected").rglob("*.reason.txt")
        return {p.name.removesuffix(".reason.txt"): p.read_text(encoding="utf-8") for p in sorted(found)}


@dataclass
class Clock:
    ahead_s: float = 0.0

    def wait(self, seconds: float) -> None:
        self.ahead_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made, real = Clock(), time.time
    monkeypatch.setattr(time, "time", lambda: real() + made.ahead_s)
    return made


@pytest.fixture
def sensed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Sensed]:
    folder = tmp_path / "inbox"
    folder.mkdir()
    monkeypatch.setenv("BRAND_DETECT_INBOX", str(folder))
    monkeypatch.setenv("BRAND_DETECT_INBOX_SETTLE_S", str(SETTLE_S))
    with pipeline(tmp_path) as built:
        built.instance.report_runless_asset_event(dg.AssetMaterialization(CATALOG, metadata={"attempt": "1"}))
        yield Sensed(built, folder, clock)


def job_of(path: Path) -> str:
    with path.open("rb") as file:
        return default_job_id(path.stem, content_sha256(file)[0])


def config_of(request: dg.RunRequest) -> dict[str, Any]:
    return dict(request.run_config)["ops"][ROOT]["config"]


def test_a_complete_video_becomes_a_partition_and_one_run(sensed: Sensed):
    path = sensed.put("sub/match 1.mp4")
    [request] = sensed.settled()
    assert request.tags[PARTITION] == job_of(path)
    assert request.tags[PARTITION].startswith("match_1-")
    assert config_of(request) == {"video_uri": str(path), "profile": "default", "overrides": {}}
    assert {key.to_user_string() for key in request.asset_selection or ()} == set(LINE)
    for _ in range(3):
        sensed.clock.wait(SETTLE_S)
        assert sensed.tick() == []
    assert sensed.jobs == [job_of(path)]


def test_the_run_makes_a_report(sensed: Sensed):
    sensed.built.runner.refresh_catalog()
    two_shot_clip(sensed.folder / "match.mp4")
    [request] = sensed.settled()
    done = sensed.built.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=sensed.built.instance,
        partition_key=request.tags[PARTITION],
        asset_selection=list(request.asset_selection or ()),
        run_config=dict(request.run_config),
    )
    assert {
        event.asset_key.to_user_string() for event in done.get_asset_materialization_events() if event.asset_key
    } == {*LINE}


def test_a_file_that_still_grows_is_left_alone(sensed: Sensed):
    for n in range(1, 5):
        sensed.put("match.mp4", "x" * n)
        assert sensed.tick() == []
        sensed.clock.wait(SETTLE_S - 1)
    assert sensed.tick() == []
    sensed.clock.wait(1)
    assert len(sensed.tick()) == 1


def test_a_file_whose_content_changes_at_the_same_size_is_left_alone(sensed: Sensed):
    sensed.put("match.mp4", "one")
    sensed.tick()
    sensed.clock.wait(SETTLE_S)
    time.sleep(0.02)
    sensed.put("match.mp4", "two")
    assert sensed.tick() == []


def test_a_clock_that_is_set_back_does_not_hold_a_file_up(sensed: Sensed):
    sensed.put("match.mp4")
    sensed.tick()
    sensed.clock.wait(-7200)
    assert len(sensed.settled()) == 1


def test_an_empty_file_is_left_alone(sensed: Sensed):
    sensed.put("match.mp4").write_bytes(b"")
    assert sensed.settled() == []
    assert not (sensed.folder / "_rejected").exists()


def test_waiting_outlives_the_process(sensed: Sensed):
    sensed.put("match.mp4")
    sensed.tick()
    sensed.clock.wait(SETTLE_S)
    sensed.built.definitions = build_definitions(sensed.built.services)
    assert len(sensed.tick()) == 1


def test_a_request_beside_the_video_takes_it_at_once_and_as_it_says(sensed: Sensed):
    for video, request in (("a.mp4", "a.mp4.json"), ("b.mkv", "b.json"), ("c.MOV", "c.json")):
        sensed.put(video)
        sensed.put(
            request,
            json.dumps(
                {
                    "job_id": f"job-{video[0]}",
                    "profile": "soccer_broadcast",
                    "overrides": {"extract_frames": {"sample_fps": 4}},
                }
            ),
        )
    requests = sensed.tick()
    assert sorted(sensed.jobs) == ["job-a", "job-b", "job-c"]
    for request in requests:
        assert config_of(request)["profile"] == "soccer_broadcast"
        assert config_of(request)["overrides"] == {"extract_frames": {"sample_fps": 4}}
    sensed.clock.wait(SETTLE_S)
    assert sensed.tick() == []
    assert sensed.rejected == {}


def test_a_request_that_was_there_first_says_nothing_about_the_video_that_is_being_copied(sensed: Sensed):
    sensed.put("match.mp4.json", '{"job_id": "final"}')
    assert sensed.settled() == []
    time.sleep(0.02)
    sensed.put("match.mp4", "the beginning")
    assert sensed.tick() == []
    sensed.clock.wait(SETTLE_S)
    sensed.tick()
    assert sensed.jobs == ["final"]


def test_a_request_waits_for_its_video(sensed: Sensed):
    sensed.put("match.json", "{}")
    for _ in range(3):
        assert sensed.settled() == []
    assert sensed.rejected == {}
    assert "1 requests without a video" in (sensed.evaluate().skip_message or "")


BAD = {
    "no json": ("{", "invalid JSON"),
    "no object": ("[]", "object"),
    "empty": ("\n", "JSON"),
    "no text": (b"\xff\xfe{}", "JSON"),
    "nested": ("[" * 5000, "JSON"),
    "an unknown field": ('{"jobid": "x"}', "jobid"),
    "a field of another kind": ('{"job_id": 7}', "job_id"),
    "a job id that is none": ('{"job_id": "../x"}', "job id"),
    "no such profile": ('{"profile": "chess"}', "no profile 'chess'"),
    "no such stage": ('{"overrides": {"detect": {}}}', "no stage 'detect'"),
    "no such param": ('{"overrides": {"run_ocr": {"x": 1}}}', "run_ocr.x"),
    "a value out of range": ('{"overrides": {"extract_frames": {"sample_fps": -1}}}', "extract_frames.sample_fps"),
    "too large": ('{"job_id": "' + "x" * inbox.REQUEST_BYTES + '"}', "too large"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_request_is_moved_aside_with_its_reason_and_its_video_waits(sensed: Sensed, kind: str):
    text, reason = BAD[kind]
    sensed.put("match.mp4")
    sensed.put("match.mp4.json", text)
    assert sensed.tick() == []
    assert sensed.rejected == {}, "it may still be written"
    for _ in range(3):
        sensed.clock.wait(SETTLE_S)
        assert sensed.tick() == [], "not with the defaults, which nobody asked for"
    assert list(sensed.rejected) == ["match.mp4.json"]
    assert reason in sensed.rejected["match.mp4.json"]
    assert not (sensed.folder / "match.mp4.json").exists()
    assert "1 waiting for a new request" in (sensed.evaluate().skip_message or "")
    sensed.put("match.mp4.json", "{}")
    sensed.tick()
    assert sensed.jobs == [job_of(sensed.folder / "match.mp4")]
    assert len(sensed.rejected) == 1


def test_a_request_may_begin_with_a_byte_order_mark(sensed: Sensed):
    sensed.put("match.mp4")
    sensed.put("match.json", b'\xef\xbb\xbf{"job_id": "final"}')
    sensed.settled()
    assert sensed.jobs == ["final"]


def test_a_request_that_is_still_written_is_no_bad_one(sensed: Sensed):
    sensed.put("match.mp4")
    for text in ('{"job', '{"job_id": "fi', '{"job_id": "final"}'):
        sensed.put("match.json", text)
        sensed.tick()
        sensed.clock.wait(SETTLE_S - 1)
    assert sensed.jobs == ["final"]
    assert sensed.rejected == {}


def test_a_request_that_comes_too_late_is_moved_aside(sensed: Sensed):
    sensed.put("match.mp4")
    sensed.settled()
    sensed.put("match.json", '{"profile": "soccer_broadcast"}')
    assert sensed.settled() == []
    assert "arrived after its video was taken" in sensed.rejected["match.json"]
    assert len(sensed.jobs) == 1


def test_a_used_request_that_is_written_again_is_too_late(sensed: Sensed):
    sensed.put("match.mp4")
    sensed.put("match.json", '{"job_id": "final"}')
    sensed.settled()
    time.sleep(0.02)
    sensed.put("match.json", '{"job_id": "finals"}')
    sensed.settled()
    assert list(sensed.rejected) == ["match.json"]
    assert sensed.jobs == ["final"]


def test_a_request_that_cannot_be_moved_is_remembered(sensed: Sensed, monkeypatch: pytest.MonkeyPatch):
    tries = []

    def fail(_: object, name: str, reason: str) -> str:
        tries.append((name, reason))
        raise Transient("The disk is read-only.")

    monkeypatch.setattr(inbox.Inbox, "move_aside", fail)
    sensed.put("match.mp4")
    sensed.put("match.json", "{")
    for _ in range(5):
        assert sensed.settled() == []
    assert [name for name, _ in tries] == ["match.json"]
    sensed.put("match.json", '{"job_id": "final"}')
    sensed.tick()
    assert sensed.jobs == ["final"]


def test_the_same_file_twice_is_one_job(sensed: Sensed):
    path = sensed.put("match.mp4")
    sensed.settled()
    os.utime(path)
    assert sensed.settled() == []
    path.unlink()
    sensed.tick()
    sensed.put("match.mp4")
    assert sensed.settled() == []
    assert len(sensed.jobs) == 1


def test_one_content_under_two_names_is_one_job(sensed: Sensed):
    for name in ("a.mp4", "b.mp4", "sub/c.mkv"):
        sensed.put(name, "the same")
    sensed.settled()
    sensed.put("d.mp4", "the same")
    assert sensed.settled() == [], "its run has not even begun"
    assert sensed.jobs == [job_of(sensed.folder / "a.mp4")]


def test_the_content_of_a_finished_job_is_that_job(sensed: Sensed, tmp_path: Path):
    submitted = sensed.built.runner.submit(str(two_shot_clip(tmp_path / "before.mp4")))
    sensed.put("after.mp4", (tmp_path / "before.mp4").read_bytes())
    sensed.put("named.mp4", (tmp_path / "before.mp4").read_bytes())
    sensed.put("named.json", json.dumps({"job_id": submitted.job_id}))
    assert sensed.settled() == []
    assert sensed.settled() == []
    assert sensed.rejected == {}


def test_a_job_id_of_another_video_is_refused(sensed: Sensed, tmp_path: Path):
    sensed.built.runner.submit(str(two_shot_clip(tmp_path / "before.mp4")), job_id="final")
    sensed.put("match.mp4")
    sensed.put("match.json", '{"job_id": "final"}')
    assert sensed.settled() == []
    assert "The job final belongs to another video" in sensed.rejected["match.json"]
    assert "waiting for a new request" in (sensed.evaluate().skip_message or "")


def test_two_requests_for_one_job_id(sensed: Sensed):
    for name in ("a", "b"):
        sensed.put(f"{name}.mp4")
        sensed.put(f"{name}.json", '{"job_id": "final"}')
    sensed.settled()
    assert sensed.jobs == ["final"]
    assert len(sensed.rejected) == 1


def test_a_default_id_that_a_person_gave_to_another_video_is_refused(sensed: Sensed, tmp_path: Path):
    path = sensed.put("match.mp4")
    sensed.built.runner.submit(str(two_shot_clip(tmp_path / "before.mp4")), job_id=job_of(path))
    for _ in range(2):
        assert sensed.settled() == []
    sensed.put("match.json", '{"job_id": "other"}')
    sensed.settled()
    assert sensed.jobs == ["other"]


def test_a_job_that_waits_in_the_queue_is_waited_for(sensed: Sensed):
    """Somebody submitted the same content: only its run can tell."""
    path = sensed.put("match.mp4")
    sensed.built.instance.add_dynamic_partitions(str(JOBS.name), [job_of(path)])
    run = sensed.built.instance.create_run_for_job(
        sensed.built.definitions.resolve_implicit_global_asset_job_def(),
        tags={PARTITION: job_of(path)},
        status=dg.DagsterRunStatus.STARTED,
    )
    assert sensed.settled() == []
    sensed.built.instance.report_run_failed(run)
    assert len(sensed.tick()) == 1


def test_a_replaced_video_is_a_new_job_with_the_same_request(sensed: Sensed):
    path = sensed.put("match.mp4", "one")
    sensed.put("match.json", '{"profile": "soccer_broadcast"}')
    sensed.settled()
    first = job_of(path)
    time.sleep(0.02)
    sensed.put("match.mp4", "two")
    [request] = sensed.settled()
    assert sensed.jobs == [first, job_of(path)]
    assert config_of(request)["profile"] == "soccer_broadcast"
    assert sensed.rejected == {}


def test_a_deleted_job_runs_again_when_its_file_is_dropped_again(sensed: Sensed):
    path = sensed.put("match.mp4")
    [first] = sensed.settled()
    sensed.built.instance.delete_dynamic_partition(str(JOBS.name), first.tags[PARTITION])
    assert sensed.settled() == [], "what was deleted stays deleted"
    time.sleep(0.02)
    path.write_bytes(path.read_bytes())
    [second] = sensed.settled()
    assert second.tags[PARTITION] == first.tags[PARTITION]
    assert second.run_key != first.run_key


def test_a_job_that_only_the_store_knows_is_not_run_again(sensed: Sensed):
    path = two_shot_clip(sensed.folder / "match.mp4", seconds=2.0)
    sensed.built.runner.submit(str(path), job_id=job_of(path))
    sensed.built.instance.delete_dynamic_partition(str(JOBS.name), job_of(path))  # as after a lost database
    assert sensed.settled() == []
    assert sensed.jobs == []


@pytest.mark.parametrize("times", [1, 3])
def test_a_tick_whose_cursor_is_lost_makes_no_second_run(sensed: Sensed, times: int):
    for n in range(3):
        sensed.put(f"{n}.mp4")
    sensed.tick()
    sensed.clock.wait(SETTLE_S)
    keys = sorted(str(request.run_key) for request in sensed.evaluate().run_requests or ())
    assert keys == sorted(str(request.run_key) for request in sensed.evaluate().run_requests or ())
    for _ in range(times):
        assert {str(request.run_key) for request in sensed.tick(kept=False)} <= set(keys)
    sensed.settled()
    assert sorted(sensed.runs) == keys
    assert len(set(sensed.jobs)) == 3


def test_what_was_not_launched_is_taken_again(sensed: Sensed):
    """Dagster keeps the cursor of a tick whose sensor was stopped before all of its runs were launched."""
    for n in range(3):
        sensed.put(f"{n}.mp4")
    sensed.tick()
    sensed.clock.wait(SETTLE_S)
    done = sensed.evaluate()
    requests, sensed.cursor = list(done.run_requests or ()), done.cursor
    sensed.built.instance.add_dynamic_partitions(str(JOBS.name), [r.tags[PARTITION] for r in requests])
    sensed.launch(requests[1])
    assert [r.run_key for r in sensed.tick()] == [requests[0].run_key, requests[2].run_key]
    assert sensed.settled() == []
    assert len(set(sensed.jobs)) == 3


def test_a_partition_without_a_run_is_no_job_yet(sensed: Sensed):
    """Dagster adds a tick's partitions before it keeps its runs."""
    sensed.put("match.mp4")
    sensed.tick()
    sensed.clock.wait(SETTLE_S)
    [request] = list(sensed.evaluate().run_requests or ())
    sensed.built.instance.add_dynamic_partitions(str(JOBS.name), [request.tags[PARTITION]])
    assert len(sensed.tick()) == 1


def test_a_run_that_was_created_and_never_queued_is_asked_for_again(sensed: Sensed):
    sensed.put("match.mp4")
    sensed.tick()
    sensed.clock.wait(SETTLE_S)
    done = sensed.evaluate()
    [request] = list(done.run_requests or ())
    sensed.built.instance.add_dynamic_partitions(str(JOBS.name), [request.tags[PARTITION]])
    sensed.clock.wait(-ORPHAN_S)
    sensed.launch(request, "NOT_STARTED")
    sensed.cursor = done.cursor
    sensed.clock.wait(ORPHAN_S)
    assert sensed.tick() == []
    sensed.clock.wait(ORPHAN_S)
    [again] = sensed.tick()
    assert again.run_key == request.run_key
    assert again.run_config == request.run_config


def test_what_is_outside_the_media_roots_is_refused_once(sensed: Sensed, capsys: pytest.CaptureFixture[str]):
    (sensed.folder / "passwd.mp4").symlink_to("/etc/passwd")
    sensed.put("a.mp4")
    (sensed.folder / "a.json").symlink_to("/etc/passwd")
    sensed.settled()
    sensed.settled()
    said = capsys.readouterr().err
    assert sensed.jobs == []
    assert said.count("'passwd.mp4' is refused") == 1
    assert "outside the allowed media roots" in sensed.rejected["a.json"]
    assert "root:" not in str(sensed.rejected) + said


def test_a_name_that_is_no_text_is_refused(sensed: Sensed):
    for name in (b"m\xff.mp4", b"m\xff.json", b"good.mp4\xff.json"):
        (sensed.folder / os.fsdecode(name)).write_bytes(b"{}")
    sensed.put("good.mp4")
    sensed.settled()
    assert sensed.jobs == [job_of(sensed.folder / "good.mp4")]


def test_a_link_in_a_circle_is_refused_once_and_stops_nothing(sensed: Sensed, capsys: pytest.CaptureFixture[str]):
    for name in ("circle.mp4", "good.json"):
        (sensed.folder / name).symlink_to(sensed.folder / name)
    sensed.put("good.mp4")
    sensed.put("other.mp4")
    sensed.settled()
    sensed.settled()
    said = capsys.readouterr().err
    assert said.count("'circle.mp4' is refused") == 1
    assert "circle.mp4 does not exist" in said
    assert sensed.jobs == [job_of(sensed.folder / "other.mp4")]
    assert [*sensed.rejected] == ["good.json"]


def test_a_folder_that_may_not_be_listed_is_said(
    sensed: Sensed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    sensed.put("closed/a.mp4")
    sensed.put("good.mp4")
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may list everything
    sensed.settled()
    assert sensed.jobs == [job_of(sensed.folder / "good.mp4")]
    assert f"{str(sensed.folder / 'closed')!r} could not be listed: Permission denied" in capsys.readouterr().err


def test_what_is_in_a_folder_that_may_not_be_listed_is_not_forgotten(sensed: Sensed, monkeypatch: pytest.MonkeyPatch):
    """A share that is away for a while must not bring back the jobs that were deleted meanwhile."""
    sensed.put("share/a.mp4")
    sensed.put("b.mp4")
    sensed.settled()
    assert len(sensed.jobs) == 2
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("share"):
            raise OSError(116, "Stale file handle", path)
        return scan(path)

    with monkeypatch.context() as away:
        away.setattr(os, "scandir", refuse)
        for _ in range(2):
            sensed.tick()
            sensed.clock.wait(FORGOTTEN_S)
    assert known(sensed) == 2
    (sensed.folder / "share" / "a.mp4").unlink()
    sensed.tick()
    sensed.clock.wait(FORGOTTEN_S)
    sensed.tick()
    assert known(sensed) == 1


@contextmanager
def not_mounted(share: Path) -> Iterator[None]:
    """A share that is away: its folder is there, and empty."""
    away = share.with_name(".away")
    share.rename(away)
    share.mkdir()
    yield
    share.rmdir()
    away.rename(share)


def known(sensed: Sensed) -> int:
    state = State.load(sensed.built.instance)
    assert not state.gone.keys() - state.done.keys()
    return len(state.done)


def test_an_inbox_that_is_not_mounted_is_not_forgotten(sensed: Sensed):
    """All in it would be taken a second time, with the jobs that were deleted meanwhile."""
    sensed.put("a.mp4")
    sensed.put("sub/b.mp4")
    sensed.settled()
    sensed.built.instance.delete_dynamic_partition(str(JOBS.name), sensed.jobs[0])
    with not_mounted(sensed.folder):
        for _ in range(2):
            assert sensed.tick() == []
            sensed.clock.wait(FORGOTTEN_S)
    assert sensed.settled() == []
    assert known(sensed) == 2


def test_what_is_gone_is_forgotten_after_a_month_and_no_sooner(sensed: Sensed):
    """A share within the inbox, beside other files."""
    path = sensed.put("share/a.mp4")
    sensed.put("b.mp4")
    sensed.settled()
    sensed.built.instance.delete_dynamic_partition(str(JOBS.name), job_of(path))
    for _ in range(2):
        with not_mounted(sensed.folder / "share"):
            sensed.tick()
            sensed.clock.wait(FORGOTTEN_S - 60)
            sensed.tick()
        assert sensed.settled() == []
        assert known(sensed) == 2
    path.unlink()
    sensed.tick()
    sensed.clock.wait(FORGOTTEN_S)
    sensed.tick()
    assert known(sensed) == 1


def test_what_is_gone_stays_so_while_the_inbox_is_empty(sensed: Sensed):
    """Somebody clears it after each match."""
    path, other = sensed.put("a.mp4"), sensed.put("b.mp4")
    sensed.settled()
    path.unlink()
    sensed.tick()
    other.unlink()
    sensed.clock.wait(FORGOTTEN_S)
    sensed.tick()
    assert list(State.load(sensed.built.instance).gone) == []
    assert known(sensed) == 1


def test_a_name_can_be_used_again_at_once(sensed: Sensed):
    """By somebody who clears the inbox after each match; the request comes first."""
    path = sensed.put("match.mp4")
    sensed.settled()
    path.unlink()
    sensed.put("match.json", '{"job_id": "second"}')
    for _ in range(2):
        assert sensed.settled() == []
    assert sensed.rejected == {}
    path.write_bytes(b"another match")
    [request] = sensed.settled()
    assert request.tags[PARTITION] == "second"


def test_a_file_that_cannot_be_read_now_is_tried_again(sensed: Sensed, monkeypatch: pytest.MonkeyPatch):
    sensed.put("a.mp4")
    sensed.put("b.mp4")
    real = sensed.built.services.media.open

    @contextmanager
    def flaky(uri: str) -> Iterator[BinaryIO]:
        if uri.endswith("a.mp4") and len(sensed.runs) == 0:
            raise Transient("The network is down.")
        with real(uri) as file:
            yield file

    monkeypatch.setattr(sensed.built.services.media, "open", flaky)
    assert [r.tags[PARTITION] for r in sensed.settled()] == [job_of(sensed.folder / "b.mp4")]
    assert [r.tags[PARTITION] for r in sensed.tick()] == [job_of(sensed.folder / "a.mp4")]


def test_a_large_file_is_hashed_over_several_ticks(sensed: Sensed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inbox, "CHUNK", 1000)
    now_s, spent = 0.0, []
    path = sensed.put("long.mp4", os.urandom(10_500))

    def monotonic() -> float:
        """Each look at the clock, and so each chunk, costs a second."""
        nonlocal now_s
        now_s += 1.0
        return now_s

    sensed.tick()
    sensed.clock.wait(SETTLE_S)
    monkeypatch.setattr(inbox, "WORK_S", 5.0)
    monkeypatch.setattr(inbox.time, "monotonic", monotonic)
    for _ in range(20):
        spent.append(now_s)
        if sensed.tick():
            break
    assert sensed.jobs == [job_of(path)]
    assert len(spent) == 3
    assert all(later - earlier <= 6 for earlier, later in pairwise(spent))


def test_a_hash_is_of_the_version_that_was_begun(tmp_path: Path, sensed: Sensed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inbox, "CHUNK", 10)
    hashes, media = Hashes(), sensed.built.services.media
    path = tmp_path / "a.mp4"
    path.write_bytes(b"a" * 25)
    entry = Entry("a.mp4", str(path), 25, "1", 0, False)
    assert hashes.sha256(media, entry, 0) is None
    path.write_bytes(b"b" * 25)
    changed = Entry("a.mp4", str(path), 25, "2", 0, False)
    found = [hashes.sha256(media, changed, 0) for _ in range(3)]
    with path.open("rb") as file:
        assert found == [None, None, content_sha256(file)[0]]


def test_a_fault_in_the_middle_of_a_file_loses_nothing_of_its_hash(
    tmp_path: Path, sensed: Sensed, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inbox, "CHUNK", 10)
    path = tmp_path / "a.mp4"
    path.write_bytes(os.urandom(95))
    read: list[int] = []

    class Flaky(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            read.append(self.tell())
            if len(read) in (4, 8):
                raise Transient("The network is down.")
            return super().read(size)

    hashes, entry = Hashes(), Entry("a.mp4", str(path), 95, "1", 0, False)
    monkeypatch.setattr(sensed.built.services.media, "open", lambda uri: Flaky(uri, "rb"))
    for _ in range(2):
        with pytest.raises(Transient):
            hashes.sha256(sensed.built.services.media, entry, float("inf"))
    assert hashes.sha256(sensed.built.services.media, entry, float("inf")) == sha256(path.read_bytes()).hexdigest()
    assert read == [0, 10, 20, 30, 30, 40, 50, 60, 60, 70, 80, 90, 95]


def test_a_video_that_changes_while_it_is_hashed_is_not_taken(sensed: Sensed, monkeypatch: pytest.MonkeyPatch):
    path = sensed.put("match.mp4", "one")
    real = Hashes.sha256

    def changing(self: Hashes, *args: Any) -> str | None:
        found = real(self, *args)
        if path.read_bytes() == b"one":
            time.sleep(0.02)
            path.write_bytes(b"two")
        return found

    monkeypatch.setattr(Hashes, "sha256", changing)
    assert sensed.settled() == []
    sensed.settled()
    assert sensed.jobs == [job_of(path)]


def test_a_thousand_files_at_once_arrive_in_bounded_ticks(sensed: Sensed):
    for n in range(1000):
        sensed.put(f"{n}.mp4")
    sensed.tick()
    sensed.clock.wait(SETTLE_S)
    ticks = []
    while requests := sensed.tick():
        ticks.append(len(requests))
        assert len(sensed.cursor or "") < 4000, "Dagster keeps a copy of it for each tick"
    assert ticks == [inbox.MOST_RUNS] * 20
    assert len(sensed.runs) == len(set(sensed.jobs)) == 1000
    assert len(State.load(sensed.built.instance).dump()) < 1000 * 25 + 200
    for path in sensed.folder.iterdir():
        path.unlink()
    sensed.put("one more.mp4")
    sensed.settled()
    assert len(State.load(sensed.built.instance).dump()) < 1000 * 47 + 200
    sensed.clock.wait(FORGOTTEN_S)
    sensed.tick()
    assert known(sensed) == 1, "what is gone is forgotten"


def test_the_oldest_come_first(sensed: Sensed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inbox, "MOST_RUNS", 2)
    for name in ("c", "a", "b", "d"):
        sensed.put(f"{name}.mp4")
        time.sleep(0.02)
    first = sensed.settled()
    assert [str(r.tags[PARTITION])[0] for r in first + sensed.tick()] == ["c", "a", "b", "d"]


def test_pages_are_gone_through_one_a_tick(sensed: Sensed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inbox, "MOST_LISTED", 3)
    monkeypatch.setattr(inbox, "MOST_RUNS", 2)
    for n in range(10):
        sensed.put(f"{n}.mp4")
    for _ in range(5):
        sensed.tick()
    sensed.clock.wait(SETTLE_S)
    for _ in range(12):
        sensed.tick()
    assert sorted(job[0] for job in sensed.jobs) == list("0123456789")
    for n in range(0, 10, 2):
        (sensed.folder / f"{n}.mp4").unlink()
    for _ in range(10):
        sensed.tick()
    sensed.clock.wait(FORGOTTEN_S)
    for _ in range(10):
        sensed.tick()
    assert known(sensed) == 5
    assert len(sensed.runs) == 10


def test_nothing_is_written_when_nothing_changes(sensed: Sensed, monkeypatch: pytest.MonkeyPatch):
    sensed.put("match.mp4")
    sensed.settled()
    sensed.tick()
    monkeypatch.setattr(State, "save", lambda *_: pytest.fail("the same again"))
    for _ in range(3):
        sensed.tick()


def test_nothing_is_launched_before_the_brand_list_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
):
    folder = tmp_path / "inbox"
    folder.mkdir()
    monkeypatch.setenv("BRAND_DETECT_INBOX", str(folder))
    monkeypatch.setenv("BRAND_DETECT_INBOX_SETTLE_S", "0")
    with pipeline(tmp_path) as built:
        early = Sensed(built, folder, clock)
        early.put("match.mp4")
        assert early.settled() == []
        assert "no snapshot" in (early.evaluate().skip_message or "")
        built.runner.refresh_catalog()
        assert len(early.tick()) == 1


def test_a_tick_says_what_it_did(sensed: Sensed, capsys: pytest.CaptureFixture[str]):
    sensed.put("a.mp4")
    assert sensed.evaluate().skip_message == (
        "0 taken, 1 waiting to settle, 0 being hashed, 0 refused, 0 left for the next tick."
    )
    sensed.settled()
    assert "1 taken, 0 waiting to settle" in capsys.readouterr().err


@pytest.mark.parametrize(("inbox_uri", "status"), [("", "STOPPED"), ("{tmp}/in", "RUNNING"), ("s3://b/in", "RUNNING")])
def test_the_sensor_runs_when_there_is_an_inbox(tmp_path: Path, inbox_uri: str, status: str):
    settings = Settings(inbox=inbox_uri.format(tmp=tmp_path), media_roots=(str(tmp_path), "s3://b/in"))
    assert inbox_sensor(settings).default_status.value == status


def test_a_sensor_without_an_inbox_says_so(tmp_path: Path, clock: Clock):
    with pipeline(tmp_path) as built:
        assert "BRAND_DETECT_INBOX" in (Sensed(built, tmp_path, clock).evaluate().skip_message or "")


@pytest.mark.parametrize("uri", ["/var/in", "{tmp}/../in", "s3://other/in", "s3://bucket2/in", "s3://bucket/../x"])
def test_an_inbox_outside_the_media_roots_is_refused(tmp_path: Path, uri: str):
    settings = Settings(inbox=uri.format(tmp=tmp_path), media_roots=(str(tmp_path), "s3://bucket"))
    with pytest.raises(BadInput, match=r"^BRAND_DETECT_INBOX: .* is outside the allowed media roots") as error:
        inbox_sensor(settings)
    assert "BRAND_DETECT_MEDIA_ROOTS allows" in error.value.hint


def test_how_much_is_kept_for_ten_thousand_files():
    digest = inbox._digest
    state = State(done={digest(f"match {n}.mp4"): digest(f"{n} {n}") for n in range(10_000)})
    assert len(state.done) == 10_000
    assert len(state.dump()) == pytest.approx(220_000, rel=0.01)


@pytest.mark.usefixtures("s3")
def test_on_s3_a_video_is_taken_at_once_and_a_bad_request_moved_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
):
    uri = f"s3://bucket/{tmp_path.name}"
    monkeypatch.setenv("BRAND_DETECT_INBOX", uri)
    fs, base = fsspec.url_to_fs(uri)
    files = {  # the first before its copy, for the older one is taken
        "a.mp4": "one",
        "b.mp4": "two",
        "b.json": "{",
        "sub/c.mp4": "one",
        "d.mp4": "three",
        "d.mp4.json": '{"job_id": "d"}',
    }
    for name, text in files.items():
        told: set[int] = set()
        while len(told) != 1:  # near a full second rclone's list and its answer about a file tell different ones
            fs.pipe_file(f"{base}/{name}", text.encode())
            bucket, _, key = f"{base}/{name}".partition("/")
            [listed] = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)["Contents"]
            head = fs.call_s3("head_object", Bucket=bucket, Key=key)
            told = {int(found["LastModified"].timestamp()) for found in (listed, head)}
    with pipeline(tmp_path, media_roots=[uri]) as built:
        built.instance.report_runless_asset_event(dg.AssetMaterialization(CATALOG, metadata={"attempt": "1"}))
        sensed = Sensed(built, tmp_path, clock)
        requests = {request.tags[PARTITION]: config_of(request)["video_uri"] for request in sensed.tick()}
        assert requests == {default_job_id("a", sha256(b"one").hexdigest()): f"{uri}/a.mp4", "d": f"{uri}/d.mp4"}
        assert "invalid JSON" in fs.cat_file(f"{base}/_rejected/b.json.reason.txt").decode()
        assert not fs.exists(f"{base}/b.json")
        assert sensed.tick() == []
        fs.pipe_file(f"{base}/b.json", b"{}")
        assert [request.tags[PARTITION][0] for request in sensed.tick()] == ["b"]
