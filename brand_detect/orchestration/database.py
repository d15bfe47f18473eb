"""Dagster's database: its clock, and its faults as domain errors."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import KeyValueStoreTable
from sqlalchemy import exc, extract, func, select

from brand_detect.domain.errors import BrandDetectError, Transient

_OUT_OF_REACH = (exc.DatabaseError, exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
"""SQLAlchemy's errors for a database that is locked or out of reach; its other errors are programming errors."""
CLAIMS = "brand_detect/claim/"
"""Prefix of the keys under which it stands when a task claimed a run."""
CLAIM_S = 120.0
"""Time that a claim lasts: many times as long as a run takes to begin."""


def database_now_s(instance: dg.DagsterInstance) -> float:
    """The time of the database's server, in seconds since 1970: the one clock that all machines can read.

    SQLite has no server and serves one machine, whose clock it is.
    """
    storage = instance.run_storage
    if isinstance(storage, SqlRunStorage):
        with storage.connect() as connection:
            if connection.dialect.name != "sqlite":
                return float(connection.execute(select(extract("epoch", func.now()))).scalar_one())
    return time.time()


def claim(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Claim a run that is to begin: of several that do so within ``CLAIM_S``, one succeeds."""
    if not isinstance(instance.run_storage, SqlRunStorage):
        return True
    key, now_s = f"{CLAIMS}{run_id}", database_now_s(instance)
    remove_values(instance, key, now_s - CLAIM_S)
    try:
        with instance.run_storage.connect() as connection:
            connection.execute(KeyValueStoreTable.insert().values(key=key, value=str(now_s)))
    except exc.IntegrityError:  # keys are unique
        return False
    return True


def remove_values(instance: dg.DagsterInstance, prefix: str, before_s: float) -> None:
    """Remove the stored values whose key begins with ``prefix`` and which begin with an earlier time than ``before_s``.

    Times are seconds since 1970, whose texts sort as their numbers do until 2286.
    """
    if isinstance(instance.run_storage, SqlRunStorage):
        with instance.run_storage.connect() as connection:
            table = KeyValueStoreTable.c
            old = table.key.startswith(prefix, autoescape=True) & (table.value < str(before_s))
            connection.execute(KeyValueStoreTable.delete().where(old))


def stored_values(instance: dg.DagsterInstance, prefix: str) -> dict[str, str]:
    """The stored values by key, of all keys that begin with ``prefix``."""
    if not isinstance(instance.run_storage, SqlRunStorage):
        return {}
    table = KeyValueStoreTable.c
    with instance.run_storage.connect() as connection:
        rows = connection.execute(select(table.key, table.value).where(table.key.startswith(prefix, autoescape=True)))
        return {str(key): str(value) for key, value in rows}


@contextmanager
def database_explained() -> Iterator[None]:
    """Turn a database fault, however deep inside Dagster, into one sentence.

    Raises:
        Transient: it is locked or out of reach.
    """
    try:
        yield
    except BrandDetectError:
        raise
    except Exception as e:
        fault = _fault(e)
        if fault is None:
            raise
        reason = str(getattr(fault, "orig", None) or fault).strip().splitlines()[0].rstrip(".")
        raise Transient(
            f"Dagster's database cannot be used: {reason}.",
            "try again; check that the database in DAGSTER_HOME's dagster.yaml is running and not locked",
        ) from e


def _fault(error: BaseException | None) -> BaseException | None:
    """The database fault that caused ``error``."""
    return next((cause for cause in causes(error) if type(cause) in _OUT_OF_REACH), None)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields ``error``, what caused it, what caused that, and so on to the first cause."""
    seen = set[int]()  # an error that is raised again from its own cause makes a circle
    while error and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
