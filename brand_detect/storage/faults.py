"""Translates faults of a store into domain errors, and rejects addresses that contain secrets."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from brand_detect.domain.errors import BadInput, Permanent, Transient

DRIVERS = ("aiobotocore", "aiohttp", "asyncio", "azure", "botocore", "fsspec", "gcsfs")
"""Libraries behind fsspec whose errors are not OSErrors, for example S3 without credentials."""


class Missing(Permanent):
    """A file is missing from the store."""


class OtherVersion(Permanent):
    """An attempt has another schema version than this program reads."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Translate faults of a store into one sentence that starts with ``what``, such as "a.json could not be read".

    Raises:
        Missing: the file does not exist.
        Permanent: the store refuses access.
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
    """Return ``uri`` if it contains no secret: it is written to manifests, metadata and reports.

    Raises:
        BadInput: it contains a password, or is a web address with a query, which may contain an access token.
    """
    for link in uri.split("::"):
        if "://" not in link:
            continue
        scheme = link.split("://", 1)[0]
        try:
            parts = urlsplit(link)
            secret = parts.password is not None
            _ = parts.port  # fails if a slash in a password cut the host short
        except ValueError:
            secret = True
        else:
            if scheme in ("http", "https") and parts.query:
                raise BadInput(
                    f"The {scheme}:// address has a query, which may contain a token and would be stored.",
                    "use an address without ?, or download the file",
                )
        if secret:
            raise BadInput(
                f"The {scheme}:// address contains a password or is malformed, and would be stored with the job.",
                "put credentials into the environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
    return uri
