"""Spending on models, ``{root}/_spending/{day}/``: entries are empty files, and the amount is in the name.

``{reservation}-reserved-{micro USD}`` is written before a call, ``{reservation}-spent-{micro USD}`` after it. A call
that never returned counts with its reservation, because the provider may have billed it. A reservation starts with a
prefix for its run, so that a retried step finds what its run has spent.
"""

import hashlib
import math
import uuid
from datetime import UTC, datetime, timedelta
from threading import Lock

from brand_detect.domain.protocols import OverBudget
from brand_detect.storage.blobs import Blobs

SPENDING = "_spending"
MICRO = 1_000_000


class Spending:
    """The ``Budget`` of one run within the daily budget, which all runs of a store share. Days are UTC.

    Of two concurrent reservations of the last cent both may be refused, but never both granted.
    """

    def __init__(self, blobs: Blobs, run_usd: float, daily_usd: float, run: str = "") -> None:
        """``run``: id of the run, whose earlier tries of today and yesterday count; "" for none."""
        self._blobs = blobs
        self._mark = hashlib.sha256((run or uuid.uuid4().hex).encode()).hexdigest()[:16]
        self._before: int | None = None if run else 0
        self._limit, self._daily_limit = _micro(run_usd), _micro(daily_usd)
        self._own: dict[str, int] = {}
        self._days: dict[str, str] = {}
        self._lock = Lock()

    def reserve(self, usd: float) -> str:
        """Reserve ``usd`` before a call that may cost this much; returns the reservation's name.

        Raises:
            OverBudget: less than this is left.
        """
        with self._lock:
            return self._reserve(usd)

    def _reserve(self, usd: float) -> str:
        if self._before is None:
            self._before = self._spent_before()
        wanted, spent = _micro(usd), self._before + sum(self._own.values())
        if spent + wanted > self._limit:
            raise OverBudget(_short("run", wanted, self._limit - spent, self._limit), "raise escalate_cloud.max_usd")
        day, name = datetime.now(UTC).date().isoformat(), f"{self._mark}.{uuid.uuid4().hex}"
        self._note(day, f"{name}-reserved-{wanted}")  # first, so that concurrent runs see it
        others = self.spent_micro(day) - wanted
        if others + wanted > self._daily_limit:
            self._note(day, f"{name}-spent-0")
            short = _short("day", wanted, self._daily_limit - others, self._daily_limit)
            raise OverBudget(short, "try again tomorrow, or raise BRAND_DETECT_DAILY_USD")
        self._own[name], self._days[name] = wanted, day
        return name

    def charge(self, reservation: str, usd: float) -> None:
        """Record the actual cost of the call."""
        self._own[reservation] = _micro(usd)
        self._note(self._days[reservation], f"{reservation}-spent-{_micro(usd)}")

    def spent_micro(self, day: str) -> int:
        """Amount spent or reserved by all runs on a day, in millionths of a USD."""
        return sum(self._amounts(day).values())

    def _note(self, day: str, entry: str) -> None:
        self._blobs.create(f"{SPENDING}/{day}/{entry}", b"", lenient=True)

    def _spent_before(self) -> int:
        today = datetime.now(UTC).date()
        found = (self._amounts(day.isoformat()) for day in (today - timedelta(days=1), today))
        return sum(usd for amounts in found for name, usd in amounts.items() if name.startswith(f"{self._mark}."))

    def _amounts(self, day: str) -> dict[str, int]:
        """By reservation."""
        amounts: dict[str, int] = {}
        for entry in sorted(self._blobs.names(f"{SPENDING}/{day}")):  # "spent" sorts after "reserved" and replaces it
            name, _, amount = entry.split("-")
            amounts[name] = int(amount)
        return amounts


def _micro(usd: float) -> int:
    return math.ceil(usd * MICRO - 1e-6)  # rounded up, so that nothing is free


def _short(whose: str, wanted: int, left: int, limit: int) -> str:
    return (
        f"The {whose}'s budget of {limit / MICRO:.2f} USD has {max(0, left) / MICRO:.4f} USD left; "
        f"the next question may cost {wanted / MICRO:.4f} USD."
    )
