"""What a person at the terminal sees: one progress bar per step, one line per remark."""

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

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


FAILED = 1
"""The exit status of what a user can mend."""
console = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Outcome:
    """What a step did, in lines for a person."""

    lines: Sequence[str]
    failed: bool


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


def tell(outcome: Outcome, *, as_json: bool) -> int:
    """Print an outcome and turn it into an exit status."""
    if as_json:
        print(json.dumps(asdict(outcome)))
    else:
        for line in outcome.lines:
            say(line)
    return FAILED if outcome.failed else 0
