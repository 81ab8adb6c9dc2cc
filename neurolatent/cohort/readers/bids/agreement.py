"""Whether rows of several tables say the same of a scan; what one of them lacks is no contradiction."""

from collections.abc import Mapping

from neurolatent.cohort.candidates import SAME_AGE_YEARS, VALUES, text_of
from neurolatent.cohort.columns import Column
from neurolatent.cohort.days import TIME_OF_DAY
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.tables import Row

ALWAYS_SHOWN = ("age", "sex")
"""Told of rows that contradict each other even where they agree in it."""


def told_of(descriptor: Descriptor, row: Row) -> dict[str, str]:
    """Return what a row tells of all that the descriptor asks for, by role or by name of a column of its own."""
    columns: dict[str, Column | None] = {role: getattr(descriptor.columns, role) for role in VALUES}
    columns |= {"diagnosis": descriptor.diagnosis.column}
    columns |= {name: Column(names=(name,)) for name in descriptor.carry}
    found = {role: text_of(column, row) for role, column in columns.items()}
    return {role: text for role, text in found.items() if text is not None}


def contrast(descriptor: Descriptor, first: Row, second: Row) -> tuple[str, str] | None:
    """Return what each of two rows says where they tell one thing in two ways, `None` where they agree."""
    one, other = told_of(descriptor, first), told_of(descriptor, second)
    both = [role for role in one if role in other and role not in descriptor.carry]
    differing = [role for role in both if not _same(role, _codes_of(descriptor, role), one[role], other[role])]
    if not differing:
        return None
    roles = [role for role in one if role in differing or role in ALWAYS_SHOWN]
    roles += [role for role in ALWAYS_SHOWN if role in other and role not in one]
    return _show(roles, one), _show(roles, other)


def _codes_of(descriptor: Descriptor, role: str) -> Mapping[str, object]:
    """Return what words mean in a column, in lower case."""
    sex, tesla = descriptor.columns.sex, descriptor.columns.scanner_tesla
    codes: Mapping[str, Mapping[str, object]] = {
        "sex": sex.codes if sex else {},
        "scanner_tesla": tesla.codes if tesla else {},
        "diagnosis": descriptor.diagnosis.codes,
    }
    return {code.lower(): meaning for code, meaning in codes.get(role, {}).items()}


def _same(role: str, codes: Mapping[str, object], one: str, other: str) -> bool:
    """Whether two cells say the same, in whatever words: `M` is `male`, `3` is `3.0`, a day has no time."""
    if role == "date":
        one, other = TIME_OF_DAY.sub("", one), TIME_OF_DAY.sub("", other)
    meanings = [str(codes.get(text.lower(), text.lower())) for text in (one, other)]
    numbers = [number for meaning in meanings if (number := _number(meaning)) is not None]
    if len(numbers) == 2:
        return abs(numbers[0] - numbers[1]) <= (SAME_AGE_YEARS if role == "age" else 0.0)
    return meanings[0] == meanings[1]


def _show(roles: list[str], told: Mapping[str, str]) -> str:
    return ", ".join(f"{role} {_written(role, told.get(role, 'missing'))}" for role in roles)


def _written(role: str, text: str) -> str:
    number = _number(text) if role == "age" else None
    return text if number is None else f"{number:.2f}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
