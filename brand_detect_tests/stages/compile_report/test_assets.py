"""Assets of a property's inventory: the zone, the placement, and the text beside a brand."""

from typing import Any

import pytest

from brand_detect.domain.contracts.compile_report import CompileReportParams, Report
from brand_detect.domain.inventory import Inventory
from brand_detect.orchestration.profiles import load_quality
from brand_detect.stages.compile_report import compile_report
from brand_detect_tests.support import payloads as p

NET = {"name": "net", "zone": (0.3, 0.4, 0.7, 0.6)}


def report(regions: list[dict[str, Any]], *assets: dict[str, Any], clock: str = "") -> Report:
    """A report on Nike's track ``a``; the track ``clock`` reads the clock's text."""
    frames = p.frames(20)
    scenes = p.scenes(frames)
    unresolved = [p.cluster(1, clock, p.region(0, "clock"))] if clock else []
    return compile_report(
        p.request(),
        frames,
        scenes,
        p.detected(regions, scenes),
        p.verdicts([p.verdict("Nike", ["a"])], unresolved),
        CompileReportParams.model_validate({}),
        scale=load_quality("default"),
        statistics={},
        brands={},
        inventory=Inventory.model_validate({"version": 1, "assets": assets}) if assets else None,
    )


def asset_of(*of: Any, **more: Any) -> str:
    return report(*of, **more).exposures["asset"][0].as_py()


def test_an_exposure_is_on_the_first_asset_whose_zone_holds_its_centre() -> None:
    middle = [p.region(3, "a", (900, 500, 120, 40))]
    assert asset_of(middle) == ""
    assert asset_of(middle, NET) == "net"
    assert asset_of(middle, NET | {"name": "all", "zone": (0, 0, 1, 1)}, NET) == "all"
    assert asset_of([p.region(3, "a", (100, 500, 120, 40))], NET) == ""


def test_an_asset_may_ask_for_a_placement() -> None:
    middle = [p.region(3, "a", (900, 500, 120, 40))]
    assert asset_of(middle, NET | {"placement": "unknown"}) == "net"
    assert asset_of(middle, NET | {"placement": "board"}) == ""


@pytest.mark.parametrize(("x", "asset"), [(790, "left bug"), (1110, "left bug"), (770, ""), (1130, "")])
def test_an_asset_may_ask_for_a_text_no_further_than_three_heights(x: int, asset: str) -> None:
    left = x - 60 if x < 900 else x  # ``x`` is the end of the clock that faces the brand
    regions = [p.region(3, "a", (900, 500, 100, 40)), p.region(3, "clock", (left, 505, 60, 30))]
    bug = {"name": "left bug", "zone": (0, 0, 1, 1), "beside": "game clock"}
    assert asset_of(regions, bug, clock="GAME-CLOCK 12:41") == asset
    assert asset_of(regions, bug, clock="12:41") == ""


def test_the_parts_of_a_brands_time_are_counted_like_exposures() -> None:
    # In the net's zone from frame 0 to 3, beside it from 3 to 5, again in it at 10.
    inside, aside = (900, 500, 120, 40), (100, 500, 120, 40)
    regions = [p.region(i, "a", inside) for i in (0, 1, 2, 10)] + [p.region(i, "a", aside) for i in (3, 4, 5)]
    made = report(regions, NET)
    brand, part = made.brands.to_pylist()[0], made.assets.to_pylist()
    assert [(row["asset"], row["seconds"], row["n_exposures"]) for row in part] == [("net", 1.75, 2)]
    assert part[0]["share"] == pytest.approx(1.75 / brand["seconds"])
    placements = made.placements.to_pylist()
    assert sum(row["seconds"] for row in placements) == pytest.approx(brand["seconds"])
    assert {row["brand_id"] for row in (*part, *placements)} == {brand["brand_id"]}
