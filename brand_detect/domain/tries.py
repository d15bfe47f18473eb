"""Further tries of what failed for a reason that may pass."""

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_chain, wait_fixed

from brand_detect.domain.errors import Transient

PAUSES_S = (1.0, 5.0, 15.0)
"""Pauses before each further try where hours of work or paid answers are at stake."""


def tries(*pauses_s: float) -> Retrying:
    """Retries after a ``Transient`` error, with a pause before each further try; raises the last error."""
    return Retrying(
        stop=stop_after_attempt(len(pauses_s) + 1),
        wait=wait_chain(*map(wait_fixed, pauses_s)),
        retry=retry_if_exception_type(Transient),
        reraise=True,
    )
