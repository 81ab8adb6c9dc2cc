"""What a cohort's TOML file says: where its columns are, what its codes mean, who may use it and how to cite it."""

import json
import re
import tomllib
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from neurolatent.cohort.visits import COLUMNS, MISSING, Diagnosis, Sex, Visit
from neurolatent.content import content_folder
from neurolatent.errors import CohortError
from neurolatent.provenance import hash_settings

YEARS_PER_UNIT = {"years": 1.0, "months": 1 / 12, "weeks": 7 / 365.25, "days": 1 / 365.25}
Unit = Literal["years", "months", "weeks", "days"]


class _Part(BaseModel):
    """Strict, frozen, and closed: a misspelt key is an error, never a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Column(_Part):
    """Where a value stands in the cohort's tables."""

    names: tuple[str, ...]
    """Names of the column, whatever their case; the first one that a table has is read."""
    missing: tuple[str, ...] = ()
    """What stands for a missing value in this column, beside `n/a` and the empty cell."""


class AmountColumn(Column):
    """A column of ages or of times since the first scan."""

    unit: Unit
    precision_years: float | None = None
    """How far the value may be off; by default one unit of its last written decimal."""


class SexColumn(Column):
    """The column of sex and what its codes mean."""

    codes: dict[str, Sex]


class Columns(_Part):
    """The columns that the reader looks for, in the scans', sessions' and participants' tables, in this order."""

    participant: Column | None = None
    age: AmountColumn | None = None
    sex: SexColumn | None = None
    site: Column | None = None
    scanner_tesla: Column | None = None
    months: AmountColumn | None = None
    """Time since the first scan."""
    date: Column | None = None
    """Day of the scan, YYYY-MM-DD; a time of day may follow."""


class DiagnosisRule(_Part):
    """How a diagnosis is reached: one for all, or a column with codes."""

    rule: str
    source: str
    same_for_all: Diagnosis | None = None
    column: Column | None = None
    codes: dict[str, Diagnosis] = {}


class Images(_Part):
    """Which files below the source folder are the cohort's T1w scans."""

    patterns: tuple[str, ...]
    """Shell patterns relative to the source folder."""
    name: str | None = None
    """Regular expression for a file name, with the named groups that the reader asks for."""
    linear_spaces: tuple[str, ...] = ()
    """BIDS `space-` labels that a rigid or affine transform leads to; others are refused."""

    @field_validator("name")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            msg = f"should be a regular expression ({error})"
            raise ValueError(msg) from error
        return value


class Table(_Part):
    """The one table of a cohort that has its people in a workbook."""

    files: tuple[str, ...]
    sheet: str | None = None


class Licence(_Part):
    """Who may use the data, how to get them, how to cite them."""

    name: str
    url: str | None = None
    apply: str
    cite: str


class Expected(_Part):
    """What a complete copy of the cohort holds."""

    participants: int | None = None
    scans: int | None = None
    source: str | None = None


class Mark(_Part):
    """A column of the cohort's own, and the values there that mark a scan."""

    column: str
    values: tuple[str, ...] = Field(min_length=1)

    def is_on(self, visit: Visit) -> bool:
        """Whether the scan carries one of the values, whatever its case."""
        return _plain(visit.extra.get(self.column, MISSING)) in {_plain(value) for value in self.values}


class SplitRules(_Part):
    """What every split of the cohort keeps to."""

    test_only: Mark | None = None
    """Marks the people who are tested on and never trained on."""


class Descriptor(_Part):
    """One cohort; `cohorts/README.md` explains each key."""

    name: str
    title: str
    reader: str
    simulation: bool
    require: tuple[Literal["age_years", "sex", "diagnosis"], ...] = ()
    """A scan without one of these is left out and listed."""
    carry: tuple[str, ...] = ()
    """Columns of the cohort's own that `visits.tsv` takes along."""
    split: SplitRules = SplitRules()
    unnamed_session: str = "ses-1"
    images: Images
    table: Table | None = None
    columns: Columns
    scanner_tesla_by_site: dict[str, float] = {}
    diagnosis: DiagnosisRule
    licence: Licence
    expected: Expected = Expected()
    phantom: dict[str, Any] | None = None
    """Free-form: `neurolatent.phantom` checks it."""

    @field_validator("carry")
    @classmethod
    def _own(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        taken = sorted({name.lower() for name in value} & {*COLUMNS, *Columns.model_fields, "diagnosis"})
        if taken:
            msg = f"should name columns of the cohort's own, not {taken}"
            raise ValueError(msg)
        return value

    @cached_property
    def hash(self) -> str:
        """One hash for all that the descriptor says."""
        return hash_settings(self.model_dump(mode="json"))

    def test_only(self, visits: Iterable[Visit]) -> frozenset[str]:
        """Return the people who are tested on and never trained on: one marked scan is enough."""
        mark = self.split.test_only
        return frozenset(visit.participant_id for visit in visits if mark and mark.is_on(visit))


def cohort_names() -> tuple[str, ...]:
    """Return the names of the cohorts that ship with the package."""
    return tuple(sorted(path.stem for path in content_folder("cohorts").glob("*.toml")))


def load_descriptor(name: str) -> Descriptor:
    """Read and check a shipped cohort by its name, or one's own by the path of its `.toml` file."""
    if name.endswith(".toml"):
        return read_descriptor(Path(name))
    if name not in cohort_names():
        msg = f"Unknown cohort {name!r}; choose from {list(cohort_names())}, or give the path of a .toml file."
        raise CohortError(msg)
    return read_descriptor(content_folder("cohorts") / f"{name}.toml")


def read_descriptor(path: Path) -> Descriptor:
    """Read and check one file; an error is one line that names the file and the key."""
    if not path.is_file():
        msg = f"{path}: expected a cohort descriptor, found no file. Check the path."
        raise CohortError(msg)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path.name}: expected TOML in UTF-8, got something else: {error}. Correct the file."
        raise CohortError(msg) from error
    try:
        # Through JSON, where strict models take lists for tuples and nothing else for anything.
        descriptor = Descriptor.model_validate_json(json.dumps(table, default=str))
    except ValidationError as error:
        raise CohortError(_one_line(path.name, error)) from error
    if descriptor.name != path.stem:
        msg = f"{path.name}: name: expected the file's own name {path.stem!r}, got {descriptor.name!r}. Rename one."
        raise CohortError(msg)
    mark = descriptor.split.test_only
    if mark and mark.column not in descriptor.carry:
        expected = f"expected one of the columns in `carry`, {list(descriptor.carry)}"
        msg = f"{path.name}: split.test_only.column: {expected}, got {mark.column!r}. Add it there, or correct it."
        raise CohortError(msg)
    return descriptor


def _plain(text: str) -> str:
    """Read a value as codes are read: spreadsheets save a gappy column of codes as floats."""
    return text.lower().removesuffix(".0")


def _one_line(file: str, error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    where = ".".join(str(key) for key in first["loc"])
    if first["type"] == "extra_forbidden":
        what = f"expected one of {_known_keys(first['loc'])}, got {str(first['loc'][-1])!r}"
    elif first["type"] == "missing":
        what = "expected a value, got none"
    else:
        what = f"{first['msg'].removeprefix('Value error, ')}, got {first['input']!r}"
    more = f" ({len(problems) - 1} more to correct.)" if len(problems) > 1 else ""
    return f"{file}: {where}: {what}. Correct this key; cohorts/README.md explains all of them.{more}"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Descriptor
    for key in location[:-1]:
        annotation = model.model_fields[str(key)].annotation
        options = getattr(annotation, "__args__", (annotation,))
        model = next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
    return sorted(model.model_fields)
