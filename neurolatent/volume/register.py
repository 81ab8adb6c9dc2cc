"""One affine from the template to a head; a person's scans rigidly to one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import log

import numpy as np
import torch

from neurolatent.errors import ScanError
from neurolatent.shapes import Affine
from neurolatent.volume.head import WORKING_MM, Head
from neurolatent.volume.sampling import as_grid, as_map, blur, voxel_centres_mm
from neurolatent.volume.search import (
    TYPICAL_SCALE,
    Level,
    Parameters,
    PerStart,
    Registration,
    Wanted,
    as_affine,
    as_parameters,
    climb,
    log_determinants,
    stack,
    start,
)
from neurolatent.volume.target import TARGET_MM, registration_target, template_distance_mm

# MNI is larger than a real head: a start at scale 1 can lock the template onto the whole head.
START_SCALES = (0.78, 0.88)
PITCHES_RAD, UP_MM, FORWARD_MM = (-0.3, 0.0, 0.3), (-15.0, 0.0, 15.0), (-12.0, 12.0)
FAR_PITCHES_RAD, FAR_UP_MM = (-1.1, -0.55, 0.0, 0.55, 1.1), (-40.0, -15.0, 15.0, 40.0)
# A wide rim of dark fluid and skull finds the brain and tells a good fit from a bad one, but shrinks the template by a
# sixth of its volume; the last refinement therefore looks at the brain and little else.
WIDE_MARGIN_MM, NARROW_MARGIN_MM = 10.0, 2.0
LOWEST_Z_MM = -70.0
COARSE = Level(spacing_mm=8.0, smoothing_mm=3.0, iterations=60, step_mm=2.0)
FINE = Level(spacing_mm=4.0, smoothing_mm=1.5, iterations=40, step_mm=0.7)
FINE_AGAIN = Level(spacing_mm=4.0, smoothing_mm=1.5, iterations=40, step_mm=0.4)
FINEST = Level(spacing_mm=2.0, smoothing_mm=1.0, iterations=30, step_mm=0.2)
KEPT = 3
# With the wide rim good heads correlate by 0.77 to 0.88, every head with a bad mask by 0.69 or less, and their
# determinant is 0.49 to 0.75.
RETRY_BELOW_CORRELATION, REFUSE_BELOW_CORRELATION = 0.72, 0.70
REFUSE_RIGID_BELOW_CORRELATION = 0.70
DETERMINANT_LIMITS = (0.25, 0.95)


@dataclass(frozen=True, eq=False)
class Fit:
    """Where one image lies in a head, world to world in millimetres, and how well it fits."""

    matrix: Affine
    correlation: float

    @property
    def determinant(self) -> float:
        """Volume in the head over volume in the other image."""
        return float(np.linalg.det(self.matrix[:3, :3]))


def find_head(head: Head, name: str) -> Fit:
    """Lay the template onto a head; search further where the first result is implausible, refuse where both are.

    The wide rim's correlation tells good from bad; for where the brain lies, see `fit_template`.
    """
    fit = _search(head, _starts(PITCHES_RAD, UP_MM))
    if fit.correlation < RETRY_BELOW_CORRELATION or not _possible(fit):
        wider = _search(head, _starts(FAR_PITCHES_RAD, FAR_UP_MM))
        fit = max((fit, wider), key=lambda found: (_possible(found), found.correlation))
    _refuse_bad(fit, name)
    return fit


def fit_template(head: Head, found: Fit, *, registration: Registration = "affine") -> Fit:
    """Refine where the template lies in a head by the brain and little else; the correlation stays the search's."""
    brain = _template_points(FINE_AGAIN, NARROW_MARGIN_MM)
    begin = as_parameters(found.matrix, brain, head, registration=registration)
    (refined,), _ = climb(head, brain, begin[None], FINE_AGAIN, registration=registration)
    return Fit(as_affine(refined, brain, head), found.correlation)


def _refuse_bad(fit: Fit, name: str) -> None:
    low, high = DETERMINANT_LIMITS
    if not _possible(fit):
        expected = f"expected a head of {low:g} to {high:g} times the template's volume"
        msg = f"{name}: {expected}, got {fit.determinant:.2f}. Check orientation, voxel size and field of view."
        raise ScanError(msg)
    if fit.correlation < REFUSE_BELOW_CORRELATION:
        expected = f"expected a correlation with the template of at least {REFUSE_BELOW_CORRELATION:.2f}"
        msg = f"{name}: {expected}, got {fit.correlation:.2f}. Check that it is a T1w head and its orientation."
        raise ScanError(msg)


def fit_rigid(reference: Head, template_in_reference: Fit, head: Head, name: str) -> Fit:
    """Lay one scan's brain onto another of the same person; the matrix leads from the reference to the other.

    Only what lies inside the template's surface counts: face, neck and scalp move between visits.
    """
    ends = stack(
        start(pitch_rad=pitch, forward_mm=0.0, up_mm=up, scale=1.0) for pitch, up in product(PITCHES_RAD, UP_MM)
    )
    points = {level: _reference_points(reference, template_in_reference, level) for level in (COARSE, FINE)}
    for level, kept in ((COARSE, KEPT), (FINE, 1)):
        ends, correlations = climb(head, points[level], ends, level, registration="rigid")
        ends = ends[correlations.topk(kept).indices]
    fit = refine_rigid(reference, template_in_reference, head, as_affine(ends[0], points[FINE], head))
    if fit.correlation < REFUSE_RIGID_BELOW_CORRELATION:
        expected = f"expected a correlation with the person's others of at least {REFUSE_RIGID_BELOW_CORRELATION:.2f}"
        msg = f"{name}: {expected}, got {fit.correlation:.2f}. Check that all show the same person's head."
        raise ScanError(msg)
    return fit


def refine_rigid(reference: Head, template_in_reference: Fit, head: Head, near: Affine) -> Fit:
    """Refine a pose that is known to a millimetre or two."""
    points = _reference_points(reference, template_in_reference, FINEST)
    begin = as_parameters(near, points, head, registration="rigid")
    (end,), (correlation,) = climb(head, points, begin[None], FINEST, registration="rigid")
    return Fit(as_affine(end, points, head), float(correlation))


def _possible(fit: Fit) -> bool:
    low, high = DETERMINANT_LIMITS
    return low <= fit.determinant <= high


def _starts(pitches_rad: Sequence[float], up_mm: Sequence[float]) -> Parameters:
    return stack(
        start(pitch_rad=pitch, forward_mm=forward, up_mm=up, scale=scale)
        for pitch, up, forward, scale in product(pitches_rad, up_mm, FORWARD_MM, START_SCALES)
    )


def _search(head: Head, starts: Parameters) -> Fit:
    """Return the best fit from all starts."""
    coarse, correlations = climb(head, _template_points(COARSE, WIDE_MARGIN_MM), starts, COARSE)
    kept = coarse[_scores(coarse, correlations).topk(KEPT).indices]
    wanted = _template_points(FINE, WIDE_MARGIN_MM)
    fine, correlations = climb(head, wanted, kept, FINE)
    best = int(_scores(fine, correlations).argmax())
    return Fit(as_affine(fine[best], wanted, head), float(correlations[best]))


def _scores(parameters: Parameters, correlations: PerStart) -> PerStart:
    """Rank the ends: a template grown to the whole head can correlate better than the brain does."""
    low, high = (log(limit) for limit in DETERMINANT_LIMITS)
    grown = log_determinants(parameters)
    return correlations - ((grown < low) | (grown > high)).float()


@cache
def _template_points(level: Level, margin_mm: float) -> Wanted:
    """Return the template's intensities on a regular grid, with a rim outside the brain."""
    target = registration_target()
    stride = round(level.spacing_mm / TARGET_MM)
    near = target.distance_mm[::stride, ::stride, ::stride] < margin_mm
    points_mm = np.argwhere(near) * stride * TARGET_MM + target.world_from_voxel[:3, 3]
    above = torch.from_numpy(points_mm[:, 2] > LOWEST_Z_MM)
    # The template is smoothed as the head is, and more for being larger.
    smoothed = blur(as_grid(target.t1), level.smoothing_mm / TYPICAL_SCALE / TARGET_MM)
    values = smoothed[0, 0, ::stride, ::stride, ::stride][torch.from_numpy(near)]
    centre_mm = np.argwhere(target.inside).mean(axis=0) * TARGET_MM + target.world_from_voxel[:3, 3]
    return Wanted(torch.from_numpy(points_mm).float()[above], values[above], torch.from_numpy(centre_mm).float())


def _reference_points(reference: Head, fit: Fit, level: Level) -> Wanted:
    """Return the first scan's intensities at its working voxels inside the template's surface."""
    stride = round(level.spacing_mm / WORKING_MM)
    world_mm = voxel_centres_mm(reference.voxels.shape, reference.world_from_voxel)[::stride, ::stride, ::stride]
    matrix, offset = as_map(np.linalg.inv(fit.matrix))
    inside = template_distance_mm(world_mm @ matrix.T + offset) < 0
    smoothed = blur(as_grid(reference.voxels), level.smoothing_mm / WORKING_MM)[0, 0, ::stride, ::stride, ::stride]
    return Wanted(world_mm[inside], smoothed[inside], world_mm[inside].mean(dim=0))
