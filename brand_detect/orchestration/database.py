"""Faults of Dagster's own database, in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from brand_detect.domain.errors import BrandDetectError, Transient

_OUT_OF_REACH = (exc.DatabaseError, exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
"""What SQLAlchemy raises for a database that is locked, gone or going; its other errors are faults of a program."""


@contextmanager
def database_explained() -> Iterator[None]:
    """A database that cannot be used becomes one sentence, however deep in Dagster that was found out.

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
            "try again; see that the database in DAGSTER_HOME's dagster.yaml runs and that nobody else holds it",
        ) from e


def _fault(error: BaseException | None) -> BaseException | None:
    """The fault of a database that ``error`` came from."""
    while error and type(error) not in _OUT_OF_REACH:
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error
