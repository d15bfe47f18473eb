"""A job's history without what is gone from its store."""

import shutil
from pathlib import Path

from brand_detect.domain.history import Attempt, History, StageState
from brand_detect.storage.attempts import AttemptRef
from brand_detect.storage.present import present
from brand_detect.storage.store import Store
from brand_detect_tests.support.checkpoints import FACTS, REF, SCENES


def known(ref: AttemptRef, uri: str) -> Attempt:
    """What Dagster's event says of an attempt."""
    return Attempt(ref.stage, ref.attempt, "run", 1.0, uri, {}, {}, {}, {}, "1", "abc", 0.5)


def history(*attempts: Attempt) -> History:
    stages = {
        stage: StageState(stage, tuple(a for a in attempts if a.stage == stage)) for stage in (REF.stage, "run_ocr")
    }
    return History("match", stages)


def names(found: History) -> list[str]:
    return [a.attempt for state in found.stages.values() for a in state.attempts]


def test_a_checkpoint_whose_files_are_gone_is_left_out(tmp_path: Path):
    store = Store(str(tmp_path / "store"))
    store.begin(REF).commit(SCENES, **FACTS)
    gone, half = AttemptRef("match", REF.stage, "gone-0"), AttemptRef("match", "run_ocr", "half-0")
    store.begin(half).write("texts.parquet", b"half")
    attempts = [known(ref, store.uri(ref)) for ref in (gone, REF, half)]
    found = present(history(*attempts), store)
    assert names(found) == [REF.attempt]
    assert found.stages[REF.stage].attempts == (attempts[1],)
    store.remove(REF)
    assert not present(history(*attempts), store)


def test_of_another_store_nothing_is_known(tmp_path: Path):
    store = Store(str(tmp_path / "store"))
    store.begin(REF).commit(SCENES, **FACTS)
    elsewhere = (
        known(REF, f"s3://bucket/{REF}"),
        known(AttemptRef("match", "run_ocr", "a-0"), "/other/match/run_ocr/a-0"),
    )
    assert names(present(history(*elsewhere), store)) == [REF.attempt, "a-0"]
    here = history(known(REF, store.uri(REF)))
    shutil.rmtree(tmp_path / "store")
    assert present(here, store) == here, "a disk that is not mounted is no loss"
