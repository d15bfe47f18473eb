"""JSON that proves what it holds: a document carries the hash of its content, so that damage is never read as data."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

DIGEST = "digest"


def seal(facts: Mapping[str, Any]) -> bytes:
    """``facts``, plain JSON values by name, as a document with the sha256 of its canonical form under ``digest``."""
    return json.dumps({**facts, DIGEST: _digest(facts)}, indent=1, ensure_ascii=False).encode()


def unseal(data: bytes, known: Collection[str] = ()) -> dict[str, Any]:
    """The facts that ``seal`` was given.

    What people wrote or paid for before documents had a digest is taken as it is, if all of its names are ``known``: a
    damaged name ``digest`` is none of them.

    Raises:
        ValueError: they are not what was written.
    """
    try:
        facts = json.loads(data)
        if DIGEST not in facts and facts and facts.keys() <= set(known):
            return facts
        digest = facts.pop(DIGEST)
    except (ValueError, KeyError, TypeError, AttributeError) as e:  # no JSON, or another JSON than ``seal`` makes
        raise ValueError("it is no document with a digest") from e
    if _digest(facts) != digest:
        raise ValueError("its digest is another")
    return facts


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
