from pathlib import Path

import pytest

from brand_detect.domain.settings import Settings


def test_local_paths_are_those_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Processes that use a path work in other folders than the one where it was named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAND_DETECT_CATALOG", "brands.yaml")
    monkeypatch.setenv("BRAND_DETECT_STORE_ROOT", "store")
    monkeypatch.setenv("BRAND_DETECT_MEDIA_ROOTS", "videos, s3://bucket/videos, ~/match")
    settings = Settings.load()
    assert settings.catalog == str(tmp_path / "brands.yaml")
    assert settings.store_root == str(tmp_path / "store")
    assert settings.media_roots == (str(tmp_path / "videos"), "s3://bucket/videos", str(Path.home() / "match"))


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch):
    for name in ("CATALOG", "STORE_ROOT", "MEDIA_ROOTS"):
        monkeypatch.setenv(f"BRAND_DETECT_{name}", "")
    assert Settings.load().catalog == ""
    assert Settings.load().store_root.endswith(".state/checkpoints")
    assert len(Settings.load().media_roots) == 2
