"""What a cohort's TOML file says: where its columns are, what its codes mean, who may use it and how to cite it."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from neurolatent.cohort.columns import SCORES, Column, Columns, Part, Tesla, one_meaning_each
from neurolatent.cohort.exclusion import Severity
from neurolatent.cohort.visits import COLUMNS, MISSING, Diagnosis, Visit, plain_ending
from neurolatent.content import content_folder
from neurolatent.errors import CohortError
from neurolatent.provenance import hash_settings

FLATTEST_MM3 = 1e-3
"""Of a voxel: below it its axes lie in a plane."""


class DiagnosisRule(Part):
    """How a diagnosis is reached: one for all, a column with codes, or what the cohort's reader works out."""

    rule: str
    source: str
    same_for_all: Diagnosis | None = None
    column: Column | None = None
    codes: Annotated[dict[str, Diagnosis], AfterValidator(one_meaning_each)] = Field(default_factory=dict)
    window_days: int | None = Field(default=None, ge=0)
    """How far from the scan a clinical visit may lie to speak of it."""
    cdr05: Diagnosis | Literal["drop"] | None = None
    """What a Clinical Dementia Rating of 0.5 means where the rating is the diagnosis; set by `--cdr05` otherwise."""

    @model_validator(mode="after")
    def _is_reached_in_one_way(self) -> "DiagnosisRule":
        if self.same_for_all is not None and self.column is not None:
            names = list(self.column.names)
            msg = f"should have same_for_all or a column, not both, {self.same_for_all!r} and the column {names}"
            raise ValueError(msg)
        return self


class Choice(Part):
    """Which image to take where a visit has several."""

    rule: str
    """In words, for the report."""
    avoid: tuple[str, ...] = ()
    """Shell patterns of series descriptions that are never taken, whatever their case."""
    prefer: tuple[str, ...] = ("*",)
    """Shell patterns, best first; what fits none is never taken."""
    after: tuple[tuple[str, ...], ...] = ()
    """Groups of patterns, the worst first, of what comes after its equals; then the lowest number is taken."""


class Naming(Part):
    """What an image's path says of it, and which row of the table speaks of it."""

    pattern: str
    """Regular expression that is looked for in the path below the source folder; its named groups are used below."""
    example: str
    """A path that it fits, for messages."""
    participant: str
    """Our name of the person, such as `sub-IXI{participant}`, from the groups."""
    session: str = ""
    run: str = ""
    row: tuple[str, ...] = Field(min_length=1)
    """What the table may call the row; leading zeros of numbers and case do not count."""
    row_is_a_scan: bool = False
    """Whether a row of the table is a scan, or a person."""
    absent: dict[str, str] = Field(default_factory=dict)
    """What a group that finds nothing stands for."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            msg = f"should be a regular expression ({error})"
            raise ValueError(msg) from error
        return value

    @model_validator(mode="after")
    def _uses_its_groups(self) -> "Naming":
        known = re.compile(self.pattern).groupindex
        for template in (self.participant, self.session, self.run, *self.row):
            used = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
            if not used <= known.keys():
                msg = f"should use the groups of the pattern, {sorted(known)}, not {sorted(used - known.keys())}"
                raise ValueError(msg)
            try:
                template.format_map(dict.fromkeys(known, "1"))
            except ValueError as error:
                msg = f"should put texts together, as 'sub-{{participant}}' does, not {template!r} ({error})"
                raise ValueError(msg) from error
        return self

    def groups(self, path: str) -> dict[str, str] | None:
        """Return what a path says, by group; `None` where it does not fit, whatever the case of its ending."""
        parts = re.search(self.pattern, plain_ending(path))
        return parts and {name: text or self.absent.get(name, "") for name, text in parts.groupdict().items()}

    def key(self, groups: Mapping[str, str]) -> tuple[str, str, str]:
        """Return (participant, session, run); no session where the template is empty, run 1 where it finds none."""
        run = self.run.format_map(groups).lstrip("0") or "1"
        return self.participant.format_map(groups), self.session.format_map(groups), run


def _is_below(pattern: str) -> str:
    """Refuse a pattern that names nothing below a folder, or that no search understands."""
    parts = pattern.split("/")
    if {"", ".", ".."} & {*parts} or any("**" in part and part != "**" for part in parts) or parts[-1] == "**":
        msg = "should be a pattern of files below the folder, such as '*.csv' or '**/*.nii', `**` a part of its own"
        raise ValueError(msg)
    return pattern


Pattern = Annotated[str, AfterValidator(_is_below)]


class Images(Part):
    """Which files below the source folder are the cohort's T1w scans."""

    patterns: tuple[Pattern, ...]
    """Shell patterns relative to the source folder."""
    naming: Naming | None = None
    linear_spaces: tuple[str, ...] = ()
    """BIDS `space-` labels that a rigid or affine transform leads to; others are refused."""
    descriptions: tuple[str, ...] = ("preproc",)
    """BIDS `desc-` labels of whole scans."""
    allow_nonlinear: bool = False
    """Take scans in other spaces too."""
    choice: Choice | None = None
    analyze_affine: tuple[tuple[float, ...], ...] | None = None
    """World from voxel in mm, of images whose own header cannot tell: four rows of four."""

    @field_validator("analyze_affine")
    @classmethod
    def _four_by_four(cls, value: tuple[tuple[float, ...], ...] | None) -> tuple[tuple[float, ...], ...] | None:
        if value is not None and [len(row) for row in value] != [4] * 4:
            msg = "should be four rows of four numbers"
            raise ValueError(msg)
        if value is not None and abs(_determinant(value)) < FLATTEST_MM3:
            msg = "should lead to three axes that do not lie in a plane"
            raise ValueError(msg)
        return value


class TableFiles(Part):
    """Where one of the cohort's tables is."""

    files: tuple[Pattern, ...] = Field(min_length=1)
    """Shell patterns of its name; looked for in the source folder, around it and below it."""
    nearby: bool = True
    """Whether to look around and below too, and not in the folder alone: not for names that are anybody's."""
    sheet: str | None = None
    """Of a workbook; the first where not given."""
    having: tuple[str, ...] = ()
    """Only tables with these columns: for files whose names are anybody's."""
    many: bool = False
    """Whether several files make up the table; otherwise two are refused."""
    required: bool = True
    contradictions: Severity = "error"
    """What rows that contradict each other are: a warning where the cohort is known for them."""


def _determinant(rows: tuple[tuple[float, ...], ...]) -> float:
    """Return a voxel's volume in mm³, with the sign of its axes."""
    (a, b, c, _), (d, e, f, _), (g, h, i, _), _ = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


class Licence(Part):
    """Who may use the data, how to get them, how to cite them."""

    name: str
    url: str | None = None
    apply: str
    cite: str
    share_weights: bool = False
    """Whether weights trained on the data may be given to others."""
    share_samples: bool = False
    """Whether images that a model makes of the data may be."""

    @property
    def shares(self) -> tuple[str, ...]:
        """What may be given to others."""
        return tuple(good for good in ("weights", "samples") if getattr(self, f"share_{good}"))


class Expected(Part):
    """What a complete copy of the cohort holds."""

    participants: int | None = None
    scans: int | None = None
    source: str | None = None


class Mark(Part):
    """A column of the cohort's own, and the values there that mark a scan."""

    column: str
    values: tuple[str, ...] = Field(min_length=1)

    def is_on(self, visit: Visit) -> bool:
        """Whether the scan carries one of the values, whatever its case."""
        return _plain(visit.extra.get(self.column, MISSING)) in {_plain(value) for value in self.values}


class SplitRules(Part):
    """What every split of the cohort keeps to."""

    test_only: Mark | None = None
    """Marks the people who are tested on and never trained on."""


Required = Literal["age_years", "sex", "diagnosis"]


class Descriptor(Part):
    """One cohort; `cohorts/README.md` explains each key."""

    name: str
    title: str
    reader: str
    simulation: bool
    require: tuple[Required, ...] = ()
    """A scan without one of these is left out and listed."""
    carry: tuple[str, ...] = ()
    """Columns of the cohort's own that `visits.tsv` takes along."""
    split: SplitRules = SplitRules()
    unnamed_session: str = "ses-1"
    images: Images
    tables: dict[str, TableFiles] = Field(default_factory=dict)
    """By the names that the reader asks for."""
    columns: Columns
    scanner_tesla: Tesla | None = None
    """Of all scans, where no column tells it and sites do not differ."""
    scanner_tesla_by_site: dict[str, Tesla] = Field(default_factory=dict)
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

    def for_table(self, name: str) -> "Descriptor":
        """Return the descriptor with its only table in this file."""
        if len(self.tables) != 1:
            got = f"got the file {name!r}"
            msg = f"{name}: expected the folder of the cohort {self.name!r}, {got}. Give the folder it lies in."
            raise CohortError(msg)
        role, table = next(iter(self.tables.items()))
        return self.model_copy(update={"tables": {role: table.model_copy(update={"files": (name,)})}})

    @property
    def scores(self) -> tuple[str, ...]:
        """Clinical scores that this cohort has."""
        return tuple(name for name in SCORES if getattr(self.columns, name) is not None)


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
        what = first["msg"].removeprefix("Value error, ")
        if not isinstance(first["input"], dict):  # a whole part of the file: the message says what is wrong in it
            what += f", got {first['input']!r}"
    more = f" ({len(problems) - 1} more to correct.)" if len(problems) > 1 else ""
    return f"{file}: {where}: {what}. Correct this key; cohorts/README.md explains all of them.{more}"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Descriptor
    keys = iter(location[:-1])
    for key in keys:
        annotation = model.model_fields[str(key)].annotation
        options = getattr(annotation, "__args__", (annotation,))
        model = next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
        if get_origin(annotation) is dict:
            next(keys, None)  # a name of the user's own
    return sorted(model.model_fields)
