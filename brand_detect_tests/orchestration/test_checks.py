from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from brand_detect.orchestration.checks import frames_are_in_order, report_is_consistent
from brand_detect_tests import payloads as p
from brand_detect_tests.report.fakes import match


def test_frames_in_order_pass():
    assert frames_are_in_order(p.frames()) == ""


def test_frames_that_go_back_or_leave_the_range_do_not():
    good = p.frames()
    back = good.frames.take([0, 2, 1, *range(3, good.frames.num_rows)])
    assert frames_are_in_order(replace(good, frames=back)) == "frame 2 is not later than the one before it"
    assert "the range from" in frames_are_in_order(replace(good, end_s=good.start_s + 1.0))


def test_a_whole_report_passes():
    assert report_is_consistent(match()["compile_report"]) == ""


@pytest.mark.parametrize(("column", "said"), [("end_s", "outside the video"), ("seconds", "its exposures")])
def test_a_report_that_does_not_add_up_does_not(column: str, said: str):
    report = match()["compile_report"]
    at = report.exposures.schema.get_field_index(column)
    moved = pc.add(report.exposures[column], pa.scalar(1000.0))  # pyright: ignore[reportAttributeAccessIssue]
    broken = report.exposures.set_column(at, report.exposures.schema.field(at), moved)
    assert said in report_is_consistent(replace(report, exposures=broken))
