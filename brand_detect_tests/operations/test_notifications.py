"""What is told, to whom, how often; against a receiver on this machine that answers as it is told to."""

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.settings import Settings
from brand_detect.operations import notifications as module
from brand_detect.operations.monitoring import ended_runs
from brand_detect.operations.notifications import (
    HOSTS,
    OLD_S,
    SECRET,
    SIGNATURE,
    TRIES,
    URL,
    Delivery,
    Result,
    Webhook,
    allowed,
    notifications,
)
from brand_detect.orchestration.resources import Services
from brand_detect_tests.support.ended import ended
from brand_detect_tests.support.pipeline import SERVICE, pipeline, two_shot_clip
from brand_detect_tests.support.receiver import PATH, Receiver, receiving


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that the environment names."""
    with receiving() as state:
        monkeypatch.setenv(URL, state.url)
        monkeypatch.setenv(HOSTS, f"127.0.0.1:{state.port}")
        monkeypatch.delenv(SECRET, raising=False)
        yield state


@dataclass
class Sensor:
    """The sensor on an instance, ticked as Dagster's daemon does."""

    instance: dg.DagsterInstance
    cursor: str | None = None

    def tick(self) -> str:
        """What one tick says."""
        settings = Settings.load()
        resources = {"services": Services.of(settings)}
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=resources, sensor_name="notifications"
        ) as context:
            result = notifications(settings).evaluate_tick(context)
        assert not result.run_requests
        self.cursor = result.cursor
        return result.skip_message or ""


@pytest.fixture
def sensor(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> Iterator[Sensor]:
    """A sensor that has begun."""
    monkeypatch.setattr(ended_runs, "SETTLED_S", 0.0)
    with dg.DagsterInstance.ephemeral() as live:
        ended(live, "before", "FAILURE", failed="match_brands", reason="It was before.")
        found = Sensor(live)
        assert found.tick() == "Notifications start with the runs that end from now on."
        assert receiver.got == []
        yield found


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Makes it so many seconds later than it is."""
    real = time.time
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: real() + seconds)


def failed(sensor: Sensor, job_id: str, **more: Any) -> str:
    return ended(sensor.instance, job_id, "FAILURE", failed="match_brands", reason="No list.\nhint: no", **more)


# which addresses


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("https://hooks.example.com/T0KEN", "hooks.example.com"),
        ("https://HOOKS.example.com:443/T0KEN", "other.example.com, Hooks.Example.com"),
        ("https://hooks.example.com:8443/T0KEN?a=b", "hooks.example.com:8443"),
        ("http://127.0.0.1:9000/x", "127.0.0.1:9000"),
        ("http://localhost/x", "localhost"),
        ("http://[::1]:9000/x", "[::1]:9000"),
        ("https://xn--exmple-cua.com/x", "xn--exmple-cua.com"),
        ("https://exämple.com/x", "xn--exmple-cua.com"),
    ],
)
def test_a_host_that_is_named_may_be_written_to(url: str, hosts: str):
    assert str(allowed(url, Settings(webhook_hosts=hosts).webhook_hosts))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://evil.example.com/T0KEN", "points to evil.example.com, which"),
        ("https://hooks.example.com.evil.com/T0KEN", "points to hooks.example.com.evil.com"),
        ("https://sub.hooks.example.com/T0KEN", "points to sub.hooks.example.com"),
        ("https://hooks.example.com./T0KEN", "points to hooks.example.com."),
        ("https://hooks.example.com:444/T0KEN", "points to hooks.example.com:444"),
        ("http://hooks.example.com/T0KEN", "not https"),
        ("http://127.0.0.1.example.com/T0KEN", "not https"),
        ("http://10.0.0.1/T0KEN", "not https"),
        ("https://user:T0KEN@hooks.example.com/", "a user name or password before hooks.example.com"),
        ("https://hooks.example.com@evil.example.com/T0KEN", "before evil.example.com"),
        ("ftp://hooks.example.com/T0KEN", "not a web address"),
        ("file:///T0KEN", "not a web address"),
        ("hooks.example.com/T0KEN", "not a web address"),
        ("https:///T0KEN", "not a web address"),
        ("https://hooks.example.com:T0KEN/", "not a web address"),
        ("https://hooks\x00.example.com/T0KEN", "not a web address"),
    ],
)
def test_any_other_is_refused_without_telling_it(url: str, said: str):
    with pytest.raises(BadInput, match=said) as refused:
        allowed(url, ("hooks.example.com",))
    assert "T0KEN" not in refused.value.full
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "host", ["https://a.com", "*.a.com", "a.com/x", "a b", "a.com:", "user@a.com", "-a.com", "::1"]
)
def test_a_setting_that_names_no_host_is_refused(monkeypatch: pytest.MonkeyPatch, host: str):
    monkeypatch.setenv(HOSTS, f"ok.example.com,{host}")
    with pytest.raises(BadInput, match=r"BRAND_DETECT_WEBHOOK_HOSTS: .* is not a host"):
        Settings.load()


def test_the_sensor_runs_where_a_webhook_is_set_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(URL, raising=False)
    stopped, running = dg.DefaultSensorStatus.STOPPED, dg.DefaultSensorStatus.RUNNING
    hosts = Settings(webhook_hosts=("hooks.example.com",))
    assert notifications(hosts).default_status == stopped
    monkeypatch.setenv(URL, "https://hooks.example.com/T0KEN")
    assert notifications(Settings()).default_status == stopped
    assert notifications(hosts).default_status == running
    assert "T0KEN" not in repr(Webhook.of(hosts.webhook_hosts))


# what is told


def test_a_final_failure_is_told_once(sensor: Sensor, receiver: Receiver):
    run_id = failed(sensor, "match")
    assert sensor.tick().startswith("1 post to 127.0.0.1")
    assert sensor.tick().startswith("0 posts")
    [(body, headers)] = receiver.got
    assert body | {"time": 0, "sent": 0} == {
        "event": "run_failed",
        "id": f"{run_id}.run_failed",
        "job_id": "match",
        "run_id": run_id,
        "time": 0,
        "sent": 0,
        "attempt": None,
        "stage": "match_brands",
        "reason": "No list.",
    }
    assert body["time"] <= body["sent"]
    assert body["time"].endswith("+00:00")
    assert receiver.paths == [PATH]
    assert headers["Content-Type"] == "application/json"
    assert SIGNATURE not in headers


def test_what_is_told_is_signed_where_a_secret_is_set(
    sensor: Sensor, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(SECRET, "näht")
    failed(sensor, "match")
    sensor.tick()
    digest = hmac.new("näht".encode(), receiver.raw[0], hashlib.sha256).hexdigest()
    assert receiver.got[0][1][SIGNATURE] == f"sha256={digest}"


def test_nothing_is_told_of_a_run_that_is_executed_again_or_was_cancelled_or_made_no_report(
    sensor: Sensor, receiver: Receiver
):
    sensor.instance.add_run_tags(failed(sensor, "match"), {"dagster/will_retry": "true"})
    ended(sensor.instance, "match", "CANCELED")
    ended(sensor.instance, "match", selection=["match_brands"])
    sensor.tick()
    assert receiver.got == []
    ended(sensor.instance, "", "FAILURE", selection=["brand_catalog"], failed="brand_catalog", reason="No list.")
    sensor.tick()
    assert receiver.told == [("run_failed", "")], "the list of brands is nobody's job"


def test_a_reason_that_is_no_utf8_stops_nothing(sensor: Sensor, receiver: Receiver):
    ended(sensor.instance, "match", "FAILURE", failed="match_brands", reason="match-\udcff.mp4 is gone.")
    sensor.tick()
    assert receiver.told == [("run_failed", "match")]


def test_a_finished_report_is_told_in_short_and_a_failed_run_with_its_sentence(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ended_runs, "SETTLED_S", 0.0)

    def no_reader(_: object) -> None:
        raise Permanent("There is no reader today.", "come back tomorrow")

    with pipeline(tmp_path) as built:
        sensor = Sensor(built.instance)
        sensor.tick()
        run = built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4")), job_id="match")
        built.services.engines.__dict__["text_reader"] = no_reader
        with pytest.raises(Permanent):
            built.runner.replay("match", "run_ocr")
        assert sensor.tick().startswith("2 posts")
    (report, _), (failure, _) = receiver.got
    assert (report["event"], report["job_id"], report["run_id"]) == ("report_finished", "match", run.run_id)
    assert report["url"] == f"{SERVICE}/reports/match"
    assert (report["attempt"], report["brands_more"]) == (run.attempts["compile_report"], 0)
    assert [(b["brand"], b["seconds"]) for b in report["brands"]] == [("Rolex", pytest.approx(2.0, abs=0.2))]
    assert report["unresolved"] == 1
    assert any("off, no model set" in note for note in report["notes"])
    assert (failure["event"], failure["stage"]) == ("run_failed", "run_ocr")
    assert failure["reason"] == "There is no reader today."


# when a delivery fails


@pytest.mark.parametrize("answer", [500, 503, 408, 429, "hang", "drip"])
def test_what_may_pass_is_tried_again_later_and_order_is_kept(
    sensor: Sensor,
    receiver: Receiver,
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    answer: int | str,
):
    if isinstance(answer, str):
        monkeypatch.setattr(module, "TIMEOUT_S", 1.0)  # answers that come take a few ms, or longer beside other work
    receiver.answers = [200, answer, answer]
    for job in ("a", "b", "c"):
        failed(sensor, job)
    sensor.tick()
    assert [job for _, job in receiver.told] == ["a", "b"]
    assert sensor.tick() == f"127.0.0.1 is tried again later: try 2 of {TRIES}."
    later(40.0)
    sensor.tick()
    assert [job for _, job in receiver.told] == ["a", "b", "b"]
    later(80.0)
    sensor.tick()
    assert [job for _, job in receiver.told] == ["a", "b", "b"], "pauses grow"
    later(120.0)
    sensor.tick()
    assert [job for _, job in receiver.told] == ["a", "b", "b", "b", "c"]
    assert len({body["id"] for body, _ in receiver.got}) == 3, "the same is known by its id"


def test_a_clock_that_is_set_back_makes_no_pause_longer(
    sensor: Sensor, receiver: Receiver, later: Callable[[float], None]
):
    receiver.answers = [500]
    failed(sensor, "a")
    sensor.tick()
    later(-7200.0)
    sensor.tick()
    assert [job for _, job in receiver.told] == ["a", "a"]


def test_after_some_tries_it_is_given_up_and_the_next_one_has_its_own(
    sensor: Sensor, receiver: Receiver, later: Callable[[float], None]
):
    receiver.answers = [500] * (TRIES + 1)
    failed(sensor, "a")
    failed(sensor, "b")
    for n in range(TRIES):
        later(1000.0 * n)
        sensor.tick()
    assert [job for _, job in receiver.told] == ["a"] * TRIES + ["b"]
    later(1000.0 * TRIES)
    assert "1 notification given up" in sensor.tick()
    assert [job for _, job in receiver.told] == ["a"] * TRIES + ["b", "b"]


@pytest.mark.parametrize("answer", [400, 401, 404, 410, 301, 302, 307])
def test_what_will_not_pass_is_given_up_at_once_and_no_redirect_is_followed(
    sensor: Sensor, receiver: Receiver, answer: int
):
    receiver.answers = [answer]
    failed(sensor, "a")
    failed(sensor, "b")
    assert "1 notification given up" in sensor.tick()
    assert [job for _, job in receiver.told] == ["a", "b"]
    assert set(receiver.paths) == {PATH}


def test_a_receiver_that_is_not_there_is_tried_again(
    sensor: Sensor, receiver: Receiver, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(URL, "http://127.0.0.1:9/x")  # nothing listens on the port "discard"
    monkeypatch.setenv(HOSTS, "127.0.0.1:9")
    failed(sensor, "a")
    sensor.tick()
    assert receiver.got == []
    monkeypatch.setenv(URL, receiver.url)
    monkeypatch.setenv(HOSTS, f"127.0.0.1:{receiver.port}")
    later(40.0)
    sensor.tick()
    assert receiver.told == [("run_failed", "a")]


def test_a_tick_posts_so_many_and_no_longer_than_so(
    sensor: Sensor, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    for n in range(5):
        failed(sensor, str(n))
    monkeypatch.setattr(module, "POSTS_A_TICK", 2)
    assert [sensor.tick().partition(" to ")[0] for _ in range(4)] == ["2 posts", "2 posts", "1 post", "0 posts"]
    assert [job for _, job in receiver.told] == ["0", "1", "2", "3", "4"]
    failed(sensor, "5")
    monkeypatch.setattr(module, "SECONDS_A_TICK", -1.0)
    assert sensor.tick().startswith("0 posts")
    monkeypatch.setattr(module, "SECONDS_A_TICK", 15.0)
    assert sensor.tick().startswith("1 post")


def test_what_is_old_is_no_news(sensor: Sensor, receiver: Receiver, later: Callable[[float], None]):
    failed(sensor, "a")
    later(OLD_S + 60)
    failed(sensor, "b")
    assert "1 notification given up" in sensor.tick()
    assert [job for _, job in receiver.told] == ["b"]


def test_an_address_that_is_refused_fails_the_tick_and_loses_nothing(
    sensor: Sensor, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    failed(sensor, "a")
    monkeypatch.setenv(HOSTS, "hooks.example.com")
    with pytest.raises(BadInput, match=f"points to 127.0.0.1:{receiver.port}, which {HOSTS} does not name"):
        sensor.tick()
    monkeypatch.setenv(HOSTS, "")
    assert sensor.tick() == f"Nothing is sent: {URL} and {HOSTS} are not both set."
    monkeypatch.setenv(HOSTS, f"127.0.0.1:{receiver.port}")
    sensor.tick()
    assert receiver.told == [("run_failed", "a")]


def test_neither_the_address_nor_the_secret_is_in_a_log_or_the_cursor(
    sensor: Sensor,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.setenv(SECRET, "s3cr3t")
    receiver.answers = [200, 301, 404, 500]
    for job in "abcd":
        failed(sensor, job)
    with caplog.at_level(logging.DEBUG):
        said = sensor.tick()
    assert len(receiver.got) == 4
    logged = capfd.readouterr().err  # Dagster's, which caplog does not see
    everything = f"{caplog.text} {logged} {said} {sensor.cursor}"
    assert "T0KEN" not in everything
    assert "s3cr3t" not in everything
    for line in (
        "127.0.0.1: run_failed of a: delivered, 200",
        "127.0.0.1: run_failed of b: answered 301, given up",
        "127.0.0.1: run_failed of c: answered 404, given up",
        f"127.0.0.1: run_failed of d: answered 500, try 1 of {TRIES}",
    ):
        assert line in logged


def test_pauses_double_up_to_a_quarter_of_an_hour():
    at, pauses = Delivery(ended_runs.EndedRuns()), []
    while not at.goes_on("run", Result("no", may_pass=True), 0.0):
        pauses.append(at.not_before_s)
        at = Delivery.parse(str(at))
    assert pauses == [30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 900.0]
    assert len(pauses) == TRIES - 1
    assert (at.given_up, at.tries) == (1, 0)
