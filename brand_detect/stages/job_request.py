"""Root: what was asked for, checked, probed and hashed."""

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
    """Check the id and the overrides, probe the video and hash its bytes.

    Raises:
        BadInput: a bad id or override, a URI that may not be opened, or a file that is no video.
    """
    check_job_id(job_id)
    check_overrides(overrides)
    with media.open(video_uri) as file:
        probe = decoder.probe(file)  # first, for it reads little: what is no video is refused at once
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
