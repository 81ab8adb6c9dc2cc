"""Lay a finding's rows out as tables: methods down and quantities across; groups down and methods across."""

from collections.abc import Mapping, Sequence

from neurolatent.analysis.finding import Estimate, Fact, Finding
from neurolatent.report import numbers
from neurolatent.report.privacy import scrub
from neurolatent.report.records import Cell, Head, Row, Table
from neurolatent.report.verdict import EVERYONE, capital, reading_of

ROLE_ORDER = ("model", "baseline", "ceiling", "difference")
EMPTY = Cell(numbers.DASH)
SMALL = 0.01
THOUSANDTHS = 1000.0


def estimate_tables(finding: Finding) -> tuple[Table, ...]:
    """Return every quantity over everyone, then the first one group by group; measured values before differences."""
    rows = sorted(finding.estimates, key=lambda row: ROLE_ORDER.index(row.role))
    main = EVERYONE if any(row.group == EVERYONE for row in rows) else rows[0].group if rows else EVERYONE
    first = finding.estimates[0].name if rows else ""
    groups = dict.fromkeys(row.group for row in finding.estimates if row.name == first)
    tables: list[Table] = []
    for caption, chosen in _measured_and_differences(rows):
        tables += _by_quantity(finding, [row for row in chosen if row.group == main], caption)
    if len(groups) > 1:
        for caption, chosen in _measured_and_differences(rows):
            tables += _by_group(finding, [row for row in chosen if row.name == first], f"{caption} by group: {first}")
    return tuple(tables)


def facts_table(facts: Sequence[Fact], source_roots: Sequence[str]) -> Table | None:
    """Return the facts with their sources."""
    if not facts:
        return None
    rows = [Row(capital(one.name), "", tuple(Cell(scrub(text, source_roots)) for text in _fact(one))) for one in facts]
    return Table("Further facts", (Head("Fact"), Head("Value"), Head("From")), tuple(rows))


def group_label(group: str) -> str:
    """Name a subset as a row heading."""
    return "Everyone" if group == EVERYONE else capital(group)


def _fact(fact: Fact) -> tuple[str, str]:
    return numbers.with_unit(numbers.short(fact.value), fact.unit), fact.source


def _measured_and_differences(rows: Sequence[Estimate]) -> list[tuple[str, list[Estimate]]]:
    return [
        ("Measured values", [row for row in rows if row.role != "difference"]),
        ("Paired differences on the same people", [row for row in rows if row.role == "difference"]),
    ]


def _by_quantity(finding: Finding, rows: Sequence[Estimate], caption: str) -> list[Table]:
    if not rows:
        return []
    scales = _scales(finding)
    names = list(dict.fromkeys(row.name for row in rows))
    methods = dict.fromkeys((row.model, row.role) for row in rows)
    cells, group = _cells(finding, rows, scales), rows[0].group
    body = [
        Row(capital(method), _shown(role), _pick(cells, [(method, group, name) for name in names]), role == "model")
        for method, role in methods
    ]
    heads = [Head("Comparison" if rows[0].role == "difference" else "Method")]
    heads += [_quantity_head(next(row for row in rows if row.name == name), scales[name]) for name in names]
    return [Table(caption, tuple(heads), tuple(body), _note(rows))]


def _by_group(finding: Finding, rows: Sequence[Estimate], caption: str) -> list[Table]:
    if not rows:
        return []
    scales = _scales(finding)
    groups = list(dict.fromkeys(row.group for row in rows))
    methods = dict.fromkeys((row.model, row.role) for row in rows)
    cells = _cells(finding, rows, scales)
    body = [
        Row(
            group_label(group),
            _n([row for row in rows if row.group == group]),
            _pick(cells, [(method, group, rows[0].name) for method, _ in methods]),
        )
        for group in groups
    ]
    heads = [Head("Group"), *(Head(capital(method), _shown(role)) for method, role in methods)]
    unit = _quantity_head(rows[0], scales[rows[0].name]).detail
    return [Table(f"{caption} ({unit})" if unit else caption, tuple(heads), tuple(body), _interval_note(rows))]


def _pick(cells: Mapping[tuple[str, str, str], Cell], wanted: Sequence[tuple[str, str, str]]) -> tuple[Cell, ...]:
    return tuple(cells.get(key, EMPTY) for key in wanted)


def _cells(finding: Finding, rows: Sequence[Estimate], scales: Mapping[str, float]) -> dict[tuple[str, str, str], Cell]:
    """Return the cells by method, group and quantity, each quantity with the decimals that its intervals support."""
    scaled = {
        row: (row.value * scales[row.name], row.low * scales[row.name], row.high * scales[row.name]) for row in rows
    }
    halves: dict[str, list[float]] = {}
    for row, (_, low, high) in scaled.items():
        halves.setdefault(row.name, []).append((high - low) / 2)
    cells: dict[tuple[str, str, str], Cell] = {}
    for row, (value, low, high) in scaled.items():
        decimals = numbers.decimals_of(halves[row.name])
        text = numbers.number(value, decimals), numbers.interval(low, high, decimals)
        cells[row.model, row.group, row.name] = Cell(*text, reading_of(finding, row))
    return cells


def _scales(finding: Finding) -> dict[str, float]:
    """Return by what each quantity is multiplied for print: a thousand where all its measured values are tiny."""
    largest: dict[str, float] = {}
    for row in finding.estimates:
        size = abs(row.value) if row.role != "difference" else 0.0
        largest[row.name] = max(largest.get(row.name, 0.0), size)
    return {name: THOUSANDTHS if 0 < size < SMALL else 1.0 for name, size in largest.items()}


def _quantity_head(row: Estimate, scale: float) -> Head:
    power = "×10⁻³" if scale == THOUSANDTHS else ""
    return Head(capital(row.name), " ".join(filter(None, (power, row.unit))))


def _shown(role: str) -> str:
    return "" if role == "difference" else role


def _n(rows: Sequence[Estimate]) -> str:
    counts = dict.fromkeys(numbers.people_and_scans(row.n_subjects, row.n_scans) for row in rows)
    return " or ".join(counts)


def _note(rows: Sequence[Estimate]) -> str:
    return f"n = {_n(rows)}. {_interval_note(rows)}"


def _interval_note(rows: Sequence[Estimate]) -> str:
    levels = numbers.listing(f"{100 * level:g} %" for level in sorted({row.level for row in rows}))
    methods = numbers.listing(dict.fromkeys(row.interval_method for row in rows))
    return f"In brackets: {levels} interval ({methods})."
