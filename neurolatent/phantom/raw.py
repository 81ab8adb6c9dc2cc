"""Raw head scans: the person's own size and pose, the scanner's voxels and orientation."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from neurolatent.phantom.head import HEAD, around_brain
from neurolatent.phantom.image import Brain
from neurolatent.phantom.lattice import COARSE, Points, ScalarField, blur
from neurolatent.phantom.parameters import Scanner
from neurolatent.phantom.scanner import Acquisition, Axes, Placement, record, transform
from neurolatent.phantom.subject import Subject
from neurolatent.shapes import Affine, VoxelArray

FIELD_OF_VIEW_MM = (208.0, 248.0, 248.0)
FIELD_CENTRE_MM = (0.0, -8.0, -22.0)
NEAR_BRAIN_MM = 6.0
SLAB_VOXELS = 1_000_000
DIRECTIONS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
"""World axis and sign of each letter."""


@dataclass(frozen=True, eq=False)
class RawScan:
    """A head scan in its own voxels, and the truth about where the head lies."""

    volume: VoxelArray
    world_from_voxel: Affine
    standard_from_world: Placement
    """Carries the scanner's millimetres to standard space."""


def raw_scan(subject: Subject, distance: ScalarField, months: float, acquisition: Acquisition) -> RawScan:
    """Scan the whole head; `distance` is that from the anatomy's brain, on HEAD."""
    scanner, voxel_mm = acquisition.scanner, acquisition.voxel_mm
    scale = subject.native_scale * scanner.scale
    standard_from_world = np.linalg.inv(acquisition.placement @ np.diag([scale, scale, scale, 1.0]))
    axes = _ras_axes(voxel_mm)
    amplitudes = subject.amplitudes(months, ventricle_day=acquisition.ventricle_day)
    brain = Brain(subject, amplitudes, subject.calibration.lesion_threshold(months))
    shape = tuple(len(axis) for axis in axes)
    # Slab by slab: a head at 0.8 mm has 25 million voxels.
    slabs = [
        _slab(brain, distance, transform(standard_from_world, _points((part, *axes[1:]))), scanner)
        for part in axes[0].split(max(1, SLAB_VOXELS // (shape[1] * shape[2])))
    ]
    sigmas = tuple(scanner.point_spread_mm / size for size in voxel_mm)
    blurred = blur(torch.cat(slabs).reshape(1, *shape), sigmas)[0]
    volume = record(blurred, axes, acquisition).cpu().numpy()
    return RawScan(*orient(volume, axes, voxel_mm, acquisition.orientation), standard_from_world)


def _points(axes: Axes) -> Points:
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)


def _slab(brain: Brain, distance: ScalarField, places: Points, scanner: Scanner) -> Float[Tensor, " n"]:
    """Return the intensity at places of standard space: the brain's, and around it the head's."""
    shaped = places + COARSE.sample(brain.subject.body.shape_inverse, places)
    apart = HEAD.sample(distance[None], shaped)[0]
    near = torch.nonzero(apart < NEAR_BRAIN_MM)[:, 0]
    inside, intracranial = brain.intensity(places[:, near], scanner)
    intensity = around_brain(shaped, apart, scanner)
    intensity[near] = inside + (1 - intracranial) * intensity[near]
    return intensity


def _ras_axes(voxel_mm: tuple[float, float, float]) -> Axes:
    """Return the voxel positions along x, y and z."""
    counts = [round(extent / size) for extent, size in zip(FIELD_OF_VIEW_MM, voxel_mm, strict=True)]
    x, y, z = (
        centre + size * (torch.arange(count, dtype=torch.float32) - (count - 1) / 2)
        for centre, size, count in zip(FIELD_CENTRE_MM, voxel_mm, counts, strict=True)
    )
    return x, y, z


def orient(
    volume: VoxelArray, axes: Axes, voxel_mm: tuple[float, float, float], orientation: str
) -> tuple[Float[np.ndarray, "_ _ _"], Affine]:
    """Store a volume whose axes lead to R, A and S in another orientation, with the affine that says so."""
    directions = [DIRECTIONS[letter] for letter in orientation]
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for column, (axis, sign) in enumerate(directions):
        affine[axis, column] = sign * voxel_mm[axis]
        affine[axis, 3] = float(axes[axis][0 if sign > 0 else -1])
    stored = np.transpose(volume, [axis for axis, _ in directions])
    flipped = tuple(column for column, (_, sign) in enumerate(directions) if sign < 0)
    return np.ascontiguousarray(np.flip(stored, flipped)), affine
