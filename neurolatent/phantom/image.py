"""Images of a subject in standard space: as scanned, and free of noise.

Standard space is what one affine per person leaves: head size and the affine part of shape are gone (the intracranial
volume stays in the truth), the site's small geometric scale and a small misplacement of each scan remain.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from neurolatent.phantom.body import standard_lattice
from neurolatent.phantom.change import Amplitudes
from neurolatent.phantom.lattice import FINE, Points, ScalarField
from neurolatent.phantom.parameters import Scanner
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
    brain = Brain(subject, amplitudes, subject.calibration.lesion_threshold(months))
    intensity, mask = _render(bench, brain, grid, acquisition.scanner, acquisition.placement)
    return _finish(record(intensity, standard_lattice(grid).axes(), acquisition), mask)


def noise_free(
    bench: Workbench, subject: Subject, months: float, grid: Grid, *, scanner: Scanner | None = None
) -> tuple[VoxelArray, MaskArray]:
    """Return what a perfect scanner would show at that time, in the same intensities; by default the site's."""
    brain = Brain(subject, subject.amplitudes(months), subject.calibration.lesion_threshold(months))
    return _finish(*_render(bench, brain, grid, scanner or subject.scanner(months), np.eye(4)))


@dataclass(frozen=True, eq=False)
class Brain:
    """A subject at one time."""

    subject: Subject
    amplitudes: Amplitudes
    lesion_threshold: float

    def intensity(self, places: Points, scanner: Scanner) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Return what a scanner makes of these places of standard space, and the share inside the skull."""
        body = self.subject.body
        tissue = body.to_anatomy(self.amplitudes, places)
        maps = FINE.sample(body.anatomy.maps, tissue)
        return weighted(maps, body.hypointense(tissue, self.lesion_threshold), scanner), maps[2]


def _render(
    bench: Workbench, brain: Brain, grid: Grid, scanner: Scanner, head: Placement
) -> tuple[ScalarField, Bool[Tensor, "i j k"]]:
    """Sample the anatomy through the subject's deformation, weight the tissues, blur, and average onto the grid."""
    parts = 2 if grid.spacing_mm >= FINEST_COARSE_MM else 1
    nodes = brain.subject.body.near(bench.points(standard_lattice(grid, parts=parts)))
    scaled = np.diag([scanner.scale] * 3 + [1.0])
    places = transform(np.linalg.inv(head @ scaled), nodes.points)
    intensity, intracranial = nodes.scatter(torch.stack(brain.intensity(places, scanner)))
    blurred = spread(intensity, scanner, nodes.lattice.spacing_mm)
    if parts > 1:
        blurred, intracranial = functional.avg_pool3d(torch.stack([blurred, intracranial])[None], parts)[0]
    return blurred, intracranial > 0.5


def _finish(intensity: ScalarField, mask: Bool[Tensor, "i j k"]) -> tuple[Float[np.ndarray, "i j k"], MaskArray]:
    inside = mask.cpu().numpy()
    return normalise_intensity(intensity.cpu().numpy(), inside), inside
