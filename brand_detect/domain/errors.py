"""Domain errors: one sentence that says what happened, and a hint that says what to do."""


class BrandDetectError(Exception):
    """Base of all errors shown to users.

    ``str(error)`` is one sentence; ``hint`` says what to do next and may be empty.
    ``exit_code`` is the exit code of the command line.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def full(self) -> str:
        """The sentence and, on a separate line, the hint."""
        return f"{self}\nhint: {self.hint}" if self.hint else str(self)


class BadInput(BrandDetectError):
    """The caller asked for something that cannot be done: a bad video, id, parameter or path."""

    exit_code = 3


class Permanent(BrandDetectError):
    """The work failed and would fail again: a missing checkpoint, mixed lineages, an absent model."""

    exit_code = 4


class Transient(BrandDetectError):
    """The work failed for a reason that may pass: a network fault, a rate limit, a busy disk."""

    exit_code = 5
