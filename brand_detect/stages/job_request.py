"""The root: the request, with its video probed and hashed."""

from brand_detect.domain.contracts import check_overrides
from brand_detect.domain.job import JobRequest, Overrides, check_job_id
from brand_detect.domain.media import content_sha256
from brand_detect.domain.protocols import Decoder, Media, Progress


def job_request(
    *,
    job_id: str,
    video_uri: str,
    profile: str,
    overrides: Overrides,
    media: Media,
    decoder: Decoder,
    progress: Progress,
) -> JobRequest:
    """Checks the id and the overrides, probes the video and hashes its bytes.

    Raises:
        BadInput: the id or an override is invalid, the URI may not be opened, or the file is not a video.
    """
    check_job_id(job_id)
    check_overrides(overrides)
    with media.open(video_uri) as file:
        probe = decoder.probe(file)  # first, since it reads little: other files are refused at once
        sha256, size = content_sha256(file, progress)
    return JobRequest(
        job_id=job_id,
        video_uri=video_uri,
        video_sha256=sha256,
        video_bytes=size,
        profile=profile,
        overrides=overrides,
        probe=probe,
    )
