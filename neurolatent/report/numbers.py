"""Numbers as a reader wants them: as many decimals as the interval supports, and a true minus sign."""

from collections.abc import Iterable
from math import floor, isfinite, log10
from statistics import fmean, median, stdev

from neurolatent.analysis.finding import Estimate

MINUS = "−"
DASH = "–"
MAX_DECIMALS = 5
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def decimals_for(rows: Iterable[Estimate]) -> int:
    """Return the decimals that show two digits of the middling half width, alike for all rows of one quantity."""
    return decimals_of((row.high - row.low) / 2 for row in rows)


def decimals_of(half_widths: Iterable[float]) -> int:
    """Return the decimals that show two digits of the middling half width; one more where others are far smaller."""
    halves = [half for half in half_widths if isfinite(half) and half > 0]
    if not halves:
        return 3
    middling, least = (1 - floor(log10(half)) for half in (median(halves), min(halves)))
    return min(MAX_DECIMALS, max(0, middling, min(least - 1, middling + 1)))


def number(value: float | int, decimals: int) -> str:
    """Write a number with a true minus sign; what is not finite is a dash, and −0.00 is 0.00."""
    if not isfinite(value):
        return DASH
    text = f"{value:,.{decimals}f}".replace(",", "\u202f")
    if text.startswith("-"):
        text = text[1:] if float(f"{value:.{decimals}f}") == 0 else MINUS + text[1:]
    return text


def short(value: float | int | str) -> str:
    """Write a fact: whole numbers whole, others with four significant digits at most, words as they are."""
    if isinstance(value, str):
        return value
    if not isfinite(value):
        return DASH
    if float(value).is_integer() or abs(value) >= 1e4:
        return number(value, 0)
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    power = f"×10{str(int(exponent)).translate(SUPERSCRIPTS)}" if exponent else ""
    return mantissa.replace("-", MINUS) + power


def interval(low: float, high: float, decimals: int) -> str:
    """Write an interval in brackets, which no line breaks."""
    return f"[{number(low, decimals)},\u00a0{number(high, decimals)}]"


def with_unit(text: str, unit: str) -> str:
    """Append a unit, where there is one."""
    return f"{text} {unit}" if unit and unit not in {"1", "none", "fraction"} else text


def mean_and_sd(values: list[float]) -> str:
    """Write mean ± standard deviation, or what there is of them."""
    if not values:
        return DASH
    if len(values) == 1:
        return number(values[0], 1)
    return f"{number(fmean(values), 1)} ± {number(stdev(values), 1)}"


def value_range(values: list[float], decimals: int = 0) -> str:
    """Write the smallest and the largest value."""
    if not values:
        return DASH
    return f"{number(min(values), decimals)}{DASH}{number(max(values), decimals)}"


def count(amount: int, singular: str, plural: str) -> str:
    """Write a count with its noun: `1 person`, `12 people`."""
    return f"{number(amount, 0)} {singular if amount == 1 else plural}"


def people_and_scans(people: int, scans: int) -> str:
    """Write n: `60 people, 142 scans`."""
    return f"{count(people, 'person', 'people')}, {count(scans, 'scan', 'scans')}"


def listing(items: Iterable[str]) -> str:
    """Join as in a sentence: `a`, `a and b`, `a, b and c`."""
    parts = list(items)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
