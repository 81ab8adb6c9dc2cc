"""Three visits of one person: the middle one is taken away and has to be filled in."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from neurolatent.cohort.visits import Visit

SPANS_MONTHS = (12, 18, 24, 30, 36)
SPAN_TOLERANCE_MONTHS = 3.0


@dataclass(frozen=True)
class Triplet:
    """A visit between two others."""

    before: Visit
    target: Visit
    after: Visit
    span: int
    """Nearest of 12, 18, 24, 30 and 36 months."""
    held_out: bool = False
    """Whether the volumes are those made as if the target were not known yet."""

    @property
    def participant_id(self) -> str:
        """Whose visits these are."""
        return self.target.participant_id

    @property
    def span_months(self) -> float:
        """From the scan before to the scan after."""
        return self.after.months - self.before.months

    @property
    def fraction(self) -> float:
        """How far along the span the target lies."""
        return (self.target.months - self.before.months) / self.span_months

    @property
    def nearest(self) -> Visit:
        """The given scan that is nearer in time; of two equally near, the one before."""
        return self.before if self.fraction <= 0.5 else self.after

    @property
    def gap_months(self) -> float:
        """From the target to the nearest given scan."""
        return abs(self.target.months - self.nearest.months)


def find_triplets(scans: Sequence[Visit]) -> list[Triplet]:
    """Return all triplets among the scans, one scan per visit, whose span is near enough to a named one."""
    visits_of: dict[str, dict[str, Visit]] = {}
    for scan in sorted(scans, key=lambda scan: (scan.participant_id, scan.months, scan.run.zfill(4))):
        visits_of.setdefault(scan.participant_id, {}).setdefault(scan.session_id, scan)
    found: list[Triplet] = []
    for visits in visits_of.values():
        for before, target, after in combinations(visits.values(), 3):
            span = nearest_span(after.months - before.months)
            if span and before.months < target.months < after.months:
                found.append(Triplet(before, target, after, span))
    return found


def nearest_span(months: float) -> int | None:
    """Return the nearest named span, if it is within three months."""
    span = min(SPANS_MONTHS, key=lambda named: abs(months - named))
    return span if abs(months - span) <= SPAN_TOLERANCE_MONTHS else None


def draw_triplets(triplets: Sequence[Triplet], *, most: int, seed: int) -> list[Triplet]:
    """Draw triplets span by span in turn, each time of a person drawn least often so far, by chance among equals."""
    order = np.random.default_rng(seed).permutation(len(triplets))
    waiting = {span: [triplets[place] for place in order if triplets[place].span == span] for span in SPANS_MONTHS}
    drawn: list[Triplet] = []
    times = Counter[str]()

    def drawn_before(triplet: Triplet) -> int:
        return times[triplet.participant_id]

    while len(drawn) < most and any(waiting.values()):
        for span in SPANS_MONTHS:
            if waiting[span] and len(drawn) < most:
                chosen = min(waiting[span], key=drawn_before)
                waiting[span].remove(chosen)
                times[chosen.participant_id] += 1
                drawn.append(chosen)
    return sorted(drawn, key=lambda one: (one.participant_id, one.before.months, one.target.months, one.after.months))
