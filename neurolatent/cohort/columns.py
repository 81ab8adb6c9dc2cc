"""Where values stand in a cohort's tables, and how they are written there."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from neurolatent.cohort.visits import Sex

EXAMPLE = date(2024, 5, 31)
"""No other reading of its numbers is a day."""
MOST_TESLA = 15
"""Nobody was scanned in a stronger field."""
Tesla = Annotated[float, Field(gt=0, le=MOST_TESLA)]
Meaning = TypeVar("Meaning")
YEARS_PER_UNIT = {"years": 1.0, "months": 1 / 12, "weeks": 7 / 365.25, "days": 1 / 365.25}
Unit = Literal["years", "months", "weeks", "days"]


def one_meaning_each(codes: Mapping[str, Meaning]) -> Mapping[str, Meaning]:
    """Refuse codes that differ in case alone and yet in meaning: tables are read whatever the case."""
    known: dict[str, tuple[str, Meaning]] = {}
    for code, meaning in codes.items():
        other, same = known.setdefault(code.lower(), (code, meaning))
        if meaning != same:
            msg = f"should give a code one meaning whatever its case, not {other!r} {same!r} and {code!r} {meaning!r}"
            raise ValueError(msg)
    return codes


class Part(BaseModel):
    """Strict, frozen, and closed: a misspelt key is an error, never a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Column(Part):
    """Where a value stands in the cohort's tables."""

    names: tuple[str, ...] = Field(min_length=1)
    """Names of the column, whatever their case; the first one that a table has is read."""
    missing: tuple[str, ...] = ()
    """What stands for a missing value in this column, beside `n/a` and the empty cell."""


def _tells_the_day(form: str) -> bool:
    try:
        return datetime.strptime(EXAMPLE.strftime(form), form).replace(tzinfo=UTC).date() == EXAMPLE
    except ValueError:
        return False


class AmountColumn(Column):
    """A column of ages or of times."""

    unit: Unit
    precision_years: float | None = Field(default=None, gt=0)
    """How far the value may be off; by default one unit of its last written decimal."""


class DayColumn(Column):
    """A column of days of the calendar."""

    formats: tuple[str, ...] = ("%Y-%m-%d",)
    """How a day is written, in the letters of strftime; the first that fits is taken. A time of day may follow."""

    @field_validator("formats")
    @classmethod
    def _tell_the_day(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_tells_the_day(form) for form in value):
            msg = "should each tell day, month and year in the letters of strftime, as %Y-%m-%d does"
            raise ValueError(msg)
        return value


class SexColumn(Column):
    """The column of sex and what its codes mean."""

    codes: Annotated[dict[str, Sex], AfterValidator(one_meaning_each)]


class TeslaColumn(Column):
    """The column of field strengths, and what its words mean where it has words."""

    codes: Annotated[dict[str, Tesla], AfterValidator(one_meaning_each)] = Field(default_factory=dict[str, float])


class Columns(Part):
    """The columns that the reader looks for: in the scans', sessions' and participants' tables, in this order."""

    participant: Column | None = None
    session: Column | None = None
    """What names a visit in the tables: a code, a label."""
    run: Column | None = None
    image: Column | None = None
    """Path or number of an image."""
    description: Column | None = None
    """Of an image's series: what the choice among a visit's images goes by."""
    age: AmountColumn | None = None
    age_at_entry: AmountColumn | None = None
    """At the study's first visit, whichever row it stands in."""
    birth_year: Column | None = None
    sex: SexColumn | None = None
    site: Column | None = None
    scanner_tesla: TeslaColumn | None = None
    months: AmountColumn | None = None
    """Time since the first scan or since entry."""
    date: DayColumn | None = None
    """Day of the scan or of the visit."""
    entry_date: DayColumn | None = None
    """Day of the study's first visit."""
    mmse: Column | None = None
    """Mini-Mental State Examination, 0 to 30."""
    cdr: Column | None = None
    """Global Clinical Dementia Rating: 0, 0.5, 1, 2 or 3."""


SCORES = ("mmse", "cdr")
"""Roles that `visits.tsv` takes along under their own names."""
