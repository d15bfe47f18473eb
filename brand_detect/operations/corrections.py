"""The corrections of a job, and what each does in a report."""

import json

from pydantic import Field

from brand_detect.domain.reviews import Review
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.codec import FACTS
from brand_detect.storage.manifest import Manifest
from brand_detect.storage.reviews import Reviews
from brand_detect.storage.store import Store


class ReviewInfo(Review):
    """A correction and its effect in the current report."""

    state: str = Field(description="applied, orphaned, undone, or pending: the report was made before it")
    detections: int = Field(0, description="number of detections that it changed")
    seconds: float = Field(0.0, description="their time on screen")


def corrections(store: Store, made: Manifest) -> tuple[list[ReviewInfo], list[str]]:
    """All corrections of the job by time, with their state in the report ``made``, and one sentence about each damaged
    one."""
    facts = json.loads(store.read(AttemptRef(made.job_id, made.stage, made.attempt), FACTS))
    told = {row["review_id"]: row for row in facts["summary"].get("reviews", ())}
    log, damaged = Reviews(store.blobs, made.job_id).read()
    return [_with_effect(review, told.get(review.review_id, {"state": "pending"})) for review in log], damaged


def _with_effect(review: Review, told: dict[str, object]) -> ReviewInfo:
    shown = {name: told[name] for name in ("state", "detections", "seconds") if name in told}
    return ReviewInfo.model_validate({**review.model_dump(), **shown})
