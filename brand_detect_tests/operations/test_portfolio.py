"""Totals over a real store, and what the asset leaves behind."""

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.pipeline import PORTFOLIO
from brand_detect.operations.portfolio import NewestReports, portfolio_of
from brand_detect.report.portfolio import Portfolio
from brand_detect.storage import reports
from brand_detect.storage.manifest import NAME
from brand_detect.storage.reports import Reports
from brand_detect.storage.store import Store
from brand_detect_tests.support.checkpoints import reseal
from brand_detect_tests.support.pipeline import CATALOG, Pipeline, pipeline, silent, two_shot_clip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Two jobs; the second has a newer report that knows one brand more."""
    folder = tmp_path_factory.mktemp("portfolio")
    with pipeline(folder) as made:
        made.runner.submit(str(two_shot_clip(folder / "one.mp4")), job_id="one")
        made.runner.submit(str(two_shot_clip(folder / "two.mp4", seconds=6)), job_id="two")
        (folder / "brands.yaml").write_text(f"{CATALOG}  - name: Acme Widgets\n", encoding="utf-8")
        made.runner.replay("two", "match_brands")
        yield made


def whole(built: Pipeline, **asked: Any) -> Portfolio:
    return portfolio_of(NewestReports(Reports(built.services.store)), silent, **asked)


def test_the_newest_report_of_each_job_counts(built: Pipeline):
    found = whole(built)
    assert [job.job_id for job in found.jobs] == ["one", "two"]
    assert found.jobs[1].attempt == built.services.store.attempts("two", "compile_report")[-1].attempt
    assert {b.brand: b.n_videos for b in found.brands} == {"Rolex": 2, "Acme Widgets": 1}
    seconds = {b.brand: b.seconds for b in found.brands}
    assert seconds["Rolex"] == pytest.approx(2 + 3, abs=0.3)
    assert found.seconds == pytest.approx(4 + 6, abs=0.2)


def test_jobs_are_chosen_by_name_and_by_day(built: Pipeline):
    today = datetime.fromisoformat(whole(built).jobs[0].submitted).date()
    assert [job.job_id for job in whole(built, jobs=["one"]).jobs] == ["one"]
    days = {"since": str(today - timedelta(1)), "until": str(today + timedelta(1))}
    assert len(whole(built, **days).jobs) == 2
    assert next(job.job_id for job in whole(built, since=str(today), until=str(today)).jobs) == "one"
    assert whole(built, since=str(today + timedelta(1))).jobs == ()
    assert whole(built, until=str(today - timedelta(1))).jobs == ()


def test_a_report_whose_check_failed_is_passed_over(built: Pipeline, tmp_path: Path):
    shutil.copytree(built.services.store.root, tmp_path / "store")
    store = Store(str(tmp_path / "store"))
    first, second = (m.attempt for m in store.attempts("two", "compile_report"))
    failed = {"name": "totals_equal_the_timeline", "passed": False, "blocking": True}
    reseal(tmp_path / "store" / "two" / "compile_report" / second, checks=[failed])
    assert [job.attempt for job in portfolio_of(NewestReports(Reports(store)), silent, ["two"]).jobs] == [first]
    reseal(tmp_path / "store" / "two" / "compile_report" / first, checks=[failed])
    with pytest.raises(BadInput, match="two has no report"):
        portfolio_of(NewestReports(Reports(store)), silent, ["two"])


def test_a_damaged_report_is_left_out_with_a_note(built: Pipeline, tmp_path: Path):
    shutil.copytree(built.services.store.root, tmp_path / "store")
    stored = Reports(Store(str(tmp_path / "store")))
    made = stored.find("two")
    (tmp_path / "store" / "two" / "compile_report" / made.attempt / "brands.parquet").write_bytes(b"damaged")
    found = portfolio_of(NewestReports(stored), silent)
    assert [job.job_id for job in found.jobs] == ["one"]
    assert [note for note in found.notes if note.startswith("two is left out: ")]
    without = portfolio_of(NewestReports(stored), silent, without=["two"])
    assert ([job.job_id for job in without.jobs], without.notes) == (["one"], ())
    for chosen in (["one", "two"], ["two"]):
        with pytest.raises(Permanent):
            portfolio_of(NewestReports(stored), silent, chosen)
    with pytest.raises(Permanent):
        portfolio_of(NewestReports(stored), silent, without=["one"], jobs=["one", "two"])


def test_a_report_is_read_once_however_many_there_are(built: Pipeline, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reports, "_KEPT", 1)  # as with more jobs than manifests are kept
    store = Store(str(built.services.store.root))
    newest = NewestReports(Reports(store))
    first = portfolio_of(newest, silent)

    def unread(path: str, *_: object) -> bytes:
        raise AssertionError(f"{path} is read again")

    monkeypatch.setattr(store.blobs, "read", unread)
    assert portfolio_of(newest, silent) == first


def test_a_job_with_other_reports_is_read_again(built: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reports, "_KEPT", 0)  # each manifest is read from where it lies
    shutil.copytree(built.services.store.root, tmp_path / "store")
    store = Store(str(tmp_path / "store"))
    first, second = (m.attempt for m in store.attempts("two", "compile_report"))
    newest, folder = NewestReports(Reports(store)), tmp_path / "store" / "two" / "compile_report"
    manifest = (folder / second / NAME).read_bytes()

    def attempt() -> str:
        [job] = portfolio_of(newest, silent, ["two"]).jobs
        return job.attempt

    assert attempt() == second
    (folder / second / NAME).unlink()
    assert attempt() == first
    (folder / second / NAME).write_bytes(b"damaged")
    assert attempt() == first
    (folder / second / NAME).write_bytes(manifest)
    assert attempt() == second


def test_a_store_that_may_not_be_read_has_no_portfolio(built: Pipeline, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object):
        raise Permanent("Access denied.")

    monkeypatch.setattr(Reports, "all", refused)
    with pytest.raises(Permanent, match="Access denied"):
        portfolio_of(NewestReports(Reports(built.services.store)), silent)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"jobs": ["nobody"]}, "nobody has no report to sum up."),
        ({"since": "May"}, "'May' is not a date for since."),
        ({"until": "2026-02-30"}, "'2026-02-30' is not a date for until."),
        ({"jobs": ["../one"]}, "The job id '../one' is not allowed."),
    ],
)
def test_what_is_wrong_is_said(built: Pipeline, asked: dict[str, Any], said: str):
    with pytest.raises(BadInput) as caught:
        whole(built, **asked)
    assert str(caught.value) == said
    assert caught.value.hint


def test_the_asset_keeps_page_json_and_tables(built: Pipeline):
    result = built.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=built.instance,
        asset_selection=[dg.AssetKey(PORTFOLIO)],
        run_config={"ops": {PORTFOLIO: {"config": {"jobs": ["two"]}}}},
    )
    [event] = result.asset_materializations_for_node(PORTFOLIO)
    told: dict[str, Any] = {name: value.value for name, value in event.metadata.items()}
    assert (told["brands"], told["videos"]) == (2, 1)
    assert "| Rolex | 3." in told["text"]
    kept = Path(built.services.store.root) / "_portfolio"
    assert Path(told["document"]).parent == kept
    assert sorted(path.name.partition("-")[2] for path in kept.iterdir()) == [
        "brands.csv",
        "portfolio.html",
        "portfolio.json",
        "videos.csv",
    ]
    read = Portfolio.model_validate_json(Path(told["document"]).read_text(encoding="utf-8"))
    assert read == whole(built, jobs=["two"])
    assert "_portfolio" not in built.services.store.jobs()
