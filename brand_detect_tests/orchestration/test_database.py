"""Faults of Dagster's database, said in a sentence."""

import pytest
from sqlalchemy import exc

from brand_detect.domain.errors import Transient
from brand_detect.orchestration.database import database_explained


def test_a_fault_deep_inside_is_said_in_a_sentence():
    failed = RuntimeError("a step failed")
    failed.__cause__ = exc.OperationalError("insert", {}, Exception("database is locked"))
    with (
        pytest.raises(Transient, match=r"Dagster's database cannot be used: database is locked\."),
        database_explained(),
    ):
        raise failed


def test_another_error_whose_causes_make_a_circle_stays_as_it_is():
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    with pytest.raises(RuntimeError, match="first"), database_explained():
        raise first
