"""When people come to be scanned: the schedule, its jitter, missed visits and repeats."""

from dataclasses import dataclass

import numpy as np

from neurolatent.errors import SettingsError
from neurolatent.phantom.parameters import PhantomParameters
from neurolatent.phantom.people import Diagnosis, People, person_rng

VISIT_STREAM = 2
ORDER_OF_IMPORTANCE = (0, 3, 2, 4, 1)
"""Which of the scheduled visits stay when fewer are asked for: 0, 24, 12, 36, then 6 months."""


@dataclass(frozen=True)
class Session:
    """One visit that took place."""

    session_id: str
    months: float
    """Since the first scan."""
    age_years: float
    diagnosis: Diagnosis
    runs: int
    """Scans of the day: 2 where the first was repeated."""


def draw_sessions(
    parameters: PhantomParameters, people: People, row: int, *, visits: int, repeats: float
) -> tuple[Session, ...]:
    """Draw the visits of the person in that row; what others or shorter schedules draw does not matter."""
    schedule = parameters.visit_months
    if not 1 <= visits <= len(schedule):
        msg = f"Expected 1 to {len(schedule)} visits, got {visits}. The schedule is at {list(schedule)} months."
        raise SettingsError(msg)
    rng = person_rng(people.seed, int(people.index[row]), VISIT_STREAM)
    jitter = rng.normal(0.0, parameters.visit_jitter_months, len(schedule)).clip(-2, 2)
    missed = rng.random(len(schedule)) < parameters.missing_share[people.group[row]]
    repeated, which = rng.random(2)
    kept = [number for number in sorted(ORDER_OF_IMPORTANCE[:visits]) if number == 0 or not missed[number]]
    chosen = kept[int(which * len(kept))] if repeated < repeats else -1
    return tuple(
        _session(people, row, schedule[number], 0.0 if number == 0 else float(jitter[number]), number == chosen)
        for number in kept
    )


def _session(people: People, row: int, scheduled: float, jitter: float, repeated: np.bool_ | bool) -> Session:  # noqa: FBT001
    months = round(scheduled + jitter, 1)
    return Session(
        session_id=f"ses-M{scheduled:02.0f}",
        months=months,
        age_years=round(float(people.age_years[row]) + months / 12, 3),
        diagnosis=people.diagnosis(row, months),
        runs=2 if repeated else 1,
    )
