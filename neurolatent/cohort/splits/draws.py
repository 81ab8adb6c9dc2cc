"""Chance that is the same in every process, whatever order people come in and whoever else is there."""

import hashlib
from collections.abc import Iterable


def shuffled(subjects: Iterable[str], seed: int) -> list[str]:
    """Order subjects by chance."""
    return sorted(subjects, key=lambda subject: _digest(f"{seed} {subject}"))


def chance(text: str) -> float:
    """Return a number from 0 to 1 that the text alone decides."""
    return int.from_bytes(_digest(text)[:8]) / 2**64


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
