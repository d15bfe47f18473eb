from collections.abc import Mapping
from enum import Enum
from importlib import resources
from pathlib import Path

import dagster as dg
import pytest
from pydantic import Field

from brand_detect.domain.contracts import CONTRACTS
from brand_detect.domain.errors import BadInput
from brand_detect.domain.params import Params
from brand_detect.domain.settings import Settings
from brand_detect.orchestration.config import CONFIGS, config_class, explicit
from brand_detect.orchestration.profiles import load_inventory, load_profile, load_quality, profile_names
from brand_detect.storage.own_files import OwnFiles


@pytest.mark.parametrize("stage", CONTRACTS)
def test_every_field_is_optional_and_unset_by_default(stage: str):
    config = CONFIGS[stage]()
    assert set(config.model_dump()) == set(CONTRACTS[stage].params.model_fields)
    assert explicit(config.model_dump()) == {}


@pytest.mark.parametrize("stage", CONTRACTS)
def test_the_launchpad_shows_each_param_with_its_default(stage: str):
    fields = CONFIGS[stage].to_fields_dict()
    for name, field in CONTRACTS[stage].params.model_fields.items():
        assert not fields[name].is_required
        assert not fields[name].default_provided or fields[name].default_value is None
        assert str(field.description) in str(fields[name].description)


def test_types_that_null_or_dagster_would_bend_are_refused():
    class Renamed(Enum):
        fast = "FAST"

    class Nullable(Params):
        value: int | None = Field(None, description="null has no meaning")

    class Path_(Params):  # noqa: N801
        value: Path = Field(Path(), description="no path")

    class Pair(Params):
        value: tuple[int, int] = Field((0, 0), description="no tuple")

    class Named(Params):
        value: Renamed = Field(Renamed.fast, description="Dagster takes the name")

    for params in (Nullable, Path_, Pair, Named):
        with pytest.raises(TypeError):
            config_class("x", params)


def test_enums_are_given_by_their_names():
    @dg.op(config_schema=CONFIGS["run_ocr"].to_config_schema().as_field())
    def read(context: dg.OpExecutionContext) -> dict:
        return explicit(context.op_config)

    @dg.job
    def job():
        read()

    done = job.execute_in_process(run_config={"ops": {"read": {"config": {"engine": "tesseract", "max_crops": None}}}})
    assert done.output_for_node("read") == {"engine": "tesseract"}


def test_the_packaged_profiles_are_valid():
    assert profile_names() == ["default", "fast", "fixed_camera", "soccer_broadcast"]
    for name in profile_names():
        load_profile(name)
    assert load_profile("soccer_broadcast")["extract_frames"]["sample_fps"] == 2
    assert load_profile("soccer_broadcast")["filter_scenes"]["hamming_threshold"] == 8


@pytest.mark.parametrize("name", ["", "none", "../domain/model", "default.yaml"])
def test_an_unknown_profile_is_refused(name: str):
    with pytest.raises(BadInput, match="There is no profile"):
        load_profile(name)


def own_scales(folder: Path) -> Mapping[str, str]:
    return OwnFiles.read(Settings(quality=str(folder))).quality


def test_a_scale_of_ones_own_comes_before_the_package(tmp_path: Path) -> None:
    shipped = load_quality("default")
    assert load_quality("default", own_scales(tmp_path / "nowhere")) == shipped
    text = (resources.files("brand_detect") / "quality" / "default.yaml").read_text(encoding="utf-8")
    (tmp_path / "contract.yaml").write_text(text.replace("size: 3", "size: 5"), encoding="utf-8")
    (tmp_path / "default.yaml").write_text(text.replace("version: 1", "version: 2"), encoding="utf-8")
    own = load_quality("contract", own_scales(tmp_path))
    assert own.weights["size"] == 5
    assert own.digest != shipped.digest
    assert load_quality("default", own_scales(tmp_path)).version == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("missing", None, "no quality scale 'missing'"),
        ("broken", "a: [", "it is not YAML"),
        ("empty", "", "is malformed"),
        ("partial", "version: 1\nweights: {size: 1}", "is malformed: "),
    ],
)
def test_what_is_no_scale_is_refused_with_a_sentence(name: str, text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=said):
        load_quality(name, own_scales(tmp_path))


def test_an_inventory_is_read_by_name_from_the_folder_of_the_deployment(tmp_path: Path) -> None:
    assert load_inventory("off", {}) is None
    text = "version: 1\nassets:\n  - {name: net, zone: [0.3, 0.4, 0.7, 0.6], placement: board}\n"
    (tmp_path / "rink.yaml").write_text(text, encoding="utf-8")
    found = load_inventory("rink", OwnFiles.read(Settings(inventory=str(tmp_path))).inventory)
    assert found is not None
    assert [asset.name for asset in found.assets] == ["net"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no inventory 'rink'"),
        ("a: [", "it is not YAML"),
        ("version: 1\nassets: []", "at least one asset"),
        ("version: 1\nassets:\n  - {name: net, zone: [0, 0, 1, 1], near: x}", "assets.0.near: "),
    ],
)
def test_what_is_no_inventory_is_refused_with_a_sentence(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "rink.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=said):
        load_inventory("rink", OwnFiles.read(Settings(inventory=str(tmp_path))).inventory)


def test_without_a_folder_the_setting_is_named() -> None:
    with pytest.raises(BadInput) as refused:
        load_inventory("rink", {})
    assert "BRAND_DETECT_INVENTORY" in refused.value.full
