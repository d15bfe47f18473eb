"""What goes wrong between this program and a store, as domain errors; and addresses that must not be kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from brand_detect.domain.errors import BadInput, Permanent, Transient

DRIVERS = ("aiobotocore", "aiohttp", "asyncio", "azure", "botocore", "fsspec", "gcsfs")
"""Libraries behind fsspec whose errors are no OSError: S3 without credentials or out of reach, for two."""


class Missing(Permanent):
    """A file that should be in the store is not."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Faults of a store become one sentence that begins with ``what``, such as "a.json could not be read".

    Raises:
        Missing: it is not there.
        Permanent: the store refuses.
        Transient: any other fault.
    """
    try:
        yield
    except Exception as e:
        kind = type(e)
        if not (isinstance(e, OSError) or kind.__module__.split(".")[0] in DRIVERS):
            raise
        reason = " ".join(str(e).split()).rstrip(".") or kind.__name__
        if isinstance(e, PermissionError | FileNotFoundError) or "Credential" in kind.__name__:
            refused = Missing if isinstance(e, FileNotFoundError) else Permanent
            raise refused(f"{what}: {reason}.", "check the store's address, permissions and credentials") from e
        raise Transient(f"{what}: {reason}.", "try again; check the store and its space") from e


def check_address(uri: str) -> str:
    """Return ``uri`` if it holds no secret: it goes into manifests, metadata and reports.

    Raises:
        BadInput: it names a password, or it is a web address with a query, which is where access tokens stand.
    """
    for link in uri.split("::"):
        if "://" not in link:
            continue
        scheme = link.split("://", 1)[0]
        try:
            parts = urlsplit(link)
            secret = parts.password is not None
            _ = parts.port  # a slash in a password ends the host there, and no port is left
        except ValueError:
            secret = True
        else:
            if scheme in ("http", "https") and parts.query:
                raise BadInput(
                    f"The {scheme}:// address has a query, where access tokens stand: it would be stored with the job.",
                    "name an address without ?, or download the file",
                )
        if secret:
            raise BadInput(
                f"The {scheme}:// address holds a password or is malformed: it would be stored with the job.",
                "leave credentials to the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
    return uri
