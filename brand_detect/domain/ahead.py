"""Computes results before they are asked for."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(pool: ThreadPoolExecutor, do: Callable[[T], R], items: Iterable[T], n: int) -> Generator[R, None, None]:
    """Applies ``do`` to the items in order; while the caller uses one result, ``pool`` computes the next ``n``.

    At most ``n + 1`` results exist besides the caller's. An error of ``do`` or ``items`` is raised in its item's turn.
    What has not begun when the caller stops is cancelled, and ``items`` closed if it is a generator.
    """
    results: deque[Future[R]] = deque()
    source, failure = iter(items), None
    try:
        while True:
            try:
                item = next(source)
            except StopIteration:
                break
            except Exception as e:
                failure = e
                break
            results.append(pool.submit(do, item))
            if len(results) > n:
                yield results.popleft().result()
        while results:
            yield results.popleft().result()
        if failure is not None:
            raise failure
    finally:
        for result in results:
            result.cancel()
        if isinstance(items, Generator):
            items.close()  # an error's traceback may refer to it
