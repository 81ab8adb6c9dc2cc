"""What a person at the terminal sees: one progress bar per step, one line per remark."""

from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from neurolatent.progress import Progress

SPEED_SECONDS = 300.0
"""The time left goes by the speed of so many seconds: steps of a training can take many."""


console = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bars() -> Generator[Progress]:
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
    with Bars(*columns, console=console, speed_estimate_period=SPEED_SECONDS) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int, /, note: str = "") -> None:
            if what not in tasks:  # what was done before says nothing of the speed
                tasks[what] = bars.add_task(what, total=total, completed=max(done - 1, 0), note=note)
            bars.update(tasks[what], completed=done, total=total, note=note)

        yield report


def say(text: str) -> None:
    """Print one line for the person; programs read `--json` instead."""
    console.print(text, markup=False)
