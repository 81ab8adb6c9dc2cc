"""Images of a subject in standard space: as scanned, and free of noise.

Standard space is what one affine per person leaves: head size and the affine part of shape are gone (the intracranial
volume stays in the truth), the site's small geometric scale and a small misplacement of each scan remain.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from neurolatent.phantom.body import standard_lattice
from neurolatent.phantom.change import Amplitudes
from neurolatent.phantom.lattice import FINE, ScalarField
from neurolatent.phantom.scanner import Acquisition, Placement, record, spread, transform, weighted
from neurolatent.phantom.subject import Subject
from neurolatent.phantom.workbench import Workbench
from neurolatent.shapes import MaskArray, VoxelArray
from neurolatent.volume.intensity import normalise_intensity
from neurolatent.volume.space import Grid

FINEST_COARSE_MM = 3.0
"""Grids this coarse or coarser are rendered at half their spacing and averaged, so that nothing aliases."""


def scan(
    bench: Workbench, subject: Subject, months: float, grid: Grid, acquisition: Acquisition
) -> tuple[VoxelArray, MaskArray]:
    """Return one scan on the grid, intensities in [0, 1] inside the intracranial mask, and that mask."""
    amplitudes = subject.amplitudes(months, ventricle_day=acquisition.ventricle_day)
    intensity, mask = _render(bench, subject, amplitudes, grid, acquisition.placement)
    lattice = standard_lattice(grid)
    recorded = record(intensity, lattice.axes(), acquisition, subject.site, spacing_mm=grid.spacing_mm)
    return _finish(recorded, mask)


def noise_free(bench: Workbench, subject: Subject, months: float, grid: Grid) -> tuple[VoxelArray, MaskArray]:
    """Return what a perfect scanner of the subject's site would show at that time, in the same intensities."""
    intensity, mask = _render(bench, subject, subject.amplitudes(months), grid, np.eye(4))
    return _finish(intensity, mask)


def _render(
    bench: Workbench, subject: Subject, amplitudes: Amplitudes, grid: Grid, head: Placement
) -> tuple[ScalarField, Bool[Tensor, "i j k"]]:
    """Sample the anatomy through the subject's deformation, weight the tissues, blur, and average onto the grid."""
    parts = 2 if grid.spacing_mm >= FINEST_COARSE_MM else 1
    brain = bench.points(standard_lattice(grid, parts=parts))
    scaled = np.diag([subject.site.scale] * 3 + [1.0])
    places = transform(np.linalg.inv(head @ scaled), brain.points)
    maps = FINE.sample(subject.body.anatomy.maps, subject.body.to_anatomy(amplitudes, places))
    intensity, intracranial = brain.scatter(torch.stack([weighted(maps, subject.site), maps[2]]))
    blurred = spread(intensity, subject.site, brain.lattice.spacing_mm)
    if parts > 1:
        blurred, intracranial = functional.avg_pool3d(torch.stack([blurred, intracranial])[None], parts)[0]
    return blurred, intracranial > 0.5


def _finish(intensity: ScalarField, mask: Bool[Tensor, "i j k"]) -> tuple[Float[np.ndarray, "i j k"], MaskArray]:
    inside = mask.cpu().numpy()
    return normalise_intensity(intensity.cpu().numpy(), inside), inside
