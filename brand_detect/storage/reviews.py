"""People's corrections, ``{root}/{job_id}/_reviews/``: one immutable file per event."""

from brand_detect.domain.job import check_job_id
from brand_detect.domain.reviews import Review, in_order
from brand_detect.storage.blobs import Blobs, concurrently
from brand_detect.storage.sealed import seal, unseal

REVIEWS = "_reviews"


class Reviews:
    """The corrections of one job."""

    def __init__(self, blobs: Blobs, job_id: str) -> None:
        self._blobs, self._folder = blobs, f"{check_job_id(job_id)}/{REVIEWS}"

    def add(self, review: Review) -> None:
        """Store an event.

        Raises:
            Permanent: it is already stored.
        """
        when = review.at.removesuffix("+00:00").replace(":", "").replace("-", "")
        path = f"{self._folder}/{when}-{review.review_id}.json"
        self._blobs.create(path, seal(review.model_dump(mode="json")))

    def paths(self) -> list[str]:
        """The files of all events."""
        return self._blobs.paths(self._folder)

    def all(self) -> list[Review]:
        """All readable events, by time."""
        return self.read()[0]

    def read(self) -> tuple[list[Review], list[str]]:
        """All readable events, by time, and one sentence about each damaged one."""
        events, damaged, paths = [], [], self.paths()
        for path, data in zip(paths, concurrently(self._blobs.read, paths), strict=True):
            try:
                events.append(review_from_json(data))
            except ValueError:
                damaged.append(f"The correction {path} is damaged and left out: restore the file, or remove it.")
        return in_order(events), damaged


def review_from_json(data: bytes) -> Review:
    """Parse a stored event.

    Raises:
        ValueError: it is damaged.
    """
    return Review.model_validate(unseal(data, Review.model_fields))
