"""Properties that ``make test`` tries on few examples and ``make test-slow`` on many."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy


def holds_for(few: int, many: int, *given_by: SearchStrategy) -> Callable[[Callable[..., None]], Callable[[int], None]]:
    """In place of ``given`` and the number of examples."""

    def decorated(holds: Callable[..., None]) -> Callable[[int], None]:
        @pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.slow)])
        def test(examples: int) -> None:
            settings(max_examples=examples)(given(*given_by)(holds))()

        test.__doc__ = holds.__doc__
        return test

    return decorated
