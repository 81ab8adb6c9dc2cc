"""Find the amplitudes that give one person the drawn volumes, and keep what tells them at any time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from neurolatent.phantom.body import Body, BrainPoints
from neurolatent.phantom.change import Amplitudes
from neurolatent.phantom.people import People
from neurolatent.phantom.quadrature import Quadrature, even_quadrature, refined_quadrature
from neurolatent.phantom.response import LIMITS, TYPICAL, Amplitude, LogVolumes, Response, log_volumes, relax
from neurolatent.phantom.workbench import MEASURED_LATTICE, Workbench

CALIBRATION_MONTHS = (0.0, 18.0, 36.0)
ROUGH_TOLERANCE, TOLERANCE = 0.04, 0.01
"""Of log volumes: near enough before the quadrature is refined, and at last."""
HOPELESS, MOST_MISSED = 0.1, 0.03
"""A shape that misses so much of a log volume after the rough rounds is given up, and one that does at last."""
ROUNDS = 10
TINY = 1e-12
DAMPING = 0.03
LONGEST_STEP = 1.5
"""Of a solver's step, in typical amplitudes."""


@dataclass(frozen=True)
class Calibration:
    """Amplitudes that were solved for at CALIBRATION_MONTHS, and what tells them at other times."""

    stretched: tuple[tuple[float, ...], ...]
    """The amplitudes, as `response.stretch` has them; between, and beyond, straight lines."""
    shares: tuple[tuple[float, ...], ...]
    """The log shares of the intracranial volume that they are for."""
    sensitivity: tuple[tuple[float, ...], ...]
    """Stretched amplitude by log volume: for what is not on the straight lines."""
    lesion_thresholds: tuple[float, ...]
    """Of the scores above which white matter is hypointense, at the same times."""
    intracranial_ml: float
    """Inside of the skull in standard space."""
    missed: float
    """Of log volumes, at most, at these times."""
    attempt: int
    """Which of the person's drawn shapes: earlier ones could not carry the volumes."""

    def solve(self, shares: LogVolumes, months: float) -> Amplitude:
        """Return the amplitudes that give these log shares of the intracranial volume at a time."""
        near, expected = (_straight(np.array(values), months) for values in (self.stretched, self.shares))
        return relax(np.clip(near + np.array(self.sensitivity) @ (shares - expected), *LIMITS))

    def lesion_threshold(self, months: float) -> float:
        """Return the threshold of the lesion scores at a time, likewise."""
        return float(_straight(np.array(self.lesion_thresholds)[:, None], months)[0])


def calibrate(
    body: Body, response: Response, people: People, row: int, bench: Workbench, *, attempt: int
) -> Calibration | None:
    """Solve for the amplitudes at CALIBRATION_MONTHS; return nothing where the shape is far from carrying them."""
    points = body.near(bench.points(MEASURED_LATTICE))
    person = people.take(np.array([row]))
    shares = [log_shares(person, months) for months in CALIBRATION_MONTHS]
    start = response.solve(shares[0] + np.log(response.skull_ml) - response.zero)
    solver = _Solver(body, even_quadrature(body, points), response.slopes(start) * TYPICAL, start)
    if solver.settle(shares[0], ROUGH_TOLERANCE) > HOPELESS:
        return None
    solver.refine(points)
    stretched: list[Amplitude] = []
    thresholds: list[float] = []
    missed: list[float] = []
    for months, wanted in zip(CALIBRATION_MONTHS, shares, strict=True):
        missed.append(solver.settle(wanted, TOLERANCE))
        if missed[-1] > MOST_MISSED:
            return None
        stretched.append(solver.improved(wanted))
        lesions_ml = float(person.hypointensities_ml(np.array([months]))[0])
        lesions_ml *= solver.skull_ml / person.intracranial_ml[0]
        thresholds.append(body.lesion_threshold(as_amplitudes(relax(stretched[-1])), points, lesions_ml))
    return Calibration(
        stretched=_plain(stretched),
        shares=_plain(shares),
        sensitivity=_plain(solver.sensitivity()),
        lesion_thresholds=tuple(thresholds),
        intracranial_ml=solver.skull_ml,
        missed=max(missed),
        attempt=attempt,
    )


def calibration_from(record: Mapping[str, Any]) -> Calibration:
    """Read what `dataclasses.asdict` wrote."""
    return Calibration(
        stretched=_plain(record["stretched"]),
        shares=_plain(record["shares"]),
        sensitivity=_plain(record["sensitivity"]),
        lesion_thresholds=tuple(record["lesion_thresholds"]),
        intracranial_ml=record["intracranial_ml"],
        missed=record["missed"],
        attempt=record["attempt"],
    )


def log_shares(person: People, months: float) -> LogVolumes:
    """Return the log of each region's share of the intracranial volume, of the first of these people."""
    return person.log_volumes(np.array([months]))[0] - np.log(person.intracranial_ml[0])


def as_amplitudes(values: Amplitude) -> Amplitudes:
    """Return amplitudes as a tensor on torch's default device."""
    return torch.tensor(values, dtype=torch.float32)


@dataclass(eq=False)
class _Solver:
    """Broyden's method: a Jacobian that starts as the anatomy's response, and learns from each measurement."""

    body: Body
    quadrature: Quadrature
    jacobian: Float[np.ndarray, "region region"]
    """Of log volumes by stretched amplitudes over TYPICAL."""
    stretched: Amplitude
    reach: float = LONGEST_STEP
    """The longest step that may be tried."""

    def __post_init__(self) -> None:
        """Measure for the first time."""
        self.measured, self.skull_ml = log_volumes(self.body, relax(self.stretched), self.quadrature)

    def refine(self, points: BrainPoints) -> None:
        """Measure more finely from now on."""
        self.quadrature = refined_quadrature(self.body, as_amplitudes(relax(self.stretched)), points)
        self.measured, self.skull_ml = log_volumes(self.body, relax(self.stretched), self.quadrature)

    def settle(self, shares: LogVolumes, tolerance: float) -> float:
        """Move the amplitudes until the log volumes are near the wanted shares; return what is missed at most."""
        self.reach = LONGEST_STEP
        for _ in range(ROUNDS):
            missed = self._missed(shares)
            if np.abs(missed).max() < tolerance:
                break
            self._step(shares, missed)
        return float(np.abs(self._missed(shares)).max())

    def improved(self, shares: LogVolumes) -> Amplitude:
        """Return the amplitudes after one more step, which is too small to be worth measuring."""
        return np.clip(self.stretched + self.sensitivity() @ self._missed(shares), *LIMITS)

    def _missed(self, shares: LogVolumes) -> LogVolumes:
        return shares + np.log(self.skull_ml) - self.measured

    def _step(self, shares: LogVolumes, missed: LogVolumes) -> None:
        """Try a step, and learn from it; one that leads away is not taken, and the next is shorter."""
        wanted = self._wanted(missed)
        wanted *= min(1.0, self.reach / np.abs(wanted).max())
        stretched = np.clip(self.stretched + wanted * TYPICAL, *LIMITS)
        measured, skull_ml = log_volumes(self.body, relax(stretched), self.quadrature)
        step = (stretched - self.stretched) / TYPICAL
        surprise = measured - self.measured - self.jacobian @ step
        self.jacobian = self.jacobian + np.outer(surprise, step) / max(float(step @ step), TINY)
        if np.linalg.norm(shares + np.log(skull_ml) - measured) < np.linalg.norm(missed):
            self.stretched, self.measured, self.skull_ml = stretched, measured, skull_ml
        else:
            self.reach = 0.5 * float(np.abs(step).max())

    def _wanted(self, missed: LogVolumes) -> Amplitude:
        """Solve for the step; amplitudes that would leave the limits stay, and the others do what they can."""
        free = np.ones(len(missed), dtype=bool)
        step = np.zeros(len(missed))
        while free.any():
            step = np.zeros(len(missed))
            step[free] = np.linalg.lstsq(self.jacobian[:, free], missed, rcond=None)[0]
            at_limit = (self.stretched <= LIMITS[0]) & (step < 0) | (self.stretched >= LIMITS[1]) & (step > 0)
            if not at_limit.any():
                break
            free &= ~at_limit
        return step

    def sensitivity(self) -> Float[np.ndarray, "region region"]:
        """Invert the Jacobian, damped where a region hardly answers any more."""
        left, sizes, right = np.linalg.svd(self.jacobian)
        damped = sizes / (sizes**2 + (DAMPING * sizes[0]) ** 2)
        return TYPICAL[:, None] * (right.T * damped) @ left.T


def _plain(rows: Iterable[Iterable[float]]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in rows)


def _straight(values: Float[np.ndarray, "time value"], months: float) -> Float[np.ndarray, " value"]:
    """Follow straight lines between what is known at CALIBRATION_MONTHS, and go on straight beyond."""
    place = int(np.clip(np.searchsorted(CALIBRATION_MONTHS, months) - 1, 0, len(CALIBRATION_MONTHS) - 2))
    start, end = CALIBRATION_MONTHS[place : place + 2]
    return values[place] + (values[place + 1] - values[place]) * (months - start) / (end - start)
