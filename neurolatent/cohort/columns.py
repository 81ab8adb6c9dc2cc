"""Where values stand in a cohort's tables, and how they are written there."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from neurolatent.cohort.visits import Sex

YEARS_PER_UNIT = {"years": 1.0, "months": 1 / 12, "weeks": 7 / 365.25, "days": 1 / 365.25}
Unit = Literal["years", "months", "weeks", "days"]


class Part(BaseModel):
    """Strict, frozen, and closed: a misspelt key is an error, never a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Column(Part):
    """Where a value stands in the cohort's tables."""

    names: tuple[str, ...] = Field(min_length=1)
    """Names of the column, whatever their case; the first one that a table has is read."""
    missing: tuple[str, ...] = ()
    """What stands for a missing value in this column, beside `n/a` and the empty cell."""


class AmountColumn(Column):
    """A column of ages or of times."""

    unit: Unit
    precision_years: float | None = Field(default=None, gt=0)
    """How far the value may be off; by default one unit of its last written decimal."""


class DayColumn(Column):
    """A column of days of the calendar."""

    formats: tuple[str, ...] = ("%Y-%m-%d",)
    """How a day is written, in the letters of strftime; the first that fits is taken. A time of day may follow."""


class SexColumn(Column):
    """The column of sex and what its codes mean."""

    codes: dict[str, Sex]


class TeslaColumn(Column):
    """The column of field strengths, and what its words mean where it has words."""

    codes: dict[str, float] = Field(default_factory=dict[str, float])


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
