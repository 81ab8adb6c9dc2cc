"""What a person at the terminal sees: one progress bar per step, one line per remark."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SPEED_SECONDS = 300.0
"""The time left goes by the speed of so many seconds: steps of a training can take many."""


@runtime_checkable
class Report(Protocol):
    """Is told how far a step is."""

    def __call__(self, what: str, done: int, total: int, /, note: str = "") -> None:
        """Hear that so many of a total are done; the note says more, such as the loss."""
        ...


console = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bars() -> Generator[Report]:
    """Give a function that draws one bar for each `what` it is told of."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, speed_estimate_period=SPEED_SECONDS) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int, /, note: str = "") -> None:
            if what not in tasks:  # what was done before says nothing of the speed
                tasks[what] = bars.add_task(what, total=total, completed=max(done - 1, 0), note=note)
            bars.update(tasks[what], completed=done, total=total, note=note)

        yield report


def say(text: str) -> None:
    """Print one line for the person; programs read `--json` instead."""
    console.print(text, markup=False)
