"""Perceptual hashes of crops, 64 bits each."""

from collections.abc import Iterable, Sequence

ALIKE_BITS = 8
"""Most differing bits of two crops that look alike."""


def alike(hashes: Iterable[int], others: Sequence[int]) -> bool:
    """Whether any of ``hashes`` looks like any of ``others``."""
    return any((a ^ b).bit_count() <= ALIKE_BITS for a in hashes for b in others)
