"""Days of the calendar as tables and folders write them; they never leave the readers."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime

from neurolatent.cohort.columns import DayColumn
from neurolatent.cohort.tables import Row
from neurolatent.errors import TableError

TIME_OF_DAY = re.compile(r"[T _]\d{1,2}[:_].*")
EXAMPLE = date(2024, 5, 31)
DAYS_PER_YEAR = 365.25


def day_of(column: DayColumn | None, row: Row) -> date | None:
    """Return the day that a row tells, `None` where it tells none."""
    found = column and row.get(column.names, column.missing)
    return read_day(found[1], column.formats, f"{row.where}, {found[0]}") if column and found else None


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
