"""What a machine records of itself: enough to find differences, and nothing secret."""

from pathlib import Path

import dagster as dg
import pytest

from brand_detect.domain.settings import PROVIDER_KEYS, Settings
from brand_detect.operations.monitoring import machines
from brand_detect.operations.monitoring.fleet import fleet, pool_limits
from brand_detect.operations.monitoring.machines import BEATS, MACHINES, SEEN_S, facts, record, recorded
from brand_detect.orchestration.database import CLAIMS, claim, database_now_s, remove_values, stored_values
from brand_detect_tests.support.logos import write
from brand_detect_tests.support.pipeline import pipeline

SECRET = "h4sh-me-not"


def test_secrets_are_told_by_their_names_alone(monkeypatch: pytest.MonkeyPatch):
    for name in (*PROVIDER_KEYS, "BRAND_DETECT_MODEL_API_KEYS", "BRAND_DETECT_BROKER_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("GROQ_API_KEY", " ")
    found = facts(Settings(store_root=f"s3://key:{SECRET}@bucket", media_roots=(f"s3://a:{SECRET}@b/c", "s3://d")))
    assert SECRET not in str(found)
    assert found["OPENAI_API_KEY"] == "set"
    assert "GROQ_API_KEY" not in found
    assert found["BRAND_DETECT_STORE_ROOT"] == "s3://***@bucket"
    assert found["BRAND_DETECT_MEDIA_ROOTS"] == "s3://***@b/c, s3://d"


@pytest.mark.parametrize("secret", ["se@cret", "se/cret", "@", "/@/"])
def test_no_part_of_a_password_is_told_whatever_is_in_it(secret: str):
    roots = ("s3://bucket", f"s3://key:{secret}@bucket/videos")
    assert facts(Settings(media_roots=roots))["BRAND_DETECT_MEDIA_ROOTS"] == "s3://bucket, s3://***@bucket/videos"


def test_what_makes_results_differ_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    write(tmp_path, {"siglip/model.safetensors": "123", "hub/models--acme--eyes/refs/main": "4f2b9a57"})
    found = facts(Settings(model_roots=(str(tmp_path),), model_hosts=()))
    assert (found["model siglip"], found["model acme/eyes"]) == ("3 bytes", "4f2b9a57")
    assert found["BRAND_DETECT_MODEL_HOSTS"] == "empty"
    assert {"python", "dagster", "rapidocr", "tesseract", "BRAND_DETECT_REMOTE"} <= found.keys()
    assert not {"BRAND_DETECT_CATALOG", "BRAND_DETECT_PROMPTS", "BRAND_DETECT_QUALITY"} & found.keys(), (
        "they are read where the sensors run"
    )


def test_a_changed_file_of_the_package_is_another_version(tmp_path: Path):
    (tmp_path / "a.py").write_text("1", encoding="utf-8")
    before = machines._digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_bytes(b"1")
    assert machines._digest(tmp_path) == before
    (tmp_path / "a.py").write_text("2", encoding="utf-8")
    assert machines._digest(tmp_path) != before


def test_machines_of_one_name_are_recorded_side_by_side(monkeypatch: pytest.MonkeyPatch):
    with dg.DagsterInstance.ephemeral() as instance:
        for machine in ("boot-1/1", "boot-2/1", "boot-2/1"):
            monkeypatch.setattr(machines, "this_machine", lambda machine=machine: machine)
            record(instance, Settings())
        monkeypatch.undo()
        found = recorded(instance)
        assert len(found) == 2
        assert found[0].differences(found[1]) == {}


def test_a_machine_at_work_is_seen_with_each_beat(monkeypatch: pytest.MonkeyPatch):
    with dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(machines, "this_machine", lambda: "boot-1/1")
        record(instance, Settings())
        monkeypatch.undo()
        [before] = recorded(instance)
        beats = {f"{BEATS}boot-1/1/{pid}/5": str(before.seen_s + 40 * (8 - pid)) for pid in (7, 8)}
        instance.daemon_cursor_storage.set_cursor_values({**beats, f"{BEATS}boot-2/1/7/5": str(before.seen_s + 80)})
        [after] = recorded(instance)
        assert after.seen_s == before.seen_s + 40


def test_the_sensor_sets_limits_records_and_forgets(tmp_path: Path):
    with pipeline(tmp_path) as built:
        now_s = database_now_s(built.instance)
        old, new = f"{BEATS}gone/1/1", f"{BEATS}here/1/1"
        built.instance.daemon_cursor_storage.set_cursor_values(
            {old: str(now_s - SEEN_S - 60), new: str(now_s), f"{MACHINES}gone": f"{now_s - SEEN_S - 60} {{}}"}
        )
        built.instance.daemon_cursor_storage.set_cursor_values(
            {"another": "0", f"{CLAIMS}old": str(now_s - SEEN_S - 60)}
        )
        assert claim(built.instance, "new")
        with dg.build_sensor_context(instance=built.instance, resources={"services": built.services}) as context:
            said = [fleet.evaluate_tick(context).skip_message for _ in range(2)]
        assert said == ["Limits of pools were set: gpu 1, cloud 1.", "The limits of pools are as set."]
        assert pool_limits(built.instance) == {"gpu": 1, "cloud": 1}
        assert stored_values(built.instance, BEATS).keys() == {new}
        assert stored_values(built.instance, CLAIMS).keys() == {f"{CLAIMS}new"}
        assert stored_values(built.instance, MACHINES).keys() == {f"{MACHINES}{machines.this_machine()}"}
        assert built.instance.daemon_cursor_storage.get_cursor_values({"another"}) == {"another": "0"}


def test_a_prefix_is_taken_literally():
    """An underscore stands for any character in SQL."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.daemon_cursor_storage.set_cursor_values({"a_b/1": "1", "axb/1": "1"})
        assert stored_values(instance, "a_b/").keys() == {"a_b/1"}
        remove_values(instance, "a_b/", 5.0)
        assert instance.daemon_cursor_storage.get_cursor_values({"a_b/1", "axb/1"}).keys() == {"axb/1"}
