"""Translates faults of Dagster's database into domain errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from brand_detect.domain.errors import BrandDetectError, Transient

_OUT_OF_REACH = (exc.DatabaseError, exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
"""SQLAlchemy's errors for a database that is locked or out of reach; its other errors are programming errors."""


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
    seen = set[int]()  # an error that is raised again from its own cause makes a circle
    while error and type(error) not in _OUT_OF_REACH:
        seen.add(id(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if id(error) in seen:
            return None
    return error
