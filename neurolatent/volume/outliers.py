"""Which scans to look at: those far from their cohort, and those beyond limits that hold for any cohort."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, inf, isfinite, log
from types import MappingProxyType
from typing import Literal

import numpy as np
from jaxtyping import Float

from neurolatent.shapes import Values
from neurolatent.workspace import ScanKey

LIMIT_Z = 3.5
SD_PER_MAD = 1 / 0.6745
"""Of a normal distribution: Iglewicz & Hoaglin 1993, How to Detect and Handle Outliers, section 3.3."""
SD_PER_MEAN_DEVIATION = 1.253314
"""√(π/2), of a normal distribution."""
MIN_SCANS = 10
KIND = re.compile(r"[^:(\d]*")

Direction = Literal["low", "high"]
Reasons = tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """When a measure is bad."""

    bad: tuple[Direction, ...]
    at_least: float = -inf
    """Limit that needs no cohort, in the measure's own unit; so are the next two."""
    at_most: float = inf
    matters_from: float = 0.0
    """What lies nearer to the median is no outlier, however alike the others are."""
    scale: Literal["linear", "log"] = "linear"
    """On which the cohort is compared; `log` for what varies by a factor."""

    def on_scale(self, value: float) -> float:
        """Return a value as the cohort compares it; NaN where it has none, as a volume of 0."""
        if self.scale == "linear":
            return value
        return log(value) if value > 0 else np.nan

    def off_scale(self, value: float) -> float:
        """Return a compared value in the measure's own unit."""
        return value if self.scale == "linear" else exp(value)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # Good heads correlate by 0.76 to 0.88 (95 of IXI), every head with a bad mask by 0.70 or less.
        "affine_correlation": Rule(("low",), at_least=0.74, matters_from=0.02),
        "local_correlation": Rule(("low",), matters_from=0.02),
        "rigid_correlation": Rule(("low",), matters_from=0.02),
        # 95 adults of IXI lie between 0.58 and 0.85; a template grown to the whole head, or sunk into it, lies beyond.
        "template_scale": Rule(("low", "high"), at_least=0.45, at_most=0.92, scale="log"),
        # No adult's intracranial space is as small. Standard space is larger than heads are, hence no upper limit.
        "mask_volume_ml": Rule(("low", "high"), at_least=800.0, scale="log"),
        # 95 heads of IXI with good masks: 0.934 to 0.967.
        "template_overlap": Rule(("low",), at_least=0.90, matters_from=0.01),
        # Two per cent of standard space are some 40 mL of brain that no one has seen.
        "coverage": Rule(("low",), at_least=0.98, matters_from=0.005),
        "signal_to_noise": Rule(("low",), matters_from=0.2),
        # White matter is brighter than grey in every T1w scan of an adult.
        "contrast_to_noise": Rule(("low",), at_least=0.0, matters_from=0.05),
        "bias_strength": Rule(("high",), matters_from=0.1),
        "mask_smoothness": Rule(("low",), matters_from=0.005),
        # A saturated hundredth of the brain is more than the half per cent that intensities are clipped by anyway.
        "clipped_share": Rule(("high",), at_most=0.01, matters_from=0.001),
        "ringing": Rule(("high",), matters_from=0.01),
        "template_similarity": Rule(("low",), matters_from=0.02),
    }
)
"""By measure; what a table has no column for is passed over."""


@dataclass(frozen=True)
class Centre:
    """Where a cohort lies by one measure, on the scale of its rule."""

    median: float
    spread: float
    """As large as the SD if the cohort were normal; 0 where all scans are the same."""

    def robust_z(self, value: float) -> float:
        """Return the modified z-score: Iglewicz & Hoaglin 1993."""
        away = value - self.median
        return away / self.spread if self.spread else 0.0


def flag_outliers(
    table: Mapping[ScanKey, Mapping[str, float | None]], rules: Mapping[str, Rule] = RULES
) -> dict[ScanKey, Reasons]:
    """Return why each scan should be looked at; an empty tuple where nothing is the matter.

    Each person counts once in a cohort's median and spread, so that many bad scans of one do not excuse one another.

    Args:
        table: Measures by scan; those that are absent, `None` or not finite are passed over.
        rules: By measure; reasons come in their order, limits first.
    """
    reasons: defaultdict[ScanKey, list[str]] = defaultdict(list)
    for measure, rule in rules.items():
        column = _column(table, measure)
        for key, value in column.items():
            reasons[key] += _beyond_limits(measure, value, rule)
        for key, reason in _far_from_cohort(measure, column, rule).items():
            reasons[key].append(reason)
    return {key: tuple(reasons[key]) for key in table}


def kind(reason: str) -> str:
    """Return what comes before a reason's first colon, parenthesis or number: `low contrast_to_noise`, `coverage`."""
    found = KIND.match(reason)
    return (found.group().strip(" -+<>=≥≤,") if found else "") or reason


def _column(table: Mapping[ScanKey, Mapping[str, float | None]], measure: str) -> dict[ScanKey, float]:
    found = {key: measures.get(measure) for key, measures in table.items()}
    return {key: float(value) for key, value in found.items() if value is not None and isfinite(value)}


def _beyond_limits(measure: str, value: float, rule: Rule) -> list[str]:
    if value < rule.at_least:
        return [f"{measure} {value:.4g}, expected at least {rule.at_least:.4g}"]
    if value > rule.at_most:
        return [f"{measure} {value:.4g}, expected at most {rule.at_most:.4g}"]
    return []


def _far_from_cohort(measure: str, column: Mapping[ScanKey, float], rule: Rule) -> dict[ScanKey, str]:
    compared = {key: rule.on_scale(value) for key, value in column.items()}
    compared = {key: value for key, value in compared.items() if isfinite(value)}
    if len(compared) < MIN_SCANS:
        return {}
    scans_of = Counter(key.participant_id for key in compared)
    weights = np.array([1 / scans_of[key.participant_id] for key in compared])
    centre = _centre(np.array(list(compared.values())), weights)
    median, reasons = rule.off_scale(centre.median), dict[ScanKey, str]()
    for key, value in compared.items():
        direction: Direction = "low" if value < centre.median else "high"
        score = centre.robust_z(value)
        if direction in rule.bad and abs(score) > LIMIT_Z and abs(column[key] - median) >= rule.matters_from:
            compare = f"cohort median {median:.4g} (robust z {score:.1f})"
            reasons[key] = f"{direction} {measure}: {column[key]:.4g}, {compare}"
    return reasons


def _centre(values: Values, weights: Values) -> Centre:
    """Return the median and the spread by the MAD; by the mean deviation where more than half are the same."""
    median = _weighted_median(values, weights)
    deviations = np.abs(values - median)
    mad = _weighted_median(deviations, weights)
    if mad > 0:
        return Centre(median, SD_PER_MAD * mad)
    return Centre(median, SD_PER_MEAN_DEVIATION * float(np.average(deviations, weights=weights)))


def _weighted_median(values: Values, weights: Float[np.ndarray, " scan"]) -> float:
    """Return the value that halves the weight, the mean of two where it falls between them."""
    order = np.argsort(values)
    below = np.cumsum(weights[order]) / weights.sum()
    # Sums of thirds and sixths miss a half by their last bits.
    lower, upper = (values[order][np.searchsorted(below, 0.5 + slack)] for slack in (-1e-9, 1e-9))
    return float((lower + upper) / 2)
