"""Labels from corrections."""

from typing import Any

from brand_detect.domain import model as m
from brand_detect.domain.params import CompileReportParams
from brand_detect.domain.reviews import correction_of, review_of
from brand_detect.orchestration.config import load_quality
from brand_detect.report.labels import labels
from brand_detect.stages.compile_report import compile_report
from brand_detect_tests import payloads as p


def report(*said: dict[str, Any]) -> m.Report:
    frames = p.frames(10)
    scenes = p.scenes(frames)
    regions = [p.region(f, "a", (10, 20, 30, 40)) for f in (1, 2)] + [p.region(5, "b"), p.region(7, "x")]
    return compile_report(
        p.request(),
        frames,
        scenes,
        p.detected(regions, scenes),
        p.verdicts([p.verdict("Nike", ["a"]), p.verdict("Puma", ["b"])], [p.cluster(1, "ACME", regions[-1])]),
        CompileReportParams.model_validate({}),
        scale=load_quality("default"),
        statistics={},
        reviews=[review_of(correction_of(one)) for one in said],
    )


def test_what_nobody_looked_at_is_no_label():
    assert list(labels(report())) == []


def test_every_verdict_of_a_person_is_a_label():
    found = list(
        labels(
            report(
                {"action": "reject", "brand_id": "nike"},
                {"action": "accept", "brand_id": "puma"},
                {"action": "name", "cluster_id": "cluster-1", "to": "Acme"},
            )
        )
    )
    assert [(one.frame, one.brand, one.verdict, one.reviewed) for one in found] == [
        (1, "Nike", "negative", "rejected"),
        (2, "Nike", "negative", "rejected"),
        (5, "Puma", "positive", "accepted"),
        (7, "Acme", "positive", "named"),
    ]
    assert (found[0].box, found[0].t_s, found[3].text) == ((10, 20, 30, 40), 0.5, "ACME")
