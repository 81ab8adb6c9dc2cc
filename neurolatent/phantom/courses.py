"""From structures to regions: how what is drawn of a structure is divided among its parts and its sides.

Parts add up to the structure at the first scan, and weighted by their volumes their rates are the structure's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from neurolatent.phantom.parameters import GROUPS, PARTS, PhantomParameters
from neurolatent.phantom.structures import OTHER_LOBES, SIDED, STRUCTURES, VENTRICLE, VENTRICLE_PARTS, sides

PerPerson = Float[np.ndarray, "person"]
PerRegion = Float[np.ndarray, "person region"]
PerStructure = Float[np.ndarray, "person structure"]
Rows = Int[np.ndarray, " row"]
Deviates = Float[np.ndarray, "person deviate"]

CONVERTING = GROUPS.index("cMCI")
DEVIATES = 2 * (len(PARTS) + len(SIDED))
"""Standard normal deviates of a person that `divide` takes."""
MAX_ACCELERATION = 0.05
"""Log volume per year²: small ventricles would otherwise explode."""
SMALLEST_REST = 0.5
"""Of the cortex, at least so much is not temporal."""


@dataclass(frozen=True, eq=False)
class Courses:
    """Regions as columns."""

    log_volume: PerRegion
    """At the first scan: natural logarithm of mL."""
    rate: PerRegion
    """Log volume per year: the mean over the first two years."""
    acceleration: PerRegion
    """Log volume per year², at 12 months."""
    step: PerRegion
    """Log volume per year by which the rate changes at conversion."""

    def take(self, rows: Rows) -> "Courses":
        """Return the courses of the people in these rows."""
        return Courses(self.log_volume[rows], self.rate[rows], self.acceleration[rows], self.step[rows])


@dataclass(frozen=True, eq=False)
class Drawn:
    """What is known of each person before regions are told apart."""

    group: Int[np.ndarray, " person"]
    age_years: PerPerson
    log_volume: PerStructure
    rate: PerStructure


def divide(parameters: PhantomParameters, drawn: Drawn, normal: Deviates) -> Courses:
    """Divide every structure into its regions, in the order of REGIONS."""
    own = _Own(parameters, drawn, normal)
    volume: dict[str, PerPerson] = dict(zip(STRUCTURES, np.exp(drawn.log_volume).T, strict=True))
    rate: dict[str, PerPerson] = dict(zip(STRUCTURES, drawn.rate.T, strict=True))
    volume["other lobes"] = np.maximum(volume["grey"] - volume["temporal"], SMALLEST_REST * volume["grey"])
    rate["other lobes"] = (volume["grey"] * rate["grey"] - volume["temporal"] * rate["temporal"]) / volume[
        "other lobes"
    ]
    divided = [
        own.share(parts, volume[whole], rate[whole])
        for whole, parts in (
            ("ventricle", VENTRICLE_PARTS),
            ("hippocampus", ("hippocampus",)),
            ("entorhinal", ("entorhinal",)),
            ("temporal", ("temporal",)),
            ("other lobes", OTHER_LOBES),
            ("brain", ("brain",)),
        )
    ]
    rates = np.concatenate([rate for _, rate in divided], axis=1)
    return Courses(
        log_volume=np.log(np.concatenate([volume for volume, _ in divided], axis=1)),
        rate=rates,
        acceleration=_accelerations(parameters, drawn, rates),
        step=_steps(parameters, drawn),
    )


@dataclass(frozen=True, eq=False)
class _Own:
    """A person's own mixture."""

    parameters: PhantomParameters
    drawn: Drawn
    normal: Deviates

    def share(self, parts: Sequence[str], whole: PerPerson, rate: PerPerson) -> tuple[PerRegion, PerRegion]:
        """Return volumes and rates of all regions of the parts."""
        columns = [self._region(part, sign) for part in parts for sign in ((1, -1) if part in SIDED else (0,))]
        weights = np.exp(np.stack([weight for weight, _ in columns], axis=1))
        shares = weights / weights.sum(axis=1, keepdims=True)
        excess = np.stack([faster for _, faster in columns], axis=1)
        excess = excess - (shares * excess).sum(axis=1, keepdims=True)
        return shares * whole[:, None], rate[:, None] + excess

    def _region(self, part: str, sign: int) -> tuple[PerPerson, PerPerson]:
        """Return the log weight of a side of a part among its structure, and how much faster it changes."""
        weight, faster = np.zeros(len(self.drawn.group)), np.zeros(len(self.drawn.group))
        if part in self.parameters.parts:
            own = self.parameters.parts[part]
            excess = np.array(own.rate_excess)
            years = self.drawn.age_years - self.parameters.age_limits_years[0]
            first, second = self._deviates(PARTS.index(part), len(PARTS))
            weight = np.log(own.share_at_55) + excess[0] * years + own.log_sd * first
            faster = excess[self.drawn.group] + own.rate_sd * second
        if sign:
            between = self.parameters.asymmetry[part]
            first, second = self._deviates(2 * len(PARTS) + SIDED.index(part), len(SIDED))
            weight = weight - np.log(2) + 0.5 * sign * (between.mean + between.sd * first)
            faster = faster + 0.5 * sign * between.rate_sd * second
        return weight, faster

    def _deviates(self, place: int, apart: int) -> tuple[PerPerson, PerPerson]:
        return self.normal[:, place], self.normal[:, place + apart]


def _accelerations(parameters: PhantomParameters, drawn: Drawn, rate: PerRegion) -> PerRegion:
    """Return k of each region: for the ventricles from V'' = V (r² + k), where a group's V'' in mL is stated.

    Converters' ventricles turn at their conversion: before and after it they grow by as many mL every year.
    """
    by_structure = parameters.rate_acceleration[drawn.group]
    acceleration = _spread_over_regions(by_structure)
    stated = np.where(drawn.group == CONVERTING, 0.0, parameters.ventricle_acceleration_ml[drawn.group])
    own = stated / _ventricle_ml(drawn)
    acceleration[:, VENTRICLE] = np.minimum(own[:, None] - rate[:, VENTRICLE] ** 2, MAX_ACCELERATION)
    return acceleration


def _steps(parameters: PhantomParameters, drawn: Drawn) -> PerRegion:
    """Return by how much the rates of those who convert change: the ventricles' so that V'' has the stated mean."""
    stated = parameters.ventricle_acceleration_ml[CONVERTING] * parameters.study_years
    steps = np.tile(parameters.conversion_step, (len(drawn.group), 1))
    steps[:, STRUCTURES.index("ventricle")] = stated / _ventricle_ml(drawn)
    return _spread_over_regions(steps) * (drawn.group == CONVERTING)[:, None]


def _ventricle_ml(drawn: Drawn) -> PerPerson:
    """Return the ventricles' volume after a year."""
    place = STRUCTURES.index("ventricle")
    return np.exp(drawn.log_volume[:, place] + drawn.rate[:, place])


def _spread_over_regions(values: PerStructure) -> PerRegion:
    """Give every region the value of its structure."""
    wholes = {"ventricle": VENTRICLE_PARTS, "grey": OTHER_LOBES}
    columns = [
        values[:, place]
        for place, structure in enumerate(STRUCTURES)
        for part in wholes.get(structure, (structure,))
        for _ in sides(part)
    ]
    return np.stack(columns, axis=1)
