import os
import re
from pathlib import Path

import pytest

from brand_detect.domain.errors import BadInput
from brand_detect.domain.settings import Settings


def test_local_paths_are_those_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Processes that use a path work in other folders than the one where it was named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAND_DETECT_CATALOG", "brands.yaml")
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", "store")
    monkeypatch.setenv("BRAND_DETECT_INBOX", "inbox")
    monkeypatch.setenv("BRAND_DETECT_MEDIA_ROOTS", "videos, s3://bucket/videos, ~/match")
    settings = Settings.load()
    assert settings.catalog == str(tmp_path / "brands.yaml")
    assert settings.store_root == str(tmp_path / "store")
    assert settings.inbox == str(tmp_path / "inbox")
    assert settings.media_roots == (str(tmp_path / "videos"), "s3://bucket/videos", str(Path.home() / "match"))


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch):
    for name in ("CATALOG", "STORE_ROOT", "MEDIA_ROOTS"):
        monkeypatch.setenv(f"BRAND_DETECT_{name}", "")
    assert Settings.load().catalog == ""
    assert Settings.load().store_root.endswith(".state/checkpoints")
    assert len(Settings.load().media_roots) == 2


def test_nothing_is_retried_or_paid_for_off_peak_unless_asked_for(monkeypatch: pytest.MonkeyPatch):
    for name in [n for n in os.environ if n.startswith("BRAND_DETECT_")]:
        monkeypatch.delenv(name)
    settings = Settings.load()
    assert (settings.offpeak, settings.offpeak_max_usd, settings.offpeak_overrides) == (False, 0.0, {})
    assert settings.dagster_url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("inbox", "s3://bucket/inbox", "s3://bucket/inbox"),
        ("inbox_settle_s", "2.5", 2.5),
        ("offpeak", "true", True),
        ("offpeak_cron", "30 22 * * 1-5", "30 22 * * 1-5"),
        ("offpeak_timezone", "Europe/Rome", "Europe/Rome"),
        ("offpeak_max_jobs", "1", 1),
        ("offpeak_max_usd", "2.5", 2.5),
        (
            "offpeak_overrides",
            '{"escalate_vlm": {"provider": "transformers"}}',
            {"escalate_vlm": {"provider": "transformers"}},
        ),
        ("offpeak_overrides", '{"compile_report": {"bridge_s": 2}}', {"compile_report": {"bridge_s": 2}}),
        ("api_max_body_bytes", "1", 1),
        ("service_url", "https://brands.example.org/", "https://brands.example.org"),
        ("proxies", "127.0.0.1, 10.0.0.0/8", ("127.0.0.1", "10.0.0.0/8")),
    ],
)
def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str, read: object):
    monkeypatch.setenv(f"BRAND_DETECT_{name.upper()}", value)
    assert getattr(Settings.load(), name) == read


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("INBOX_SETTLE_S", "-1", "greater than or equal to 0"),
        ("INBOX_SETTLE_S", "inf", "finite"),
        ("SERVICE_URL", "brands.example.org", "is not a plain address such as https://"),
        ("SERVICE_URL", "https://ana:secret@brands.example.org", "is not a plain address"),
        ("OFFPEAK_TIMEZONE", "Mars/Olympus", "there is no time zone 'Mars/Olympus'"),
        ("OFFPEAK_TIMEZONE", "Europe", "there is no time zone 'Europe'"),
        ("OFFPEAK_TIMEZONE", "../../etc/passwd", "there is no time zone"),
        ("OFFPEAK_OVERRIDES", '{"escalate_vlm": {"providr": "x"}}', "escalate_vlm.providr"),
        ("OFFPEAK_OVERRIDES", '{"escalate_vlm": {"max_questions": -1}}', "escalate_vlm.max_questions"),
        ("OFFPEAK_OVERRIDES", '{"escalate": {}}', "There is no stage 'escalate'"),
        ("OFFPEAK_OVERRIDES", '{"match_brands": {"min_confidence": 0.5}}', "a retry runs from escalate_vlm down"),
        ("OFFPEAK_MAX_JOBS", "0", "greater than or equal to 1"),
        ("OFFPEAK_MAX_USD", "-1", "greater than or equal to 0"),
        ("OFFPEAK_MAX_USD", "inf", "finite"),
        ("OFFPEAK_MAX_USD", "nan", "finite"),
        ("OFFPEAK", "sometimes", "boolean"),
        ("API_MAX_BODY_BYTES", "0", "greater than or equal to 1"),
        ("PROXIES", "nginx", "does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_a_value_that_is_none_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
):
    monkeypatch.setenv(f"BRAND_DETECT_{name}", value)
    with pytest.raises(BadInput, match=rf"^BRAND_DETECT_{name}: .*{re.escape(said)}") as error:
        Settings.load()
    assert error.value.hint == "see docs/reference/settings.md"


def test_a_value_that_is_no_json_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_OFFPEAK_OVERRIDES", "{")
    with pytest.raises(BadInput, match=r"offpeak_overrides.* it is not JSON\.$"):
        Settings.load()


def test_a_fault_inside_a_value_is_refused_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BRAND_DETECT_OFFPEAK_OVERRIDES", '{"escalate_vlm": []}')
    with pytest.raises(BadInput, match=r"^BRAND_DETECT_OFFPEAK_OVERRIDES: "):
        Settings.load()


def test_models_lie_in_the_state_folder_or_where_the_setting_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BRAND_DETECT_MODEL_ROOTS", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert Settings.load().model_roots == (str(tmp_path / ".state" / "models"),)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAND_DETECT_MODEL_ROOTS", "models, /srv/models")
    assert Settings.load().model_roots == (str(tmp_path / "models"), "/srv/models")
