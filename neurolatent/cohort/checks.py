"""From a candidate's cells to a checked visit, or to the reason why the scan is left out."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from neurolatent.cohort.candidates import Age, Candidate, Cell
from neurolatent.cohort.columns import YEARS_PER_UNIT, AmountColumn, TeslaColumn
from neurolatent.cohort.descriptor import Descriptor
from neurolatent.cohort.exclusion import Exclusion, Severity
from neurolatent.cohort.visits import KEY_PART, MISSING, Diagnosis, Visit, check_age, dicom_slices, image_path
from neurolatent.errors import NeurolatentError, TableError

MONTHS_PER_YEAR = 12
SCORE_VALUES: Mapping[str, Sequence[float]] = {"mmse": range(31), "cdr": (0, 0.5, 1, 2, 3)}
FINEST_AGE_YEARS = 0.01
"""No table is believed to know an age better than to some days."""
DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
Code = TypeVar("Code", bound=str)


def check_candidate(candidate: Candidate, months: float, descriptor: Descriptor, source: Path) -> Visit | Exclusion:
    """Check the image's place and every value; the first thing that is wrong is the reason."""
    if candidate.exclusion is not None:
        return candidate.exclusion
    try:
        check_image(candidate, source)
        visit = _visit(candidate, months, descriptor)
    except NeurolatentError as error:
        return exclude(candidate, error)
    for name in descriptor.require:
        if getattr(visit, name) is None:
            message = f"expected {name}, which this cohort requires, got none. Add it to the table."
            return exclude(candidate, message, severity="warning")
    return visit


def exclude(candidate: Candidate, message: str | NeurolatentError, *, severity: Severity = "error") -> Exclusion:
    """Leave a scan out; an error's text begins with the place that is at fault."""
    where, _, reason = str(message).partition(": ") if isinstance(message, NeurolatentError) else ("", "", message)
    return Exclusion(candidate.image, where or candidate.image, str(reason), severity, "check")


def check_image(candidate: Candidate, source: Path) -> None:
    """See that the file is inside the source, there, and not empty; its content is looked at in preprocessing."""
    try:
        path = image_path(source, candidate.image)
    except NeurolatentError as error:
        if candidate.named_by == candidate.image:
            raise
        msg = f"{candidate.named_by}: {str(error).partition(': ')[2]}"
        raise TableError(msg) from error
    if path.is_dir() and dicom_slices(path):
        return
    if not path.is_file():
        link = (
            " but a link to nothing (fetch it, e.g. `datalad get`)" if (source / candidate.image).is_symlink() else ""
        )
        msg = f"{candidate.named_by}: expected the file {candidate.image}, found none{link}. Restore it or its row."
        raise TableError(msg)
    if path.stat().st_size == 0:
        msg = f"{candidate.image}: expected an image, got an empty file. Copy or download it again."
        raise TableError(msg)


def read_age(cell: Cell | None, column: AmountColumn | None) -> Age | None:
    """Read an age in the unit that the data set states, else in its column's."""
    if cell is None or column is None:
        return None
    per_unit = YEARS_PER_UNIT[cell.unit or column.unit]
    years = number(cell) * per_unit
    precision = column.precision_years
    if precision is None:
        decimals = len(cell.text.partition(".")[2])
        precision = max(per_unit * 10.0**-decimals, FINEST_AGE_YEARS)
    return Age(years, precision, cell.level == "participant", cell.where)


def number(cell: Cell) -> float:
    """Read a finite number."""
    try:
        value = float(cell.text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        mend = f"Write {cell.text.replace(',', '.')}" if DECIMAL_COMMA.fullmatch(cell.text) else "Correct the table"
        msg = f"{cell.where}: expected a number or {MISSING}, got {cell.text!r}. {mend}."
        raise TableError(msg)
    return value


def decode(cell: Cell | None, codes: Mapping[str, Code]) -> Code | None:
    """Translate a code, whatever its case."""
    if cell is None:
        return None
    known = {code.lower(): meaning for code, meaning in codes.items()}
    meaning = known.get(cell.text.lower().removesuffix(".0"))  # spreadsheets save a gappy column of codes as floats
    if meaning is None:
        msg = (
            f"{cell.where}: expected one of {sorted(codes)} or {MISSING}, got {cell.text!r}. "
            "Correct the table, or add the code to the descriptor."
        )
        raise TableError(msg)
    return meaning


def _visit(candidate: Candidate, months: float, descriptor: Descriptor) -> Visit:
    _check_key(candidate)
    cells, columns = candidate.cells, descriptor.columns
    age = candidate.age or read_age(cells.get("age"), columns.age)
    age_years = None
    if age is not None:
        age_years = check_age(age.years + (months / MONTHS_PER_YEAR if age.at_first_scan else 0.0), age.where)
    diagnosis = _diagnosis(cells, descriptor)
    site = cells["site"].text if "site" in cells else None
    tesla = _tesla(cells.get("scanner_tesla"), columns.scanner_tesla)
    return Visit(
        participant_id=candidate.participant_id,
        session_id=candidate.session_id,
        run=candidate.run,
        months=months,
        age_years=age_years,
        age_precision_years=age.precision_years if age else None,
        sex=decode(cells.get("sex"), columns.sex.codes) if columns.sex else None,
        diagnosis=diagnosis,
        dx_rule=descriptor.diagnosis.rule if diagnosis else None,
        site=site,
        scanner_tesla=_known_tesla(descriptor, site) if tesla is None else tesla,
        cohort=descriptor.name,
        mask_source=candidate.mask_source,
        image=candidate.image,
        extra=MappingProxyType({name: _own(cells, name) for name in (*descriptor.scores, *descriptor.carry)}),
    )


def _tesla(cell: Cell | None, column: TeslaColumn | None) -> float | None:
    if cell is None:
        return None
    words = {code.lower(): value for code, value in column.codes.items()} if column else {}
    return words.get(cell.text.lower()) or number(cell)


def _known_tesla(descriptor: Descriptor, site: str | None) -> float | None:
    return descriptor.scanner_tesla_by_site.get(site or "", descriptor.scanner_tesla)


def _own(cells: Mapping[str, Cell], name: str) -> str:
    """Return a value that `visits.tsv` takes along as written, scores in one way of writing."""
    cell = cells.get(name)
    if cell is None:
        return MISSING
    if name not in SCORE_VALUES:
        return cell.text
    score = number(cell)
    if score not in SCORE_VALUES[name]:
        low, high = SCORE_VALUES[name][0], SCORE_VALUES[name][-1]
        msg = f"{cell.where}: expected {name.upper()} from {low:g} to {high:g}, got {cell.text!r}. Correct the table."
        raise TableError(msg)
    return f"{score:g}"


def _diagnosis(cells: Mapping[str, Cell], descriptor: Descriptor) -> Diagnosis | None:
    rule = descriptor.diagnosis
    return rule.same_for_all or decode(cells.get("diagnosis"), rule.codes)


def _check_key(candidate: Candidate) -> None:
    for part in (candidate.participant_id, candidate.session_id, candidate.run):
        if not KEY_PART.fullmatch(part):
            msg = f"{candidate.image}: expected letters and digits to name a scan, got {part!r}. Rename it."
            raise TableError(msg)
