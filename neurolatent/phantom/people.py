"""Draw people, their courses and their visits: numbers only, thousands a second, no images.

Everything about a person follows from (seed, index) alone, so that cohorts of any size or order share it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from neurolatent.phantom.anatomy import REGIONS
from neurolatent.phantom.parameters import GROUPS, Arm, PhantomParameters

PerPerson = Float[np.ndarray, "person"]
PerRegion = Float[np.ndarray, "person region"]
Diagnosis = Literal["CN", "MCI", "AD"]

ANATOMIES = 3
REFERENCE_AGE_YEARS = 55.0
RATE_MONTHS = 12.0
"""When a person's rate is the table's."""
MAX_ACCELERATION = 0.05
"""Log volume per year²: small ventricles would otherwise explode."""
MAX_DEVIATION = 2.5
"""Normal deviates are clipped here: beyond, ventricles outgrow what a velocity field can open."""
NORMALS, UNIFORMS = 16, 8
# The two-dimensional golden ratio and its square: their multiples fill the square evenly (Roberts 2018).
PLASTIC = 1.324717957244746
EVEN_STEPS = np.array([1 / PLASTIC, 1 / PLASTIC**2])
VENTRICLE = REGIONS.index("ventricle")


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
    conversion_months: PerPerson
    """When MCI turns to AD; infinite where it does not."""
    log_volume: PerRegion
    """Natural logarithm of mL at the first scan."""
    rate: PerRegion
    """Log volume per year at 12 months."""
    acceleration: PerRegion
    """Its change per year, at 12 months."""
    time_scale_years: float

    def log_volumes(self, months: PerPerson) -> PerRegion:
        """Return everyone's log volumes at months since the first scan, one value per person.

        The rate is r + k τ tanh((t − 1 y) / τ): it is r at 12 months, and acceleration fades.
        """
        scale = self.time_scale_years
        start, now = -RATE_MONTHS / 12, (months[:, None] - RATE_MONTHS) / 12
        gained = scale**2 * (np.log(np.cosh(now / scale)) - np.log(np.cosh(start / scale)))
        return self.log_volume + self.rate * (now - start) + self.acceleration * gained

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


def draw_people(parameters: PhantomParameters, *, seed: int, index: Int[np.ndarray, " person"], arm: Arm) -> People:
    """Draw the people of these numbers."""
    draws = [person_rng(seed, int(number)) for number in index]
    normal = np.array([rng.standard_normal(NORMALS) for rng in draws]).clip(-MAX_DEVIATION, MAX_DEVIATION)
    uniform = np.array([rng.random(UNIFORMS) for rng in draws])
    even = (np.random.default_rng(np.random.SeedSequence(seed)).random(2) + (index[:, None] + 1) * EVEN_STEPS) % 1
    site = np.floor(even[:, 1] * len(parameters.sites)).astype(int)
    group = _groups(parameters, even[:, 0], site, arm)
    sex = tuple("F" if value < parameters.women else "M" for value in uniform[:, 0])
    age_years = _ages(parameters, group, uniform[:, 1])
    head = np.array([parameters.intracranial_ml[name] for name in sex])
    intracranial_ml = head[:, 0] + head[:, 1] * normal[:, 0]
    atypical = (group == GROUPS.index("AD")) & (uniform[:, 2] < parameters.atypical_ad)
    residual = normal[:, 1:7] @ np.linalg.cholesky(parameters.residual_correlation).T * parameters.residual_sd
    log_volume = _expected(parameters, group, age_years, atypical) + residual + np.log(intracranial_ml)[:, None]
    rate = parameters.rate[group] + parameters.rate_sd[group] * _rate_deviates(parameters, normal[:, 7:14])
    low, high = parameters.conversion_months
    converts = group == GROUPS.index("cMCI")
    return People(
        seed=seed,
        index=index,
        group=group,
        site=site,
        sex=sex,
        anatomy=np.floor(uniform[:, 3] * ANATOMIES).astype(int),
        age_years=age_years,
        intracranial_ml=intracranial_ml,
        conversion_months=np.where(converts, low + (high - low) * uniform[:, 4], np.inf),
        log_volume=log_volume,
        rate=rate,
        acceleration=_accelerations(parameters, group, log_volume, rate),
        time_scale_years=parameters.rate_time_scale_years,
    )


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
) -> PerRegion:
    """Return the expected log share of the intracranial volume: controls' course from 55, and the disease's effect."""
    controls = np.log(parameters.fraction_at_55) + np.outer(age_years - REFERENCE_AGE_YEARS, parameters.rate[0])
    share = np.array([0.0, parameters.mci_effect_share, parameters.mci_effect_share, 1.0])[group]
    return controls + np.outer(np.where(atypical, 0.0, share), parameters.ad_effect)


def _rate_deviates(parameters: PhantomParameters, normal: Float[np.ndarray, "person deviate"]) -> PerRegion:
    """Mix one deviate that all regions share into each region's own; positive means faster loss."""
    shared = parameters.rate_correlation
    deviates = np.sqrt(shared) * normal[:, :1] + np.sqrt(1 - shared) * normal[:, 1:]
    return deviates * np.sign(parameters.rate[0])


def _accelerations(
    parameters: PhantomParameters, group: Int[np.ndarray, " person"], log_volume: PerRegion, rate: PerRegion
) -> PerRegion:
    """Return k of each person: for the ventricle from V'' = V (r² + k), where a group's V'' in mL is stated."""
    acceleration = parameters.rate_acceleration[group]
    stated = parameters.ventricle_acceleration_ml[group]
    volume = np.exp(log_volume[:, VENTRICLE] + rate[:, VENTRICLE] * RATE_MONTHS / 12)
    ventricle = np.minimum(stated / volume - rate[:, VENTRICLE] ** 2, MAX_ACCELERATION)
    acceleration[:, VENTRICLE] = np.where(stated > 0, ventricle, 0.0)
    return acceleration
