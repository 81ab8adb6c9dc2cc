"""Days of the calendar as tables and folders write them; they never leave the readers."""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime

from neurolatent.cohort.columns import EXAMPLE, DayColumn
from neurolatent.cohort.tables import Row
from neurolatent.errors import TableError

TIME_OF_DAY = re.compile(r"[T _]\d{1,2}[:_].*")
DAYS_PER_YEAR = 365.25


def day_of(column: DayColumn | None, row: Row) -> date | None:
    """Return the day that a row, or a further row of its key, tells; `None` where none does."""
    for one in row.rows if column else ():
        found = column and one.get(column.names, column.missing)
        if column and found:
            return read_day(found[1], column.formats, f"{one.where}, {found[0]}")
    return None


def day_or_fault(column: DayColumn | None, row: Row) -> tuple[date | None, Row]:
    """Return a row's day; a row that cannot be read, or whose day cannot, carries the fault."""
    if row.problem is not None:
        return None, row
    try:
        return day_of(column, row), row
    except TableError as error:
        return None, replace(row, problem=str(error).partition(": ")[2])


def read_day(text: str, formats: Iterable[str], where: str) -> date:
    """Return the day; a time of day behind it is passed over."""
    bare = TIME_OF_DAY.sub("", text.strip())
    for form in formats:
        try:
            return datetime.strptime(bare, form).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    known = " or ".join(EXAMPLE.strftime(form) for form in formats)
    msg = f"{where}: expected a day such as {known}, got {text!r}. Correct the table, or the formats in the descriptor."
    raise TableError(msg)
