"""Files that only save time: what they hold can be made again, and they may be deleted at any time.

Their sha256 detects damage, not tampering: who may write to the folder is trusted.
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def read_cached(file: Path) -> bytes | None:
    """What ``write_cached`` wrote; None if it is missing or damaged."""
    with suppress(OSError):
        stored = file.read_bytes()
        if hashlib.sha256(stored[32:]).digest() == stored[:32]:
            with suppress(OSError):
                os.utime(file)  # the oldest are those not used for longest
            return stored[32:]
    return None


def can_write(file: Path) -> bool:
    """Whether the cache takes ``file``; makes its folder."""
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.access(file.parent, os.W_OK)
    return False


def write_cached(file: Path, content: bytes, most: int) -> None:
    """Writes ``content`` after its sha256, and removes the folder's oldest files beyond ``most``.

    A folder that cannot be written costs only time: the next process makes the content again.
    """
    part = file.with_name(f".{uuid4().hex}")
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            part.touch(mode=0o600)
            part.write_bytes(hashlib.sha256(content).digest() + content)
            part.replace(file)  # atomic: other processes read the whole file or none
        finally:
            part.unlink(missing_ok=True)
        for old in sorted(file.parent.iterdir(), key=lambda f: -f.stat().st_mtime)[most:]:
            old.unlink(missing_ok=True)
