"""JSON documents that contain the hash of their content, so that damage is detected."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

DIGEST = "digest"


def seal(facts: Mapping[str, Any]) -> bytes:
    """``facts``, plain JSON values by name, as a document with the sha256 of its canonical form under ``digest``."""
    return json.dumps({**facts, DIGEST: _digest(facts)}, indent=1, ensure_ascii=False).encode()


def unseal(data: bytes, known: Collection[str] = ()) -> dict[str, Any]:
    """The facts in a document made by ``seal``.

    Documents from before digests are accepted, since they hold people's work or paid answers, if all of their names are
    ``known``; this excludes documents with a damaged name ``digest``.

    Raises:
        ValueError: the document is damaged.
    """
    try:
        facts = json.loads(data)
        if DIGEST not in facts and facts and facts.keys() <= set(known):
            return facts
        digest = facts.pop(DIGEST)
    except (ValueError, KeyError, TypeError, AttributeError) as e:  # not JSON, or not made by ``seal``
        raise ValueError("it is not a document with a digest") from e
    if _digest(facts) != digest:
        raise ValueError("its digest does not match")
    return facts


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
