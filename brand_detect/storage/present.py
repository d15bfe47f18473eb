"""Filters a job's history by existing checkpoints: Dagster's events outlive deleted files."""

from dataclasses import replace

from brand_detect.domain.history import Attempt, History
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.blobs import concurrently
from brand_detect.storage.store import Store


def present(history: History, store: Store) -> History:
    """``history`` without the checkpoints whose files are missing from ``store``.

    Checkpoints in other stores, or in a store that is out of reach, stay.
    """
    if not store.blobs.is_there():
        return history

    def is_there(attempt: Attempt) -> bool:
        ref = AttemptRef(history.job_id, attempt.stage, attempt.attempt)
        return attempt.uri != store.uri(ref) or store.exists(ref)

    attempts = [attempt for state in history.stages.values() for attempt in state.attempts]
    looked = zip(attempts, concurrently(is_there, attempts), strict=True)
    there = {(a.stage, a.attempt) for a, found in looked if found}
    stages = {
        stage: replace(state, attempts=tuple(a for a in state.attempts if (stage, a.attempt) in there))
        for stage, state in history.stages.items()
    }
    return replace(history, stages=stages)
