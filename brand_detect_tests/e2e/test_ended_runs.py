"""The ends of runs on PostgreSQL, where events are numbered otherwise than on SQLite."""

from pathlib import Path

import dagster as dg
import pytest

from brand_detect.operations.monitoring import ended_runs
from brand_detect.operations.monitoring.ended_runs import EndedRuns, Outcome
from brand_detect_tests.support.ended import ended


def test_ends_are_read_once_and_in_order(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ended_runs, "SETTLED_S", 0.0)
    storage = {"storage": {"postgres": {"postgres_url": postgres}}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=storage) as instance:
        ended(instance, "before")
        runs = EndedRuns.from_now_on(instance)
        statuses = ["FAILURE", "FAILURE", "SUCCESS", "CANCELED", "FAILURE", "SUCCESS"]
        made = [ended(instance, "match", status, reason="It is gone.") for status in statuses]
        found = []
        for _ in range(20):
            found += [end.run.run_id for end in runs.read(instance, 2)]
        assert found == made
        run = instance.get_run_by_id(made[0])
        assert run is not None
        assert Outcome.of(instance, run) == Outcome((), (), "match_brands", "It is gone.")
