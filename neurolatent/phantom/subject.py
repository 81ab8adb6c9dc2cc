"""One person, ready to be imaged at any time: the course's volumes, and the amplitudes that give them."""

from dataclasses import dataclass

import numpy as np

from neurolatent.errors import CohortError
from neurolatent.phantom.body import Body, draw_lesion_noise, draw_shape
from neurolatent.phantom.calibration import MOST_MISSED, Calibration, as_amplitudes, calibrate, log_shares
from neurolatent.phantom.change import Amplitudes
from neurolatent.phantom.parameters import Arm, PhantomParameters, Scanner, Site
from neurolatent.phantom.people import People, draw_people, person_rng
from neurolatent.phantom.structures import VENTRICLE
from neurolatent.phantom.workbench import Workbench

SHAPE_STREAM, LESION_STREAM = 1, 5
FITTING = 0.015
"""How much of a log volume a shape may miss without another being tried: thick cortex closes sulci, and some shapes
have none to spare."""
USUAL_ATTEMPTS, MOST_ATTEMPTS = 5, 40
"""Shapes that are tried for one that fits, and for one that is near enough."""
MOST_REDRAWS = 10
"""Volumes that are drawn for one person: of a thousand people, about one draws what no shape carries."""


class UnfitError(CohortError):
    """Nobody can have these volumes."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One person with a body, a course and a site."""

    people: People
    row: int
    site: Site
    body: Body
    calibration: Calibration

    @property
    def participant_id(self) -> str:
        """The person's name."""
        return self.people.participant_id(self.row)

    @property
    def native_scale(self) -> float:
        """Millimetres of the person's own head per millimetre of standard space."""
        return float(self.people.intracranial_ml[self.row] / self.calibration.intracranial_ml) ** (1 / 3)

    def hypointensities_ml(self, months: float) -> float:
        """Return the volume of white-matter hypointensities at a time."""
        return float(self._person.hypointensities_ml(np.array([months]))[0])

    def scanner(self, months: float) -> Scanner:
        """Return the scanner that the site has at a time."""
        return self.site.scanner(self.people.year(self.row, months))

    def amplitudes(self, months: float, *, ventricle_day: float = 0.0) -> Amplitudes:
        """Return the fields' amplitudes at a time; `ventricle_day` is added to the ventricles' log volume."""
        shares = log_shares(self._person, months)
        shares[VENTRICLE] += ventricle_day
        return as_amplitudes(self.calibration.solve(shares, months))

    @property
    def _person(self) -> People:
        return self.people.take(np.array([self.row]))


def draw_subject(bench: Workbench, parameters: PhantomParameters, people: People, row: int, *, arm: Arm) -> Subject:
    """Make the person of that row; where no shape carries the drawn volumes, others are drawn."""
    for redraw in range(MOST_REDRAWS):
        try:
            return make_subject(bench, parameters, people, row)
        except UnfitError:
            again = redraw + 1
            people = draw_people(parameters, seed=people.seed, index=people.index[[row]], arm=arm, redraw=again)
            row = 0
    expected = f"expected volumes that a shape carries, got none in {MOST_REDRAWS} draws"
    msg = f"{people.participant_id(row)}: {expected}. Take another seed."
    raise CohortError(msg)


def make_subject(
    bench: Workbench,
    parameters: PhantomParameters,
    people: People,
    row: int,
    *,
    calibration: Calibration | None = None,
) -> Subject:
    """Make the person of that row; without a calibration of an earlier time, measure it.

    A drawn shape that cannot carry the drawn volumes gives way to another.
    """
    if calibration is not None:
        body = _body(bench, parameters, people, row, calibration.attempt)
    else:
        body, calibration = _fitting(bench, parameters, people, row)
    return Subject(people, row, parameters.sites[people.site[row]], body, calibration)


def _fitting(bench: Workbench, parameters: PhantomParameters, people: People, row: int) -> tuple[Body, Calibration]:
    """Return the first drawn body that misses little, or of all that are tried the one that misses least."""
    response = bench.response(int(people.anatomy[row]))
    tried: list[tuple[Body, Calibration]] = []
    for attempt in range(MOST_ATTEMPTS):
        body = _body(bench, parameters, people, row, attempt)
        calibration = calibrate(body, response, people, row, bench, attempt=attempt)
        if calibration is not None:
            tried.append((body, calibration))
        enough = FITTING if attempt + 1 < USUAL_ATTEMPTS else MOST_MISSED
        if any(one.missed < enough for _, one in tried):
            break
    best = min(tried, key=lambda pair: pair[1].missed, default=None)
    if best is None:
        who = people.participant_id(row)
        msg = f"{who}: expected a shape that carries the drawn volumes, got none in {MOST_ATTEMPTS}. Take another seed."
        raise UnfitError(msg)
    return best


def _body(bench: Workbench, parameters: PhantomParameters, people: People, row: int, attempt: int) -> Body:
    number = int(people.index[row])
    shape = draw_shape(person_rng(people.seed, number, SHAPE_STREAM, attempt), parameters, bench.support)
    lesions = draw_lesion_noise(person_rng(people.seed, number, LESION_STREAM))
    return Body(*bench.anatomy(int(people.anatomy[row])), shape, lesions)
