"""Corrections by a person, ``{root}/{job_id}/_reviews/``: a file for each event, none ever changed."""

from pydantic import ValidationError

from brand_detect.domain.errors import Permanent
from brand_detect.domain.reviews import Review, in_order
from brand_detect.storage.store import REVIEWS, Store


class Reviews:
    """The log of one job."""

    def __init__(self, store: Store, job_id: str) -> None:
        self._store, self._job_id = store, job_id

    def add(self, review: Review) -> None:
        """Keep an event."""
        when = review.at.removesuffix("+00:00").replace(":", "").replace("-", "")
        self._store.put_review(self._job_id, f"{when}-{review.review_id}", review.model_dump_json(indent=1).encode())

    def all(self) -> list[Review]:
        """Every event, by time.

        Raises:
            Permanent: one of them is damaged.
        """
        return in_order(self._read(name, data) for name, data in self._store.get_reviews(self._job_id).items())

    def _read(self, name: str, data: bytes) -> Review:
        try:
            return Review.model_validate_json(data)
        except ValidationError as e:
            path = f"{self._job_id}/{REVIEWS}/{name}.json"
            raise Permanent(f"The correction {path} is damaged.", "restore the file, or remove it") from e
