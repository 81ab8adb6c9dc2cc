"""One person, ready to be imaged at any time: the course's volumes, and the amplitudes that give them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from neurolatent.phantom.body import Body, draw_shape, standard_lattice
from neurolatent.phantom.change import Amplitudes
from neurolatent.phantom.parameters import PhantomParameters, Site
from neurolatent.phantom.people import VENTRICLE, People, person_rng
from neurolatent.phantom.response import LogVolumes, Response, log_volumes, relax
from neurolatent.phantom.workbench import Workbench
from neurolatent.volume.space import Grid

SHAPE_STREAM = 1
ROUGH_LATTICE, MEASURED_LATTICE = standard_lattice(Grid(4.0)), standard_lattice(Grid(2.5))
"""Of the points at which a person's volumes are summed, whatever the images' own: on the way, and at last."""
CALIBRATION_MONTHS = (0.0, 36.0)
ROUNDS = ((ROUGH_LATTICE, 10, 0.04), (MEASURED_LATTICE, 6, 0.02))
"""How often at most the amplitudes are solved for and the volumes summed; log volumes that are so near are enough."""


@dataclass(frozen=True)
class Calibration:
    """What a person's own shape adds to the anatomy's log volumes, at CALIBRATION_MONTHS; between, a straight line."""

    offsets: tuple[tuple[float, ...], ...]
    intracranial_ml: float
    """Inside of the skull in standard space."""

    def offset(self, months: float) -> LogVolumes:
        """Return the offset at a time, continued straight beyond the calibrated ones."""
        first, last = (np.array(offset) for offset in self.offsets)
        start, end = CALIBRATION_MONTHS
        return first + (last - first) * (months - start) / (end - start)


@dataclass(frozen=True, eq=False)
class Subject:
    """One person with a body, a course and a site."""

    people: People
    row: int
    site: Site
    body: Body
    response: Response
    calibration: Calibration

    @property
    def participant_id(self) -> str:
        """The person's name."""
        return self.people.participant_id(self.row)

    @property
    def native_scale(self) -> float:
        """Millimetres of the person's own head per millimetre of standard space."""
        return float(self.people.intracranial_ml[self.row] / self.calibration.intracranial_ml) ** (1 / 3)

    def amplitudes(self, months: float, *, ventricle_day: float = 0.0) -> Amplitudes:
        """Return the fields' amplitudes at a time; `ventricle_day` is added to the ventricles' log volume."""
        target = _share(self.people, self.row, months) + np.log(self.calibration.intracranial_ml)
        target[VENTRICLE] += ventricle_day
        return _tensor(relax(self.response.solve(target - self.calibration.offset(months))))


def make_subject(
    bench: Workbench,
    parameters: PhantomParameters,
    people: People,
    row: int,
    response: Response,
    *,
    calibration: Calibration | None = None,
) -> Subject:
    """Make the person of that row; without a calibration of an earlier time, measure it."""
    anatomy, fields = bench.anatomy(int(people.anatomy[row]))
    rng = person_rng(people.seed, int(people.index[row]), SHAPE_STREAM)
    body = Body(anatomy, fields, draw_shape(rng, parameters, bench.support))
    if calibration is None:
        calibration = calibrate(body, response, people, row, bench)
    return Subject(people, row, parameters.sites[people.site[row]], body, response, calibration)


def calibrate(body: Body, response: Response, people: People, row: int, bench: Workbench) -> Calibration:
    """Solve for the amplitudes, measure what volumes they give, and keep what was missing."""
    offset, skull_ml = response.zero, response.skull_ml
    offsets: list[tuple[float, ...]] = []
    for months in CALIBRATION_MONTHS:
        share = _share(people, row, months)
        for lattice, rounds, tolerance in ROUNDS:
            measure = partial(log_volumes, body, points=bench.points(lattice))
            offset, skull_ml = _settle(response, share, offset, skull_ml, measure, rounds=rounds, tolerance=tolerance)
        offsets.append(tuple(float(value) for value in offset))
    return Calibration(tuple(offsets), skull_ml)


def _settle(
    response: Response,
    share: LogVolumes,
    offset: LogVolumes,
    skull_ml: float,
    measure: Callable[[LogVolumes], tuple[LogVolumes, float]],
    *,
    rounds: int,
    tolerance: float,
) -> tuple[LogVolumes, float]:
    """Correct the offset by what was missed until little is; return it and the volume inside the skull."""
    before, part = np.inf, 1.0
    for _ in range(rounds):
        stretched = response.solve(share + np.log(skull_ml) - offset)
        measured, skull_ml = measure(relax(stretched))
        missed = np.abs(measured - share - np.log(skull_ml)).max()
        part = part if missed < before else 0.5  # some shapes answer so unlike the anatomy that steps overshoot
        offset = offset + part * (measured - response.log_change(stretched) - offset)
        if missed < tolerance:
            break
        before = missed
    return offset, skull_ml


def calibration_from(record: Mapping[str, Any]) -> Calibration:
    """Read what `dataclasses.asdict` wrote."""
    return Calibration(tuple(tuple(offset) for offset in record["offsets"]), record["intracranial_ml"])


def _share(people: People, row: int, months: float) -> LogVolumes:
    """Return the log of each region's share of the intracranial volume."""
    volumes = people.log_volumes(np.full(len(people.index), months))[row]
    return volumes - np.log(people.intracranial_ml[row])


def _tensor(amplitudes: LogVolumes) -> Amplitudes:
    return torch.tensor(amplitudes, dtype=torch.float32)
