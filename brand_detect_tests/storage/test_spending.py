"""Money that is set aside and spent, by one run and by all runs of a day."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from threading import Barrier

import pytest

from brand_detect.domain.errors import Transient
from brand_detect.domain.protocols import OverBudget
from brand_detect.storage import spending
from brand_detect.storage.blobs import Blobs
from brand_detect.storage.spending import MICRO, Spending


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(str(tmp_path / "store"))


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def spent(blobs: Blobs) -> float:
    return Spending(blobs, 0, 0).spent_micro(today()) / MICRO


def test_a_run_spends_no_more_than_its_own(blobs: Blobs):
    budget = Spending(blobs, 1.0, 100.0)
    budget.reserve(0.6)
    budget.reserve(0.4)
    with pytest.raises(OverBudget) as refused:
        budget.reserve(0.000001)
    assert str(refused.value) == (
        "The run's budget of 1.00 USD has 0.0000 USD left; the next question may cost 0.0000 USD."
    )
    assert refused.value.hint == "raise escalate_cloud.max_usd"
    Spending(blobs, 1.0, 100.0).reserve(1.0)  # another run has its own
    assert spent(blobs) == 2.0


def test_a_run_that_is_tried_again_has_spent_what_it_had(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    """A step that failed, or a night that passed."""
    first = Spending(blobs, 1.0, 100.0, "run-1")
    first.charge(first.reserve(0.5), 0.2)
    first.reserve(0.4)  # nobody knows what became of it
    again = Spending(blobs, 1.0, 100.0, "run-1")
    with pytest.raises(OverBudget, match=r"run's budget of 1\.00 USD has 0\.4000 USD left"):
        again.reserve(0.5)
    Spending(blobs, 1.0, 100.0, "run-10").reserve(1.0)

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Tomorrow":
            return super().now(tz) + timedelta(days=1)

    monkeypatch.setattr(spending, "datetime", Tomorrow)
    again = Spending(blobs, 1.0, 100.0, "run-1")
    again.reserve(0.4)
    with pytest.raises(OverBudget, match="run's budget"):
        again.reserve(0.1)
    assert again.spent_micro(today()) == 1_600_000


@pytest.mark.parametrize("fault", ["create", "names"])
def test_a_reservation_that_fails_counts_for_nothing(blobs: Blobs, monkeypatch: pytest.MonkeyPatch, fault: str):
    budget = Spending(blobs, 10.0, 10.0)

    def away(*_: object, **__: object) -> None:
        raise Transient("The store is away.")

    with monkeypatch.context() as patched:
        patched.setattr(blobs, fault, away)
        with pytest.raises(Transient):
            budget.reserve(4.0)
    budget.charge(budget.reserve(5.0), 0.1)
    assert spent(blobs) == 0.1
    budget.reserve(9.9)


def test_all_runs_of_a_day_share_its_limit(blobs: Blobs):
    one, other = Spending(blobs, 5.0, 1.0), Spending(blobs, 5.0, 1.0)
    one.reserve(0.7)
    with pytest.raises(OverBudget) as refused:
        other.reserve(0.4)
    assert str(refused.value) == (
        "The day's budget of 1.00 USD has 0.3000 USD left; the next question may cost 0.4000 USD."
    )
    assert "BRAND_DETECT_DAILY_USD" in refused.value.hint
    other.reserve(0.3)
    with pytest.raises(OverBudget):
        one.reserve(0.01)


def test_a_day_has_few_entries_however_many_calls(blobs: Blobs):
    budgets = [Spending(blobs, 5.0, 5.0) for _ in range(3)]
    for n in range(1, 13):  # entries have numbers of more than one digit
        reserved = [budget.reserve(0.1) for budget in budgets]
        assert spent(blobs) == pytest.approx(3 * ((n - 1) * 0.05 + 0.1))
        for budget, reservation in zip(budgets, reserved, strict=True):
            budget.charge(reservation, 0.05)
        assert spent(blobs) == pytest.approx(3 * n * 0.05)
    assert len(blobs.names(f"_spending/{today()}")) <= 2 * len(budgets)


def test_a_total_stays_until_another_has_taken_its_place(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    """Whoever lists a day while a total is replaced may see the old one alone, and the new one not yet."""
    budget, create, seen = Spending(blobs, 5.0, 5.0), Blobs.create, list[set[str]]()

    def watched(self: Blobs, path: str, data: bytes, *, lenient: bool = False) -> None:
        before = set(self.names(f"_spending/{today()}"))
        create(self, path, data, lenient=lenient)
        seen.append(before)

    monkeypatch.setattr(Blobs, "create", watched)
    for _ in range(3):
        budget.charge(budget.reserve(0.1), 0.1)
    after = [*seen[1:], set(blobs.names(f"_spending/{today()}"))]
    assert all(earlier & later for earlier, later in zip(seen[1:], after[1:], strict=True))


def test_a_store_that_does_not_answer_for_a_while_loses_no_cent(blobs: Blobs, monkeypatch: pytest.MonkeyPatch):
    budget = Spending(blobs, 5.0, 5.0)
    first, second = budget.reserve(0.5), budget.reserve(0.5)

    def away(*_: object, **__: object) -> None:
        raise Transient("The store did not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(Blobs, "create", away)
        with pytest.raises(Transient):
            budget.charge(first, 0.2)
    assert spent(blobs) == 1.0, "the reservation counts"
    with monkeypatch.context() as patch:
        patch.setattr(Blobs, "remove", away)
        budget.charge(second, 0.1)
    assert spent(blobs) == pytest.approx(0.3)


def test_a_day_that_an_earlier_version_began_goes_on(blobs: Blobs):
    run = hashlib.sha256(b"run-1").hexdigest()[:16]
    for entry in (f"{run}.a-reserved-500000", f"{run}.a-spent-200000", "other.b-reserved-400000"):
        blobs.create(f"_spending/{today()}/{entry}", b"")
    again = Spending(blobs, 1.0, 2.0, "run-1")
    with pytest.raises(OverBudget, match=r"run's budget .* has 0\.8000 USD left"):
        again.reserve(0.9)
    again.charge(again.reserve(0.8), 0.3)
    assert spent(blobs) == pytest.approx(0.9)
    with pytest.raises(OverBudget, match=r"day's budget .* has 1\.1000 USD left"):
        Spending(blobs, 9.0, 2.0).reserve(1.2)


def test_what_is_refused_leaves_nothing_set_aside(blobs: Blobs):
    budget = Spending(blobs, 2.0, 1.0)
    for _ in range(3):
        with pytest.raises(OverBudget, match=re.escape("The day's budget")):
            budget.reserve(1.5)
        with pytest.raises(OverBudget, match=re.escape("The run's budget")):
            budget.reserve(2.5)
        assert spent(blobs) == 0
    budget.reserve(1.0)
    assert spent(blobs) == 1.0


def test_what_a_call_did_not_cost_can_be_spent_again(blobs: Blobs):
    budget = Spending(blobs, 1.0, 1.0)
    first = budget.reserve(0.9)
    assert spent(blobs) == 0.9
    budget.charge(first, 0.2)
    assert spent(blobs) == 0.2
    budget.charge(budget.reserve(0.8), 0.0)
    assert spent(blobs) == 0.2


def test_a_call_that_cost_more_than_was_set_aside_counts_in_full(blobs: Blobs):
    budget = Spending(blobs, 1.0, 10.0)
    budget.charge(budget.reserve(0.5), 1.5)
    assert spent(blobs) == 1.5
    with pytest.raises(OverBudget, match=r"has 0\.0000 USD left"):
        budget.reserve(0.1)


def test_a_call_that_never_came_back_counts_as_spent(blobs: Blobs):
    """A run that was killed: the provider may have billed it."""
    Spending(blobs, 1.0, 1.0).reserve(0.8)
    with pytest.raises(OverBudget, match=r"day's budget .* has 0\.2000 USD left"):
        Spending(blobs, 1.0, 1.0).reserve(0.3)


def test_nothing_is_too_little_to_count(blobs: Blobs):
    budget = Spending(blobs, 1.0, 0.000002)
    budget.reserve(1e-9)
    budget.reserve(1e-9)
    with pytest.raises(OverBudget):
        budget.reserve(1e-9)


def test_a_day_s_sum_is_of_that_day(blobs: Blobs):
    blobs.create("_spending/2026-05-01/a-reserved-700000", b"")
    blobs.create("_spending/2026-05-01/a-spent-200000", b"")
    blobs.create("_spending/2026-05-01/b-reserved-100000", b"")
    budget = Spending(blobs, 1.0, 1.0)
    assert budget.spent_micro("2026-05-01") == 300_000
    assert budget.spent_micro("2026-05-02") == 0
    budget.reserve(1.0)


def test_without_money_nothing_is_set_aside_but_what_is_free(blobs: Blobs):
    budget = Spending(blobs, 0.0, 0.0)
    budget.charge(budget.reserve(0.0), 0.0)
    with pytest.raises(OverBudget):
        budget.reserve(0.01)


@pytest.mark.parametrize("runs", [1, 4])
def test_many_at_once_never_spend_more_than_there_is(blobs: Blobs, runs: int):
    """Calls of 7 cents that cost 3: of 50 cents, each run may spend 40."""
    budgets = [Spending(blobs, 0.4, 0.5) for _ in range(runs)]
    together = Barrier(16)

    def call(n: int) -> float:
        together.wait()
        try:
            reservation = budgets[n % runs].reserve(0.07)
        except OverBudget:
            return 0.0
        budgets[n % runs].charge(reservation, 0.03)
        return 0.03

    with ThreadPoolExecutor(16) as pool:
        cost = sum(pool.map(call, range(48)))
    assert 0 < cost <= (0.4 if runs == 1 else 0.5) + 1e-9
    assert spent(blobs) == pytest.approx(cost)


def test_on_s3_runs_see_what_others_have_set_aside(s3: Path, tmp_path: Path):  # noqa: ARG001
    root = f"s3://bucket/{tmp_path.name}"
    one, other = (Spending(Blobs(root), 1.0, 1.0) for _ in range(2))
    assert one.spent_micro(today()) == 0
    reservation = one.reserve(0.8)
    with pytest.raises(OverBudget, match=r"has 0\.2000 USD left"):
        other.reserve(0.5)
    one.charge(reservation, 0.1)
    other.reserve(0.5)
    assert Spending(Blobs(root), 0, 0).spent_micro(today()) == 600_000
