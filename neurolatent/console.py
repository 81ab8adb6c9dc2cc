"""What a person at the terminal sees: one progress bar per step, one line per remark."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Report = Callable[[str, int, int], None]
"""Called as (what, done, total) while a step goes on."""

console = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bars() -> Generator[Report]:
    """Give a function that draws one bar for each `what` it is told of."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, int] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)  # pyright: ignore[reportArgumentType]
            bars.update(tasks[what], completed=done, total=total)  # pyright: ignore[reportArgumentType]

        yield report


def say(text: str) -> None:
    """Print one line for the person; programs read `--json` instead."""
    console.print(text, markup=False)
