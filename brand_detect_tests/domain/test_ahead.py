"""Results that are computed before they are asked for."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from brand_detect.domain.ahead import ahead


def test_results_are_in_order_and_n_of_them_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for n in range(6):
            taken.append(n)
            yield n

    with ThreadPoolExecutor(2) as pool:
        results = ahead(pool, lambda n: (n, threading.get_ident()), items(), 2)
        assert taken == []
        n, thread = next(results)
        assert (n, taken) == (0, [0, 1, 2])
        assert thread != threading.get_ident()
        assert [n for n, _ in results] == [1, 2, 3, 4, 5]


def test_an_error_is_raised_in_its_turn() -> None:
    with ThreadPoolExecutor(1) as pool:
        results = ahead(pool, lambda n: 6 / n, [3, 2, 0, 1], 3)
        assert [next(results), next(results)] == [2, 3]
        with pytest.raises(ZeroDivisionError):
            next(results)


@pytest.mark.parametrize("nested", [False, True])
def test_what_has_not_begun_is_cancelled_when_the_caller_stops(nested: bool) -> None:
    """Nested, too, though an error's traceback refers to the inner results, as this test does."""
    begun: list[int] = []
    go = threading.Event()

    def work(n: int) -> int:
        begun.append(n)
        return n if n == 0 or go.wait(20) else -1

    with ThreadPoolExecutor(1) as pool, ThreadPoolExecutor(1) as second:
        inner = ahead(pool, work, range(9), 3)
        results = ahead(second, abs, inner, 0) if nested else inner
        assert next(results) == 0
        results.close()
        assert list(inner) == []
        go.set()
    assert begun in ([0], [0, 1])  # the second may have begun before


def test_an_error_of_the_source_comes_after_what_it_gave() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2, 3)
        raise OSError("gone")

    with ThreadPoolExecutor(1) as pool:
        results = ahead(pool, lambda n: n, items(), 5)
        assert [next(results), next(results), next(results)] == [1, 2, 3]
        with pytest.raises(OSError, match="gone"):
            next(results)
