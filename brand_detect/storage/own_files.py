"""The user's own prompts, quality scales and inventories, ``{root}/_own/{version}.json``.

Whoever reads the brand list reads these files, too. Runs read what is stored: their machine need not have the folders.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from brand_detect.domain.errors import Permanent
from brand_detect.domain.settings import Settings
from brand_detect.storage.blobs import Blobs, short_hash

OWN = "_own"


@dataclass(frozen=True)
class OwnFiles:
    """Contents of files by their name without suffix."""

    prompts: Mapping[str, str] = field(default_factory=dict)
    quality: Mapping[str, str] = field(default_factory=dict)
    inventory: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, settings: Settings) -> "OwnFiles":
        """Read the folders that ``settings`` name."""
        return cls(
            _texts(settings.prompts, "*.md"), _texts(settings.quality, "*.yaml"), _texts(settings.inventory, "*.yaml")
        )

    @cached_property
    def _content(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False).encode()

    @property
    def version(self) -> str:
        """A hash of the content."""
        return short_hash(self._content)

    def is_in(self, blobs: Blobs) -> bool:
        return blobs.exists(_path(self.version))

    def store(self, blobs: Blobs) -> None:
        """Store the files, unless they are there."""
        blobs.create(_path(self.version), self._content, lenient=True)

    @classmethod
    def load(cls, blobs: Blobs, version: str) -> "OwnFiles":
        """The files of that version.

        Raises:
            Missing: they do not exist.
            Permanent: they are damaged.
        """
        data = blobs.read(_path(version))
        if short_hash(data) != version:
            raise Permanent(
                f"The prompts, quality scales and inventories in {blobs.uri(_path(version))} are damaged.",
                "remove that file: it is written again when the brand list is read",
            )
        return cls(**json.loads(data))


def versions(blobs: Blobs) -> list[str]:
    """The stored versions."""
    return [name.removesuffix(".json") for name in blobs.names(OWN)]


def _path(version: str) -> str:
    return f"{OWN}/{version}.json"


def _texts(folder: str, pattern: str) -> dict[str, str]:
    return {file.stem: _text(file) for file in sorted(Path(folder).glob(pattern))} if folder else {}


def _text(file: Path) -> str:
    """The content; empty, and so malformed for whoever uses it, unless it is UTF-8."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return ""
