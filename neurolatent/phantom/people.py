"""Draw people, their courses and their visits: numbers only, thousands a second, no images.

Everything about a person follows from (seed, index) alone, so that cohorts of any size or order share it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from neurolatent.phantom.anatomy import DRAWS
from neurolatent.phantom.courses import (
    CONVERTING,
    DEVIATES,
    Courses,
    Drawn,
    PerPerson,
    PerRegion,
    PerStructure,
    Rows,
    divide,
)
from neurolatent.phantom.parameters import GROUPS, Arm, PhantomParameters
from neurolatent.phantom.structures import STRUCTURES

Diagnosis = Literal["CN", "MCI", "AD"]

ANATOMIES = len(DRAWS)
KEPT_ANATOMIES = (4, 5)
"""Gyral patterns of people who are kept for testing."""
RATE_MONTHS = 12.0
"""When a person's rate, but for a conversion, is the table's."""
RATE_YEARS = 2.0
"""Over which a person's mean rate is the table's, conversion or not."""
COHORT_YEAR = 1940.0
"""Of birth, where the cohort effect is nought."""
HYPOINTENSITY_AGES = (65.0, 80.0)
MOTION_AGE_YEARS = 70.0
MAX_DEVIATION = 2.5
"""Normal deviates are clipped here: beyond, ventricles outgrow what a velocity field can open."""
OWN_NORMALS, UNIFORMS = 16, 6
NORMALS = OWN_NORMALS + DEVIATES
REDRAW_STREAM = 6
# The two-dimensional golden ratio and its square: their multiples fill the square evenly (Roberts 2018).
PLASTIC = 1.324717957244746
EVEN_STEPS = np.array([1 / PLASTIC, 1 / PLASTIC**2])
CORTEX = np.isin(STRUCTURES, ("temporal", "grey"))
"""Structures that the cohort effect enlarges."""


@dataclass(frozen=True, eq=False)
class People:
    """People as columns; row r is the person of number `index[r]`."""

    seed: int
    index: Int[np.ndarray, " person"]
    group: Int[np.ndarray, " person"]
    """Position in GROUPS."""
    site: Int[np.ndarray, " person"]
    sex: tuple[str, ...]
    anatomy: Int[np.ndarray, " person"]
    age_years: PerPerson
    """At the first scan."""
    intracranial_ml: PerPerson
    enrolment_year: PerPerson
    """Of the first scan."""
    conversion_months: PerPerson
    """When MCI turns to AD; infinite where it does not."""
    conversion_years: float
    """How soon rates turn then: the scale of a logistic function."""
    time_scale_years: float
    courses: Courses
    hypointensity_log_ml: PerPerson
    """White-matter hypointensities at the first scan."""
    hypointensity_rate: PerPerson
    """Log volume per year."""
    most_hypointensity_ml: float

    def log_volumes(self, months: PerPerson) -> PerRegion:
        """Return everyone's log volumes in mL at months since the first scan, one value per person.

        The rate is r + k τ tanh((t − 1 y) / τ), so that acceleration fades; where someone converts, it steps up at
        the conversion, and r is less before by as much as keeps the mean over two years.
        """
        scale = self.time_scale_years
        start, now = -RATE_MONTHS / 12, (months[:, None] - RATE_MONTHS) / 12
        gained = scale**2 * (np.log(np.cosh(now / scale)) - np.log(np.cosh(start / scale)))
        years = now - start
        over_two = self._since_conversion(np.full_like(years, RATE_YEARS))
        stepped = self._since_conversion(years) - years / RATE_YEARS * over_two
        course = self.courses
        return course.log_volume + course.rate * years + course.acceleration * gained + course.step * stepped

    def take(self, rows: Rows) -> "People":
        """Return the people in these rows, in that order; a row may come more than once."""
        return replace(
            self,
            index=self.index[rows],
            group=self.group[rows],
            site=self.site[rows],
            sex=tuple(self.sex[row] for row in rows),
            anatomy=self.anatomy[rows],
            age_years=self.age_years[rows],
            intracranial_ml=self.intracranial_ml[rows],
            enrolment_year=self.enrolment_year[rows],
            conversion_months=self.conversion_months[rows],
            courses=self.courses.take(rows),
            hypointensity_log_ml=self.hypointensity_log_ml[rows],
            hypointensity_rate=self.hypointensity_rate[rows],
        )

    def hypointensities_ml(self, months: PerPerson) -> PerPerson:
        """Return everyone's volume of white-matter hypointensities at months since the first scan."""
        grown = self.hypointensity_log_ml + self.hypointensity_rate * months / 12
        return np.minimum(np.exp(grown), self.most_hypointensity_ml)

    def year(self, row: int, months: float) -> float:
        """Return the calendar year of the person in that row at that time."""
        return float(self.enrolment_year[row]) + months / 12

    def _since_conversion(self, years: Float[np.ndarray, "person 1"]) -> Float[np.ndarray, "person 1"]:
        """Return the integral from 0 of a logistic step at conversion; 0 where there is none."""
        scale, conversion = (
            self.conversion_years,
            np.where(np.isfinite(self.conversion_months), self.conversion_months / 12, 1e3)[:, None],
        )
        now, start = np.logaddexp(0.0, (years - conversion) / scale), np.logaddexp(0.0, -conversion / scale)
        return scale * (now - start)

    def diagnosis(self, row: int, months: float) -> Diagnosis:
        """Return the diagnosis of the person in that row at that time."""
        group = GROUPS[self.group[row]]
        if group == "CN":
            return "CN"
        return "AD" if group == "AD" or months >= self.conversion_months[row] else "MCI"

    def participant_id(self, row: int) -> str:
        """Name the person; the seed is part of the name, so that two phantoms never share one."""
        return f"sub-S{self.seed}P{self.index[row]:04d}"


def person_rng(seed: int, index: int, *purpose: int) -> np.random.Generator:
    """Return the generator of one person for one purpose."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, *purpose)))


def draw_people(
    parameters: PhantomParameters, *, seed: int, index: Int[np.ndarray, " person"], arm: Arm, redraw: int = 0
) -> People:
    """Draw the people of these numbers; a redraw keeps who they are, and gives them other volumes and rates."""
    draws = [person_rng(seed, int(number)) for number in index]
    normal = np.array([rng.standard_normal(NORMALS) for rng in draws])
    if redraw:
        again = [person_rng(seed, int(number), REDRAW_STREAM, redraw) for number in index]
        normal = np.array([rng.standard_normal(NORMALS) for rng in again])
    normal = normal.clip(-MAX_DEVIATION, MAX_DEVIATION)
    uniform = np.array([rng.random(UNIFORMS) for rng in draws])
    even = (np.random.default_rng(np.random.SeedSequence(seed)).random(2) + (index[:, None] + 1) * EVEN_STEPS) % 1
    site = np.floor(even[:, 1] * len(parameters.sites)).astype(int)
    group = _groups(parameters, even[:, 0], site, arm)
    sex = tuple("F" if value < parameters.women else "M" for value in uniform[:, 0])
    age_years = _ages(parameters, group, uniform[:, 1])
    head = np.array([parameters.intracranial_ml[name] for name in sex])
    intracranial_ml = head[:, 0] + head[:, 1] * normal[:, 0]
    enrolment_year = _between(parameters.enrolment_year, uniform[:, 5])
    mci = (group > 0) & (group < GROUPS.index("AD"))
    atypical = uniform[:, 2] < np.where(mci, parameters.atypical_mci, parameters.atypical_ad)
    residual = normal[:, 1:7] @ np.linalg.cholesky(parameters.residual_correlation).T * parameters.residual_sd
    cohort = parameters.cohort_effect * np.outer(enrolment_year - age_years - COHORT_YEAR, CORTEX)
    expected = _expected(parameters, group, age_years, atypical) + np.log(intracranial_ml)[:, None]
    rate = parameters.rate[group] + parameters.rate_sd[group] * _rate_deviates(parameters, normal[:, 7:14])
    drawn = Drawn(group, age_years, expected + cohort + residual, rate)
    converts = group == CONVERTING
    lesions = parameters.hypointensities
    return People(
        seed=seed,
        index=index,
        group=group,
        site=site,
        sex=sex,
        anatomy=_anatomies(parameters, uniform[:, 3]),
        age_years=age_years,
        intracranial_ml=intracranial_ml,
        enrolment_year=enrolment_year,
        conversion_months=np.where(converts, _between(parameters.conversion_months, uniform[:, 4]), np.inf),
        conversion_years=parameters.conversion_years,
        time_scale_years=parameters.rate_time_scale_years,
        courses=divide(parameters, drawn, normal[:, OWN_NORMALS:]),
        hypointensity_log_ml=_hypointensities(lesions, group, age_years) + lesions["log_sd"] * normal[:, 14],
        hypointensity_rate=_hypointensity_rate(lesions) + lesions["rate_sd_percent_per_year"] / 100 * normal[:, 15],
        most_hypointensity_ml=lesions["most_ml"],
    )


def median_motion_mm_per_min(parameters: PhantomParameters, people: People, row: int, months: float) -> float:
    """Return how fast, at the median, heads like that of the person in that row move during a scan."""
    motion = parameters.motion
    older = people.age_years[row] + months / 12 - MOTION_AGE_YEARS
    factor = motion["ad_factor"] if people.diagnosis(row, months) == "AD" else 1.0
    return float(factor * motion["median_mm_per_min"] * np.exp(motion["percent_per_year"] / 100 * older))


def _between(limits: tuple[float, float], uniform: PerPerson) -> PerPerson:
    low, high = limits
    return low + (high - low) * uniform


def _anatomies(parameters: PhantomParameters, uniform: PerPerson) -> Int[np.ndarray, " person"]:
    """Choose gyral patterns, those kept for testing seldom."""
    kept, common = len(KEPT_ANATOMIES), ANATOMIES - len(KEPT_ANATOMIES)
    share = parameters.kept_anatomy_share
    ordinary = np.floor(uniform / (1 - share) * common)
    rare = common + np.floor((uniform - (1 - share)) / share * kept)
    return np.where(uniform < 1 - share, ordinary, rare).astype(int)


def _hypointensities(
    lesions: Mapping[str, float], group: Int[np.ndarray, " person"], age_years: PerPerson
) -> PerPerson:
    """Return the logarithm of the median volume in mL."""
    median = np.log(lesions["median_at_65_ml"]) + _hypointensity_rate(lesions) * (age_years - HYPOINTENSITY_AGES[0])
    return median + np.log(lesions["ad_factor"]) * (group == GROUPS.index("AD"))


def _hypointensity_rate(lesions: Mapping[str, float]) -> float:
    """Return the log volume that a year adds at the median."""
    low, high = HYPOINTENSITY_AGES
    return np.log(lesions["median_at_80_ml"] / lesions["median_at_65_ml"]) / (high - low)


def _groups(
    parameters: PhantomParameters, even: PerPerson, site: Int[np.ndarray, " person"], arm: Arm
) -> Int[np.ndarray, " person"]:
    """Choose groups by the mix; the arm says how each site divides its people without MCI into AD and CN."""
    odds = np.array([place.ad_odds[arm] for place in parameters.sites])[site]
    impaired = parameters.mix[1:3]
    either = 1 - impaired.sum()
    cn = either / (1 + odds)
    bounds = np.stack([cn, cn + impaired[0], cn + impaired.sum()], axis=1)
    return (even[:, None] >= bounds).sum(axis=1)


def _ages(parameters: PhantomParameters, group: Int[np.ndarray, " person"], uniform: PerPerson) -> PerPerson:
    """Draw ages from a normal distribution cut so that every visit lies within the limits."""
    low, high = parameters.age_limits_years
    mean, sd = parameters.baseline_age_years
    grid = np.linspace(low, high - max(parameters.visit_months) / 12, 512)
    ages = np.empty(len(group))
    for number, shift in enumerate(parameters.baseline_age_shift_years):
        density = np.exp(-0.5 * ((grid - mean - shift) / sd) ** 2)
        cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
        chosen = group == number
        ages[chosen] = np.interp(uniform[chosen], cumulative / cumulative[-1], grid)
    return ages


def _expected(
    parameters: PhantomParameters,
    group: Int[np.ndarray, " person"],
    age_years: PerPerson,
    atypical: Bool[np.ndarray, " person"],
) -> PerStructure:
    """Return the expected log share of the intracranial volume: controls' course from 55, and the disease's effect."""
    controls = np.log(parameters.fraction_at_55) + np.outer(
        age_years - parameters.age_limits_years[0], parameters.rate[0]
    )
    share = np.where(atypical, 0.0, parameters.effect_share[group])
    return controls + np.outer(share, parameters.ad_effect)


def _rate_deviates(parameters: PhantomParameters, normal: Float[np.ndarray, "person deviate"]) -> PerStructure:
    """Mix one deviate that all structures share into each one's own; positive means faster loss."""
    shared = parameters.rate_correlation
    deviates = np.sqrt(shared) * normal[:, :1] + np.sqrt(1 - shared) * normal[:, 1:]
    return deviates * np.sign(parameters.rate[0])
