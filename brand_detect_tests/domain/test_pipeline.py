"""The names of stages: an enum for code that decides by stage, plain strings for what Dagster is given."""

from brand_detect.domain.pipeline import ASSETS, ESCALATIONS, LINE, STAGES, Stage, downstream_of, upstream_of


def test_dagster_is_given_plain_strings():
    """Its serializer refuses an enum that it does not know, be it a string or not."""
    names = (*ASSETS, *LINE, *STAGES, *ESCALATIONS, *downstream_of(Stage.run_ocr), *upstream_of(Stage.run_ocr))
    assert {type(name) for name in names} == {str}


def test_a_stage_s_value_is_its_name():
    assert [stage.name for stage in Stage] == [stage.value for stage in Stage] == list(STAGES)
