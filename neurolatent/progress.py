"""How far something is, told to whoever watches: a terminal's bars, a log, nobody."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Is told how far something is."""

    def __call__(self, what: str, done: int, total: int, /, note: str = "") -> None:
        """Hear that so many of a total are done; the note says more, such as the loss."""
        ...
