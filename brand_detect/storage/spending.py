"""Spending on models, ``{root}/_spending/{day}/``: entries are empty files, and the amount is in the name.

``{run}.{try}-{number}-{micro USD}`` is what one try of a run has spent or reserved on that day; the highest number
counts. It is written before each call and after it. A call that never returned counts with its reservation, because the
provider may have billed it. A retried step finds by the prefix what its run has spent. Earlier versions wrote
``{run}.{call}-reserved-{micro USD}`` and ``-spent-`` for each call, which reads the same.
"""

import hashlib
import math
import uuid
from collections import Counter, defaultdict
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Lock

from brand_detect.domain.errors import BrandDetectError
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
        self._run = hashlib.sha256((run or uuid.uuid4().hex).encode()).hexdigest()[:16]
        self._name = f"{self._run}.{uuid.uuid4().hex}"
        self._before: int | None = None if run else 0
        self._limit, self._daily_limit = _micro(run_usd), _micro(daily_usd)
        self._reserved: dict[str, tuple[str, int]] = {}
        self._totals: Counter[str] = Counter()
        self._numbers = count()
        self._entries: defaultdict[str, list[str]] = defaultdict(list)
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
        wanted, left = _micro(usd), self._limit - self._before - self._totals.total()
        if wanted > left:
            raise OverBudget(_short("run", wanted, left, self._limit), "raise escalate_cloud.max_usd")
        day, name = datetime.now(UTC).date().isoformat(), uuid.uuid4().hex
        try:
            self._add(day, wanted)  # first, so that concurrent runs see it
            left = self._daily_limit - self.spent_micro(day) + wanted
        except BrandDetectError:
            self._totals[day] -= wanted  # no call is made; the next total says so
            raise
        if wanted > left:
            self._add(day, -wanted)
            short = _short("day", wanted, left, self._daily_limit)
            raise OverBudget(short, "try again tomorrow, or raise BRAND_DETECT_DAILY_USD")
        self._reserved[name] = day, wanted
        return name

    def charge(self, reservation: str, usd: float) -> None:
        """Record the actual cost of the call."""
        with self._lock:
            day, reserved = self._reserved.pop(reservation)
            self._add(day, _micro(usd) - reserved)

    def spent_micro(self, day: str) -> int:
        """Amount spent or reserved by all runs on a day, in millionths of a USD."""
        return sum(self._amounts(day).values())

    def _add(self, day: str, micro: int) -> None:
        """Write the day's new total; what could not be written is in the next.

        The total before it stays until then, for those who list the day meanwhile: they may miss the new one.
        """
        self._totals[day] += micro
        entries = self._entries[day]
        entries.append(f"{SPENDING}/{day}/{self._name}-{next(self._numbers):08d}-{self._totals[day]}")
        self._blobs.create(entries[-1], b"", lenient=True)
        while len(entries) > 2:
            with suppress(BrandDetectError):  # a lower number counts for nothing
                self._blobs.remove(entries.pop(0))

    def _spent_before(self) -> int:
        today = datetime.now(UTC).date()
        found = (self._amounts(day.isoformat()) for day in (today - timedelta(days=1), today))
        return sum(usd for amounts in found for name, usd in amounts.items() if name.startswith(f"{self._run}."))

    def _amounts(self, day: str) -> dict[str, int]:
        """By try of a run."""
        amounts: dict[str, int] = {}
        for entry in sorted(self._blobs.names(f"{SPENDING}/{day}")):  # a higher number replaces a lower one
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
