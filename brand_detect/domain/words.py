"""Numbers in sentences for people."""


def counted(number: int, noun: str) -> str:
    """``1 brand``, ``2 brands``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
