"""Opens videos by URI, within the allowed roots."""

import errno
import io
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import fsspec

from brand_detect.domain.errors import BadInput
from brand_detect.storage.faults import check_address, explained

NOWHERE = (errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR)
"""Errors of a path that cannot exist, so that a retry is useless."""
BLOCK_BYTES = 8 * 2**20  # read-ahead of remote videos: decoding is one sequential pass


class MediaFiles:
    """Implements ``Media``: local files and any fsspec scheme that an allowed root names."""

    def __init__(self, roots: Sequence[str]) -> None:
        for root in roots:
            check_address(root)
        self._folders = [Path(r).expanduser().resolve() for r in map(_local, roots) if r is not None]
        self._prefixes = [r.rstrip("/") + "/" for r in roots if _local(r) is None]

    def check(self, uri: str) -> str:
        """Return ``uri`` (a local path made absolute) if it lies within the allowed roots.

        Raises:
            BadInput: it is outside them, or contains a secret.
        """
        if not uri or "\0" in uri:
            raise BadInput("No video was named.", "give a path or a URI such as s3://bucket/match.mp4")
        try:
            uri.encode()
        except UnicodeEncodeError as e:  # it could not be stored with the job
            raise BadInput(f"The name {uri!a} is not UTF-8.", "rename the file") from e
        local = _local(check_address(uri))
        if local is not None:
            try:
                path = Path(local).expanduser().resolve()
            except (OSError, RuntimeError) as e:  # an unknown ~user, or circular links
                raise BadInput(f"{uri} does not exist.", "check the path") from e
            if any(path.is_relative_to(folder) for folder in self._folders):
                return str(path)
        elif not _climbs(uri) and any(uri.startswith(prefix) for prefix in self._prefixes):
            return uri
        allowed = ", ".join([*map(str, self._folders), *self._prefixes])
        raise BadInput(f"{uri} is outside the allowed media roots.", f"BRAND_DETECT_MEDIA_ROOTS allows {allowed}")

    @contextmanager
    def open(self, uri: str) -> Iterator[BinaryIO]:
        """A seekable binary file; see ``Media.open``."""
        with explained(f"{uri} could not be read"):
            opened = self._open(self.check(uri), uri)
        with opened:
            yield cast("BinaryIO", _Explained(opened, uri))

    def _open(self, path: str, uri: str) -> BinaryIO:
        try:
            if "://" in path:
                options = {"client_kwargs": {"middlewares": (self._inside,)}} if _is_http(path) else {}
                fs, inner = fsspec.url_to_fs(path, **options)
                return cast("BinaryIO", fs.open(inner, "rb", block_size=BLOCK_BYTES))
            return _regular(path, uri)
        except FileNotFoundError as e:
            if isinstance(e.__cause__, BadInput):  # a forbidden redirect, which fsspec reports as a missing file
                raise e.__cause__ from None
            raise BadInput(f"There is no file {uri}.", "check the path") from e
        except IsADirectoryError as e:
            raise BadInput(f"{uri} is a folder.", "name one video file") from e
        except PermissionError as e:
            raise BadInput(f"{uri} may not be read.", "check the file's permissions or the store's credentials") from e
        except (ImportError, ValueError) as e:
            raise BadInput(f"{uri} cannot be opened: {e}.", "install the fsspec driver of that scheme") from e
        except OSError as e:
            if e.errno in NOWHERE:
                raise BadInput(f"{uri} does not exist.", "check the path") from e
            raise

    async def _inside(self, request: Any, send: Any) -> Any:
        """aiohttp middleware that checks each request and redirect against the roots."""
        url = str(request.url)
        roots = [str(type(request.url)(prefix)) for prefix in self._prefixes if _is_http(prefix)]
        if _climbs(url) or not url.startswith(tuple(roots)):
            raise BadInput(
                f"The address redirects to {request.url.origin()}, outside the allowed media roots.",
                f"BRAND_DETECT_MEDIA_ROOTS allows {', '.join(roots)}",
            )
        return await send(request)


class _Explained(io.RawIOBase):
    """Tells faults of its reads and seeks as those of ``uri``; what else fails while it is open is not its fault."""

    def __init__(self, file: BinaryIO, uri: str) -> None:
        self._file, self._what = file, f"{uri} could not be read"

    def read(self, size: int = -1, /) -> bytes:
        with explained(self._what):
            return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with explained(self._what):
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _regular(path: str, uri: str) -> BinaryIO:
    """Open a regular file: opening a pipe would block, and opening a device may have side effects."""
    refused = BadInput(f"{uri} is not a regular file, but a pipe, a socket or a device.", "name one video file")
    mode = Path(path).stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(path)
    if not stat.S_ISREG(mode):
        raise refused
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it was replaced in between
        file.close()
        raise refused
    return file


def _local(uri: str) -> str | None:
    """The path if ``uri`` is local, None if it names another scheme."""
    scheme = uri.split("://", 1)[0] if "://" in uri else ""
    if scheme in ("", "file", "local"):
        return unquote(urlsplit(uri).path) if scheme else uri
    return None


def _is_http(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _climbs(uri: str) -> bool:
    """Whether a remote URI has parent folders or chained file systems, which defeat a check of its prefix."""
    return ".." in unquote(uri).split("/") or "::" in uri
