"""Who may be asked, and what has to be switched on before."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from brand_detect.domain.contracts import check_overrides, effective
from brand_detect.domain.contracts.detect_objects import DetectObjectsParams
from brand_detect.domain.contracts.escalate_cloud import EscalateCloudParams
from brand_detect.domain.contracts.escalate_vlm import EscalateVlmParams
from brand_detect.domain.contracts.filter_scenes import FilteredScenes
from brand_detect.domain.errors import BadInput
from brand_detect.domain.settings import Settings
from brand_detect.engines import providers
from brand_detect.engines.calls import is_here
from brand_detect.engines.onnx import OnnxNet
from brand_detect.engines.prices import listed_price
from brand_detect.engines.providers import ProviderAnswerer
from brand_detect.engines.vlm import TransformersAnswerer
from brand_detect.orchestration import stage
from brand_detect.orchestration.models import FREE, answerer, endpoints
from brand_detect.orchestration.resources import ONE_SIZE_FROM, Engines
from brand_detect.storage.spending import Spending
from brand_detect.storage.store import Store
from brand_detect_tests.support.model_server import serving
from brand_detect_tests.support.pipeline import pipeline, two_shot_clip

HERE = "http://127.0.0.1:8000/v1"
GPT: dict[str, Any] = {"provider": "openai", "model": "gpt-4o-mini"}
SERVER: dict[str, Any] = {"provider": "openai_compatible", "model": "llava"}
LISTED = Settings(model_hosts=("127.0.0.1:8000",))
REMOTE = LISTED.model_copy(update={"remote": True})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def of(stage: str, settings: Settings, store: Store, **params: Any) -> Any:
    found = effective(stage, params)
    assert isinstance(found, EscalateVlmParams | EscalateCloudParams)
    return answerer(stage, found, settings, store, {})


def local(settings: Settings, store: Store, **params: Any) -> Any:
    return of("escalate_vlm", settings, store, **params)


def cloud(settings: Settings, store: Store, **params: Any) -> Any:
    return of("escalate_cloud", settings, store, **params)


@pytest.mark.parametrize("stage", ["escalate_vlm", "escalate_cloud"])
def test_off_is_nobody_whatever_else_is_set(store: Store, stage: str):
    assert of(stage, Settings(), store, model="m", prompt="nothing") is None


def test_a_model_of_transformers_leaves_no_machine_and_needs_no_switch(store: Store):
    found = local(Settings(), store, provider="transformers", model="folder/of/it")
    assert isinstance(found, TransformersAnswerer)
    assert (found.provider, found.model) == ("transformers", "folder/of/it")
    assert found.prompt_version.startswith("default 1 ")


@pytest.mark.parametrize(
    ("stage", "params"),
    [
        ("escalate_vlm", {"provider": "transformers"}),
        ("escalate_vlm", {"provider": "openai_compatible", "base_url": HERE}),
        ("escalate_cloud", {"provider": "openai"}),
    ],
)
def test_a_model_has_to_be_named(store: Store, stage: str, params: dict[str, Any]):
    with pytest.raises(
        BadInput, match=f"{stage}: the provider is {params['provider']}, but no model is named"
    ) as error:
        of(stage, REMOTE, store, **params)
    assert error.value.hint == f"set {stage}.model"


def test_a_prompt_that_is_not_there_is_refused(store: Store):
    with pytest.raises(BadInput, match="There is no prompt 'cooking'"):
        local(Settings(), store, provider="transformers", model="m", prompt="cooking")


@pytest.mark.parametrize(
    ("params", "to"),
    [
        (GPT, "openai"),
        ({**GPT, "fallbacks": ["google:gemini-2.5-flash"]}, "openai, google"),
        ({**SERVER, "base_url": HERE, "fallbacks": ["google:gemini-2.5-flash"]}, "google"),
        ({**SERVER, "base_url": "http://gpu-box:8000/v1"}, "a server"),
    ],
)
def test_nothing_leaves_while_remote_use_is_off(store: Store, params: dict[str, Any], to: str):
    settings = Settings(model_hosts=("gpu-box:8000", "127.0.0.1:8000"))
    with pytest.raises(BadInput, match=f"crops would leave this machine, to {to}, but remote use is off") as error:
        cloud(settings, store, **params)
    assert "BRAND_DETECT_REMOTE=1" in error.value.hint


def test_remote_use_is_off_unless_switched_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BRAND_DETECT_REMOTE", raising=False)
    assert not Settings.load().remote
    monkeypatch.setenv("BRAND_DETECT_REMOTE", "1")
    assert Settings.load().remote


def test_a_provider_that_may_be_asked_has_its_price(store: Store):
    found = cloud(REMOTE, store, **GPT, fallbacks=["google:gemini-2.5-flash"])
    assert isinstance(found, ProviderAnswerer)
    assert (found.provider, found.model) == ("openai", "gpt-4o-mini")
    asked = endpoints(EscalateCloudParams(**GPT, fallbacks=["google:gemini-2.5-flash", "openai:gpt-4o"]))
    assert [(e.provider, e.model, e.base_url) for e in asked] == [
        ("openai", "gpt-4o-mini", ""),
        ("google", "gemini-2.5-flash", ""),
        ("openai", "gpt-4o", ""),
    ]
    assert asked[0].price == listed_price("openai", "gpt-4o-mini")


@pytest.mark.parametrize(
    ("params", "what"),
    [
        ({"provider": "openai", "model": "gpt-99-huge"}, "openai:gpt-99-huge"),
        ({**GPT, "fallbacks": ["groq:gpt-99-huge"]}, "groq:gpt-99-huge"),
        ({**SERVER, "base_url": "https://models.example.org/v1"}, "openai_compatible:llava"),
    ],
)
def test_a_model_whose_price_nobody_knows_is_not_asked(store: Store, params: dict[str, Any], what: str):
    settings = Settings(remote=True, model_hosts=("models.example.org",))
    with pytest.raises(BadInput, match=f"the price of {what} is unknown") as error:
        cloud(settings, store, **params)
    assert "input_usd_per_mtok" in error.value.hint


def test_a_price_that_is_told_goes_before_the_list_s():
    told = EscalateCloudParams(**GPT, input_usd_per_mtok=1.0, fallbacks=["openai:gpt-4o-mini"])
    first, second = endpoints(told)
    assert (first.price.input_usd, first.price.output_usd) == (1.0, 0.0)
    assert second.price == listed_price("openai", "gpt-4o-mini")


def test_a_server_on_this_machine_is_free_and_needs_no_switch(store: Store):
    for found in (local(LISTED, store, **SERVER, base_url=HERE), cloud(LISTED, store, **SERVER, base_url=HERE)):
        assert isinstance(found, ProviderAnswerer)
    for kind in (EscalateVlmParams, EscalateCloudParams):
        [endpoint] = endpoints(kind(**SERVER, base_url=HERE))
        assert (endpoint.price, endpoint.base_url) == (FREE, HERE)


@pytest.mark.parametrize("stage", ["escalate_vlm", "escalate_cloud"])
@pytest.mark.parametrize(
    "url",
    [
        "gpu-box:8000",
        "file:///etc/passwd",
        "ftp://127.0.0.1/v1",
        "http://",
        "http:///v1",
        "http://[/v1",
        "http://127.0.0.1:99999/v1",
        "http://127.0.0.1:port/v1",
        "http://user:secret@127.0.0.1/v1",
        "http://user@127.0.0.1/v1",
        "http://:secret@127.0.0.1/v1",
        "http://127.0.0.1/v1?key=secret",
        "http://127.0.0.1/v1#secret",
        "http://127.0.0.1:0/v1",
        "http://127.0.0.1\\@secret.org/v1",
        "http://127.0.0.1/v1\n",
        "http://127.0.0.1 /v1",
    ],
)
def test_what_is_no_plain_address_is_refused_and_not_repeated(stage: str, url: str):
    with pytest.raises(BadInput, match=rf"{stage}\.base_url: this is not a plain address") as e:
        check_overrides({stage: {"base_url": url}})  # before anything is launched
    assert "secret" not in e.value.full


@pytest.mark.parametrize("stage", ["escalate_vlm", "escalate_cloud"])
def test_a_server_has_to_be_named(store: Store, stage: str):
    with pytest.raises(BadInput, match=f"{stage}: no server is named"):
        of(stage, REMOTE, store, **SERVER)


@pytest.mark.parametrize(
    ("url", "hosts", "may"),
    [
        ("http://gpu-box:8000/v1", (), False),
        ("http://gpu-box:8000/v1", ("gpu-box",), False),  # the usual port alone
        ("http://gpu-box/v1", ("gpu-box",), True),
        ("https://gpu-box/v1", ("gpu-box",), True),
        ("http://gpu-box:443/v1", ("gpu-box",), False),
        ("http://GPU-Box:8000/v1", ("gpu-box:8000",), True),
        ("http://gpu-box:8001/v1", ("gpu-box:8000",), False),
        ("https://gpu-box/v1", ("gpu-box:443",), True),
        ("http://gpu-box/v1", ("gpu-box:80",), True),
        ("http://[fd00::7]:8000/v1", ("[fd00::7]:8000",), True),
        ("http://[FD00::7]/v1", ("[fd00::7]",), True),
        ("http://[FD00::7]:8000/v1", ("[fd00::7]",), False),
        ("http://[fd00::7]:8001/v1", ("[fd00::7]:8000",), False),
        ("http://gpu-box.evil.org/v1", ("gpu-box",), False),
        ("http://127.0.0.1.evil.org/v1", ("127.0.0.1",), False),
        ("http://10.0.0.7:8000/v1", (), False),
        ("http://0.0.0.0:8000/v1", (), False),
        ("http://localhost:8000/v1", (), False),  # a database, Dagster's webserver
        ("http://localhost:8000/v1", ("localhost:8000",), True),
        ("http://localhost:8000/v1", ("127.0.0.1:8000",), False),
        ("http://127.0.0.1:6379/v1", ("127.0.0.1:8000",), False),
        ("http://[::1]:8000/v1", ("[::1]:8000",), True),
    ],
)
def test_crops_go_to_hosts_and_ports_that_are_allowed(store: Store, url: str, hosts: tuple[str, ...], may: bool):
    settings = Settings(model_hosts=hosts)
    if may:
        assert isinstance(local(settings, store, **SERVER, base_url=url), ProviderAnswerer)
    else:
        with pytest.raises(BadInput, match=r"escalate_vlm: sending crops to .* is not allowed") as error:
            local(settings, store, **SERVER, base_url=url)
        assert error.value.hint.endswith("to BRAND_DETECT_MODEL_HOSTS where Dagster runs, to allow it")
        told = Settings(model_hosts=(error.value.hint.split()[1],))
        assert isinstance(local(told, store, **SERVER, base_url=url), ProviderAnswerer)


@pytest.mark.parametrize(
    ("stage", "params"), [("escalate_cloud", GPT), ("escalate_vlm", {"provider": "transformers", "model": "m"})]
)
def test_an_address_beside_a_provider_that_has_its_own_is_refused(store: Store, stage: str, params: dict[str, Any]):
    """It would go unheeded, and the crops elsewhere than was meant."""
    with pytest.raises(BadInput, match="base_url is for openai_compatible, not for"):
        of(stage, REMOTE, store, **params, base_url=HERE)


@pytest.mark.parametrize("url", ["", "http://[", "gpu-box", "http://gpu-box", "http://1.2.3.4"])
def test_what_is_not_known_to_be_here_is_not(url: str):
    assert not is_here(url)


def test_the_tries_of_a_run_share_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a step does that is tried again after a fault that may pass."""
    monkeypatch.setattr(providers, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(stage, "RETRY_PAUSE_S", 0)
    with serving() as server, pipeline(tmp_path, model_hosts=[f"127.0.0.1:{server.port}"]) as built:
        built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4", seconds=2.0)), job_id="match")
        server.preflights = ["no json"] * 99  # four in a step, each billed, for all that is known
        params = {**SERVER, "base_url": f"{server.url}/v1", "input_usd_per_mtok": 1.0, "max_usd": 0.003}
        built.runner.replay("match", "escalate_cloud", {"escalate_cloud": params})
        [_, attempt] = built.services.store.attempts("match", "escalate_cloud")
        spent = Spending(built.services.store.blobs, 0, 0).spent_micro(datetime.now(UTC).date().isoformat())
    assert (len(server.asked), attempt.stats["deferred"]) == (5, 1)
    assert 2400 < spent <= 3000


def test_a_run_that_executes_the_rest_of_a_failed_one_shares_its_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with serving() as server, pipeline(tmp_path, model_hosts=[f"127.0.0.1:{server.port}"]) as built:
        built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4", seconds=2.0)), job_id="match")
        params = {**SERVER, "base_url": f"{server.url}/v1", "input_usd_per_mtok": 1.0, "max_usd": 0.003}
        before = Spending(built.services.store.blobs, 0.003, 1.0, "failed")
        before.charge(before.reserve(0.003), 0.003)
        monkeypatch.setattr(stage, "first_run", lambda *_: "failed")
        built.runner.replay("match", "escalate_cloud", {"escalate_cloud": params})
        [_, attempt] = built.services.store.attempts("match", "escalate_cloud")
    assert (server.asked, attempt.stats["deferred"]) == ([], 1)


def test_a_run_whose_model_is_missing_does_not_begin(tmp_path: Path):
    """In this process, as ``brand-detect run`` does it."""
    video = str(two_shot_clip(tmp_path / "match.mp4", seconds=2.0))
    missing: dict[str, Any] = {"escalate_vlm": {"provider": "transformers", "model": "acme/none"}}
    with pipeline(tmp_path) as built:
        with pytest.raises(BadInput, match="The model acme/none is not on this machine"):
            built.runner.submit(video, job_id="match", overrides=missing)
        assert built.instance.get_runs() == []
        built.runner.submit(video, job_id="match")
        before = built.instance.get_runs_count()
        with pytest.raises(BadInput, match="The model acme/none is not on this machine"):
            built.runner.replay("match", "escalate_vlm", missing)
        assert built.instance.get_runs_count() == before


@pytest.mark.parametrize("name", ["/dev/zero", "/etc/passwd", "/", "../x"])
@pytest.mark.parametrize("param", ["object_model", "embedder"])
def test_a_stage_opens_no_model_outside_the_roots(param: str, name: str):
    """A run that is launched past the clients, too."""
    engines, params = Engines.of(Settings()), DetectObjectsParams.model_validate({"text": "off", param: name})
    with pytest.raises(BadInput, match=f"{name} is outside all model roots"):
        engines.logo_embedder(params) if param == "embedder" else engines.region_detectors(params, 1)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 1001])
@pytest.mark.parametrize("param", ["object_model", "embedder"])
def test_a_name_of_a_model_is_one_line(param: str, name: str):
    with pytest.raises(BadInput, match=rf"detect_objects\.{param}"):
        check_overrides({"detect_objects": {param: name}})


@pytest.mark.parametrize(("searched", "is_ready"), [(ONE_SIZE_FROM - 1, False), (ONE_SIZE_FROM, True)])
def test_a_network_for_one_size_of_picture_is_made_for_a_long_video_alone(searched: int, is_ready: bool):
    params = DetectObjectsParams.model_validate({"logos": "off"})
    [detector] = Engines.of(Settings()).region_detectors(params, searched * params.search_every)
    with patch.object(OnnxNet, "fixed", autospec=True, side_effect=OnnxNet.fixed) as fixed:
        detector.detect(np.zeros((64, 64, 3), np.uint8))
    assert fixed.called is is_ready


def test_detectors_are_told_how_many_keyframes_there_are(tmp_path: Path):
    told: list[int] = []
    with pipeline(tmp_path, region_detectors=lambda _, keyframes: told.append(keyframes) or []) as built:
        run = built.runner.submit(str(two_shot_clip(tmp_path / "match.mp4")), job_id="match")
        scenes = run.load("filter_scenes")
        assert isinstance(scenes, FilteredScenes)
        assert told == [sum(scenes.shots["n_keyframes"].to_pylist())]
        assert told[0] >= 2


@pytest.mark.parametrize(("logos", "found"), [("contours", ["ContourLogoDetector"]), ("off", [])])
def test_logo_regions_come_from_contours_or_not_at_all(logos: str, found: list[str]):
    params = DetectObjectsParams.model_validate({"text": "off", "logos": logos})
    assert [type(detector).__name__ for detector in Engines.of(Settings()).region_detectors(params, 1)] == found
