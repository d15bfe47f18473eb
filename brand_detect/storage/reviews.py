"""Corrections by a person, ``{root}/{job_id}/_reviews/``: a file for each event, none ever changed."""

from brand_detect.domain.reviews import Review, in_order
from brand_detect.storage.sealed import seal, unseal
from brand_detect.storage.store import REVIEWS, Store


class Reviews:
    """The log of one job."""

    def __init__(self, store: Store, job_id: str) -> None:
        self._store, self._job_id = store, job_id

    def add(self, review: Review) -> None:
        """Keep an event."""
        when = review.at.removesuffix("+00:00").replace(":", "").replace("-", "")
        self._store.put_review(self._job_id, f"{when}-{review.review_id}", seal(review.model_dump(mode="json")))

    def all(self) -> list[Review]:
        """Every event that can be read, by time."""
        return self.read()[0]

    def read(self) -> tuple[list[Review], list[str]]:
        """Every event that can be read, by time; and a sentence about each that is damaged."""
        events, damaged = [], []
        for name, data in self._store.get_reviews(self._job_id).items():
            try:
                events.append(review_from_json(data))
            except ValueError:
                path = f"{self._job_id}/{REVIEWS}/{name}.json"
                damaged.append(f"The correction {path} is damaged and left out: restore the file, or remove it.")
        return in_order(events), damaged


def review_from_json(data: bytes) -> Review:
    """A kept event.

    Raises:
        ValueError: it is damaged.
    """
    return Review.model_validate(unseal(data, Review.model_fields))
